"""One collection: every pod's trace fetched, joined to one, shown as a page, both written to the output."""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from genai_runtime.collector.errors import CollectionFailed, PodUnusable
from genai_runtime.collector.outputs import Output
from genai_runtime.collector.pods import Fetched, Identity, PodSource, fetch
from genai_traces.join import JoinedTrace, join_traces
from genai_traces.report import write_report

TRACE = "trace.json.gz"
REPORT = "report.html"
_AT_ONCE = 4
_log = structlog.get_logger("genai_runtime.collector")
Fetch = Callable[[PodSource, Identity, Path], Fetched]


@dataclass(frozen=True, slots=True)
class Collected:
    """What was written: the trace's URL, its compressed bytes and its events; `missing`: pods that are not in it."""

    location: str
    bytes: int
    events: int
    missing: tuple[str, ...]


def collect(
    profile: str, sources: Sequence[PodSource], identity: Identity, output: Output, fetching: Fetch = fetch
) -> Collected:
    """Write the trace and the page of the pods that answer; the page says which do not.

    Raises `CollectionFailed` when no pod's trace could be had, or the output cannot be written.
    """
    if len({source.pod for source in sources}) != len(sources):
        raise CollectionFailed("--pod: a pod is given twice")
    with tempfile.TemporaryDirectory(prefix="collect-") as folder:
        place = Path(folder)
        try:
            joined, missing = _join(profile, sources, identity, place, fetching)
        except OSError as error:
            room = f"{tempfile.gettempdir()} must have room for the traces of all pods, twice"
            raise CollectionFailed(f"a trace cannot be kept: {error.strerror or error}; {room}") from error
        location = output.write(place / TRACE, TRACE, "application/gzip")
        output.write(place / REPORT, REPORT, "text/html; charset=utf-8")
    return Collected(location, joined.bytes, joined.events, tuple(missing))


def _join(
    profile: str, sources: Sequence[PodSource], identity: Identity, folder: Path, fetching: Fetch
) -> tuple[JoinedTrace, list[str]]:
    """Write trace and page into `folder`; returns what of which pods is in them, and why others are missing."""
    fetched, missing = _fetch_all(sources, identity, folder, fetching)
    if not fetched:
        raise CollectionFailed(f"no pod's trace could be fetched: {'; '.join(missing) or 'no --pod was given'}")
    paths = {pod: each.path for pod, each in fetched.items()}
    joined = join_traces(paths, folder / TRACE, {pod: each.facts for pod, each in fetched.items()})
    write_report(folder / TRACE, folder / REPORT, profile, missing)
    return joined, missing


def _fetch_all(
    sources: Sequence[PodSource], identity: Identity, folder: Path, fetching: Fetch
) -> tuple[dict[str, Fetched], list[str]]:
    """What came, by pod in the order of `sources`, and why the others did not."""
    fetched: dict[str, Fetched] = {}
    missing: list[str] = []
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        futures = [
            threads.submit(fetching, source, identity, folder / f"{number}.json.gz")
            for number, source in enumerate(sources)
        ]
        for source, future in zip(sources, futures, strict=True):
            try:
                fetched[source.pod] = future.result()
                _log.info("trace fetched", pod=source.pod, profile=source.profile_id)
            except PodUnusable as error:
                missing.append(error.message)
                _log.warning("trace not fetched", pod=source.pod, reason=error.message)
    return fetched, missing
