"""`profile start`, `stop` and `list`: GenAIProfiles as objects. Their traces are `profile_trace.py`'s."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.progress import TaskID

from genai_kubectl.clients.kube import Kube, Object
from genai_kubectl.decisions.profile_manifest import Life, Target, Window, profile_manifest
from genai_kubectl.decisions.profile_state import (
    LIST_HEADER,
    LIST_HEADER_WIDE,
    OPERATOR_HEADER,
    POD_HEADER,
    explanation,
    finished,
    list_row,
    operator_rows,
    phase,
    pod_rows,
    pods,
    progress_of,
    waiting_for,
)
from genai_kubectl.decisions.quantities import percent, size
from genai_kubectl.errors import CommandFailed, TimedOut
from genai_kubectl.names import GROUP, PROFILES
from genai_kubectl.options import Common, Format, ModelName, Timeout
from genai_kubectl.output import note, pairs, progress, show, structured, table
from genai_kubectl.session import Session, seconds

_POLL_SECONDS = 0.3
ProfileName = Annotated[str, typer.Argument(metavar="PROFILE", help="The GenAIProfile.", show_default=False)]


@dataclass(frozen=True)
class WindowOptions:
    """What is captured."""

    pod: Annotated[list[str] | None, typer.Option(help="This pod; may be repeated.", show_default=False)] = None
    pods_count: Annotated[int | None, typer.Option(help="So many pods.", show_default=False)] = None
    pods_percent: Annotated[int | None, typer.Option(help="So many of the Ready pods.", show_default=False)] = None
    sample_rate: Annotated[float | None, typer.Option(help="Share of the requests, 0.1.", show_default=False)] = None
    request_id: Annotated[list[str] | None, typer.Option(help="This request; repeatable.", show_default=False)] = None
    client: Annotated[list[str] | None, typer.Option(help="This client; repeatable.", show_default=False)] = None
    runs: Annotated[str, typer.Option(help='"prefill,0-3,50-60" or "every 100".', show_default=False)] = ""
    max_runs: Annotated[int | None, typer.Option(help="On each pod.", show_default=False)] = None
    max_bytes: Annotated[str, typer.Option(help="On each pod, such as 64Mi.", show_default=False)] = ""
    max_seconds: Annotated[int | None, typer.Option(help="On each pod.", show_default=False)] = None

    def window(self) -> Window:
        """As a manifest is made from it."""
        return Window(
            pods=tuple(self.pod or ()),
            pod_count=self.pods_count,
            pod_percent=self.pods_percent,
            sample_rate=self.sample_rate,
            request_ids=tuple(self.request_id or ()),
            clients=tuple(self.client or ()),
            runs=self.runs,
            max_runs=self.max_runs,
            max_bytes=self.max_bytes,
            max_seconds=self.max_seconds,
        )


@dataclass(frozen=True)
class TargetOptions:
    """Where the trace goes."""

    claim: Annotated[str, typer.Option(help="Write the trace to this claim too.", show_default=False)] = ""
    claim_path: Annotated[str, typer.Option(help="Folder in the claim.", show_default=False)] = ""
    s3_uri: Annotated[str, typer.Option(help="Write the trace to s3://BUCKET/PREFIX too.", show_default=False)] = ""
    s3_endpoint: Annotated[str, typer.Option(help="URL of the S3 server.", show_default=False)] = ""
    s3_region: Annotated[str, typer.Option(help="Its region.", show_default=False)] = ""
    s3_secret: Annotated[str, typer.Option(help="Secret with its keys.", show_default=False)] = ""

    def target(self) -> Target:
        """As a manifest is made from it."""
        return Target(self.claim, self.claim_path, self.s3_uri, self.s3_endpoint, self.s3_region, self.s3_secret)


@dataclass(frozen=True)
class LifeOptions:
    """When it starts and how long it is kept."""

    suspend: Annotated[bool, typer.Option("--suspend", help="Make it, but do not start it yet.")] = False
    start_deadline: Annotated[
        str, typer.Option(help="How long it may wait for busy or not ready pods.", show_default=False)
    ] = ""
    ttl: Annotated[str, typer.Option(help="Delete it so long after it has finished.", show_default=False)] = ""

    def life(self) -> Life:
        """As a manifest is made from it. Raises `WrongUsage`."""
        deadline = int(seconds(self.start_deadline, "--start-deadline")) if self.start_deadline else None
        ttl = int(seconds(self.ttl, "--ttl")) if self.ttl else None
        return Life(self.suspend, deadline, ttl)


def start(  # noqa: PLR0913 - a command's options
    model: ModelName,
    common: Common,
    window: WindowOptions,
    target: TargetOptions,
    life: LifeOptions,
    name: Annotated[str, typer.Option(help="Of the profile; made up if left out.", show_default=False)] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has finished.")] = True,
    timeout: Timeout = "10m",
) -> None:
    """Open a window on live pods, wait until it has closed, and say what it captured."""
    session = Session(common)
    within = seconds(timeout, "--timeout")
    manifest = profile_manifest(model, name, window.window(), target.target(), life.life())
    made = session.kube.create(PROFILES, manifest)
    called = str(made["metadata"]["name"])
    note(f"genaiprofile.{GROUP}/{called} created")
    if wait and not life.suspend:
        made = _follow(session.kube, called, within)
    _print_one(session, made)
    _fail_if_failed(made)


def stop(name: ProfileName, common: Common, timeout: Timeout = "60s") -> None:
    """Close the window and keep what it captured; one that has not started will wait."""
    session = Session(common)
    before = session.kube.get(PROFILES, name)
    if finished(before):
        note(f"{name} has finished already")
        _print_one(session, before)
        return
    profile = session.kube.patch(PROFILES, name, {"spec": {"suspend": True}})
    if pods(before):
        profile = _follow(session.kube, name, seconds(timeout, "--timeout"))
    _print_one(session, profile)
    _fail_if_failed(profile)


def list_profiles(
    common: Common,
    model: Annotated[str, typer.Option(help="Only of this GenAIModel.", show_default=False)] = "",
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")] = False,
) -> None:
    """The profiles of a namespace, the newest first."""
    session = Session(common)
    found = session.kube.find(PROFILES, everywhere=everywhere)
    chosen = [each for each in found if not model or each["spec"]["model"] == model]
    chosen.sort(key=lambda each: str(each["metadata"].get("creationTimestamp", "")), reverse=True)
    if structured({"items": chosen}, session.output):
        return
    if session.output is Format.NAME:
        for each in chosen:
            show(f"genaiprofile.{GROUP}/{each['metadata']['name']}")
        return
    if not chosen:
        note("there are no profiles")
        return
    wide = session.output is Format.WIDE
    rows = [list_row(each, datetime.now(UTC), wide=wide) for each in chosen]
    header = LIST_HEADER_WIDE if wide else LIST_HEADER
    if everywhere:
        header = ("NAMESPACE", *header)
        rows = [(str(each["metadata"]["namespace"]), *row) for each, row in zip(chosen, rows, strict=True)]
    table(header, rows)


def _follow(kube: Kube, name: str, within: float) -> Object:
    """Waits until it has finished; one bar a pod."""
    deadline = time.monotonic() + within
    bars: dict[str, TaskID] = {}
    with progress() as bar:
        whole = bar.add_task(name, total=None, said="Pending")
        while True:
            profile = kube.get(PROFILES, name)
            bar.update(whole, said=f"{phase(profile)} {waiting_for(profile)}"[:60])
            limits = profile["spec"].get("limits") or {}
            for pod in pods(profile):
                runs, most = progress_of(pod, limits)
                said = f"{pod.get('state')}, {runs} runs, {size(pod.get('bytes', 0))}"
                if pod["name"] not in bars:
                    bars[pod["name"]] = bar.add_task(pod["name"], total=None, said="")
                bar.update(bars[pod["name"]], total=most, completed=runs, said=said)
            if finished(profile):
                return profile
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"after {within:g} s {name!r} is {phase(profile)}: {waiting_for(profile)}; it goes on, "
                    f"stop it by: kubectl genai profile stop {name}"
                )
            time.sleep(_POLL_SECONDS)


def _print_one(session: Session, profile: Mapping[str, Any]) -> None:
    name = str(profile["metadata"]["name"])
    if structured(dict(profile), session.output):
        return
    if session.output is Format.NAME:
        show(f"genaiprofile.{GROUP}/{name}")
        return
    status = profile.get("status", {})
    pairs(
        {
            "profile": name,
            "model": profile["spec"]["model"],
            "phase": phase(profile),
            "said": explanation(profile),
            "captured": f"{status.get('capturedRuns', 0)} runs of {status.get('capturedRequests', 0)} requests, "
            f"{size(status.get('capturedBytes', 0))}, {status.get('droppedRuns', 0)} dropped",
            "overhead": percent(status.get("overheadPercent")),
            "trace": (status.get("artifact") or {}).get("location"),
        }
    )
    if pods(profile):
        show("")
        table(POD_HEADER, pod_rows(profile))
    if status.get("topOperators"):
        show("")
        table(OPERATOR_HEADER, operator_rows(status["topOperators"]))
    if phase(profile) == "Complete":
        note(f"\nlook at it: kubectl genai profile open {name}")


def _fail_if_failed(profile: Mapping[str, Any]) -> None:
    if phase(profile) == "Failed":
        raise CommandFailed(f"{profile['metadata']['name']!r} failed: {explanation(profile) or 'no reason was given'}")
