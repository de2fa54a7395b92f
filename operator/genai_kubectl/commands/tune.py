"""`tune`: has the settings that serve a load best found for a model, shows them, and puts them into its spec."""

import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from genai_kubectl.clients.kube import Object
from genai_kubectl.decisions.tuning import (
    FIGURE_HEADER,
    SETTINGS_HEADER,
    VARIANT_HEADER,
    Load,
    complete,
    ended,
    figure_rows,
    load_text,
    recommendation,
    settings_patch,
    settings_rows,
    share,
    tuning_patch,
    variant_rows,
)
from genai_kubectl.errors import CommandFailed, TimedOut
from genai_kubectl.names import GROUP, MODELS
from genai_kubectl.options import Common, Format, ModelName, Timeout
from genai_kubectl.output import note, pairs, progress, show, structured, table
from genai_kubectl.session import Session, seconds

_POLL_SECONDS = 0.5


def tune(  # noqa: PLR0913 - a command's options
    name: ModelName,
    common: Common,
    clients: Annotated[int | None, typer.Option(min=1, help="Clients at the same time.", show_default=False)] = None,
    prompt_tokens: Annotated[int | None, typer.Option(min=1, help="Of each prompt.", show_default=False)] = None,
    new_tokens: Annotated[int | None, typer.Option(min=1, help="Of each answer.", show_default=False)] = None,
    max_time: Annotated[str, typer.Option(help="About how long it may measure, 10s to 24h.", show_default=False)] = "",
    again: Annotated[bool, typer.Option("--again", help="Measure, though there is a recommendation.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Put the recommended settings into the spec.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is measured.")] = True,
    timeout: Timeout = "1h",
) -> None:
    """Find the threads, spinning, batch size and prefill chunk that serve a load best, in a Job beside the pods."""
    session = Session(common)
    within = seconds(timeout, "--timeout")
    most = int(seconds(max_time, "--max-time")) if max_time else None
    load = Load(clients, prompt_tokens, new_tokens, most)
    model = session.kube.get(MODELS, name)
    if again or load.stated or not complete(model):
        request = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        session.kube.patch(MODELS, name, tuning_patch(load, request))
        note(f"{name} is being measured; see: kubectl get gaim {name} -o jsonpath='{{.status.recommended}}'")
        if not wait:
            return
        model = _follow(session, name, request, within)
        _fail_if_failed(name, model)
    else:
        note(f"measured {recommendation(model).get('at')}; measure again: kubectl genai tune {name} --again")
    patch = settings_patch(model) if apply else {}
    if patch:
        session.kube.patch(MODELS, name, patch)
    _print(session, model, applied=bool(patch))


def _follow(session: Session, name: str, request: str, within: float) -> Object:
    """Waits until it is measured; the bar is the time that has passed of what it may take."""
    deadline = time.monotonic() + within
    with progress() as bar:
        task = bar.add_task(name, total=1.0, said="")
        while True:
            model = session.kube.get(MODELS, name)
            found = recommendation(model)
            said = f"{found.get('state', 'Pending')} {found.get('message', '')}"
            bar.update(task, completed=share(model, datetime.now(UTC)), said=said[:60])
            if ended(model, request):
                return model
            if time.monotonic() > deadline:
                raise TimedOut(f"after {within:g} s {name!r} is {said}; the Job {name}-tuning goes on")
            time.sleep(_POLL_SECONDS)


def _fail_if_failed(name: str, model: Object) -> None:
    found = recommendation(model)
    if found.get("state") == "Failed":
        raise CommandFailed(f"{name!r} could not be measured: {found.get('message') or 'no reason was given'}")


def _print(session: Session, model: Object, *, applied: bool) -> None:
    name, found = str(model["metadata"]["name"]), recommendation(model)
    if structured({"model": name, **found, "applied": applied or bool(found.get("applied"))}, session.output):
        return
    if session.output is Format.NAME:
        show(f"{MODELS}.{GROUP}/{name}")
        return
    unmeasured = ", ".join(found.get("notMeasured") or ())
    pairs({"model": name, "load": load_text(found), "said": found.get("message"), "no time for": unmeasured})
    show("")
    table(FIGURE_HEADER, figure_rows(found))
    if variants := variant_rows(found):
        show("")
        table(VARIANT_HEADER, variants)
    rows = settings_rows(model)
    if not rows:
        return
    show("")
    table(SETTINGS_HEADER, rows)
    if applied:
        another = "precision" in (found.get("settings") or {})
        follows = "pods are replaced once it is built" if another else "its pods are being replaced"
        note(f"\nthe spec of {name} has them now; {follows}")
    elif settings_patch(model):
        note(f"\nput them into the spec: kubectl genai tune {name} --apply")
