"""A profile's traces as files: from the pods that hold them, or from where they were collected, to one valid file."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genai_kubectl.clients.kube import Kube
from genai_kubectl.clients.programs import output_of
from genai_kubectl.commands.profile_reader import read_collected
from genai_kubectl.decisions.profile_artifact import is_collected
from genai_kubectl.decisions.profile_state import PodTrace, pods, traces
from genai_kubectl.decisions.quantities import size
from genai_kubectl.errors import CommandFailed, NotFound
from genai_kubectl.names import PROFILES
from genai_kubectl.output import progress
from genai_kubectl.session import Session
from genai_traces.check import problems
from genai_traces.events import METADATA, read_events
from genai_traces.join import JoinedTrace, join_traces
from genai_traces.window_facts import WindowFacts

_SUFFIX = ".trace.json.gz"


def is_file(source: str) -> bool:
    """Whether a file is meant, not a profile: no profile's name has a slash or ends like this."""
    return "/" in source or source.endswith((".gz", ".json"))


def default_file(profile: str) -> Path:
    """In the present folder."""
    return Path(f"{profile}{_SUFFIX}")


def stem(trace: Path) -> str:
    """The file's name without what says that it is a trace."""
    return trace.name.removesuffix(_SUFFIX).removesuffix(".json.gz").removesuffix(".gz")


@contextmanager
def trace_of(session: Session, source: str) -> Iterator[Path]:
    """The file that was named, or the trace of the profile that was named, for as long as it is needed."""
    if is_file(source):
        path = Path(source)
        if not path.is_file():
            raise NotFound(f"there is no file {source}")
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="genai-profile-") as folder:
        path = Path(folder) / "joined.json.gz"
        fetch_joined(session.kube, session.kube.get(PROFILES, source), path, allow_missing=True)
        yield path


def fetch_joined(kube: Kube, profile: Mapping[str, Any], target: Path, *, allow_missing: bool) -> JoinedTrace:
    """Writes the pods' traces as one, whole or not at all.

    Collected ones are read from the pods as well while those live, which needs no further rights.

    Raises:
        CommandFailed: a trace cannot be had, is damaged, or the file cannot be written; the message says which.
    """
    wanted = traces(profile, allow_missing=allow_missing)
    try:
        with tempfile.TemporaryDirectory(prefix=".genai-", dir=target.absolute().parent) as folder:
            joined = Path(folder) / "joined"
            if is_collected(profile) and not _all_live(kube, profile, wanted):
                read_collected(kube, profile, joined, target)
                written = JoinedTrace(_count(joined), joined.stat().st_size)
            else:
                written = join_traces(_fetch_all(kube, wanted, Path(folder)), joined, _facts(profile))
            found = problems(joined)
            if found:
                raise CommandFailed(
                    f"the trace of {profile['metadata']['name']!r} is not valid: {'; '.join(found[:3])}"
                )
            joined.replace(target)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"cannot write the trace of {profile['metadata']['name']!r}: {error}") from None
    return written


def _all_live(kube: Kube, profile: Mapping[str, Any], wanted: list[PodTrace]) -> bool:
    return {trace.pod for trace in wanted} <= {
        str(pod["metadata"]["name"]) for pod in kube.pods(str(profile["spec"]["model"]))
    }


def _count(trace: Path) -> int:
    """Its events without metadata."""
    return sum(event["ph"] != METADATA for event in read_events(trace))


def _fetch_all(kube: Kube, wanted: list[PodTrace], folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    with progress() as bar:
        for number, trace in enumerate(wanted):
            task = bar.add_task(trace.pod, total=None, said="")
            path = folder / f"pod-{number}.gz"
            received = 0
            with path.open("wb") as file:
                command = ("genai-runtime", "ctl", "profile", "fetch", trace.profile)
                for chunk in output_of(kube, trace.pod, command):
                    file.write(chunk)
                    received += len(chunk)
                    bar.update(task, completed=received, said=size(received))
            bar.update(task, total=max(received, 1), completed=max(received, 1))
            files[trace.pod] = path
    return files


def _facts(profile: Mapping[str, Any]) -> dict[str, WindowFacts]:
    """What the status knows of each pod's window and no trace can show."""
    return {
        str(pod["name"]): WindowFacts(
            dropped_runs=int(pod.get("droppedRuns", 0)),
            skipped_runs=int(pod.get("skippedRuns", 0)),
            overhead_percent=pod.get("overheadPercent"),
            message=str(pod.get("message", "")),
        )
        for pod in pods(profile)
    }
