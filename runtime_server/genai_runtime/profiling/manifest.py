"""What `window` writes about each run beside the raw files and `merge` reads: one JSON object a line, `runs.jsonl`.

    {"opened_unix_ns": .., "opened_ns": ..}                                  first line; `*_ns` are time.monotonic_ns
    {"run": 3, "kind": "decode", "requests": {"..": 2, "..": 17}, "start_ns": .., "end_ns": .., "interrupted": false,
     "files": [{"name": "..", "bytes": .., "start_ns": ..}]}                 a run that was kept
    {"sampled": 3, "start_ns": .., "end_ns": ..}                             when the tokens of run 3 were chosen
    {"run": 4, .., "files": [], "dropped": "why"}                            a run that was lost
    {"closed": "max_runs"}                                                   last line, absent if the process died

Lines that cannot be read (the last one, of a process that was killed) are skipped.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TextIO

MANIFEST = "runs.jsonl"
# Where ONNX Runtime writes; files move out of it once their run is recorded.
RUNNING = "running"


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file of one Session::Run. `start_ns`: when it began, from its name; 0 where the name does not tell."""

    name: str
    bytes: int
    start_ns: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the model. `requests`: by id, of a prefill how many tokens, of a decode which one it makes, from 1.

    `cached`: by id, how many tokens of the prompt came from the prefix cache. `kv_tokens`: positions of the KV cache in
    use, -1 where the engine does not count them. `sampled`: when the tokens were chosen from its results (begin, end).
    """

    run: int
    kind: str
    requests: dict[str, int]
    start_ns: int
    end_ns: int
    interrupted: bool = False
    files: tuple[RawFile, ...] = ()
    dropped: str = ""
    cached: dict[str, int] = field(default_factory=dict)
    kv_tokens: int = -1
    sampled: tuple[int, int] | None = None


_RUN_FIELDS = tuple(each.name for each in fields(Run))
_FILE_FIELDS = tuple(each.name for each in fields(RawFile))


@dataclass(slots=True)
class Manifest:
    """A window's manifest, read whole: some hundred bytes a run."""

    opened_unix_ns: int = 0
    opened_ns: int = 0
    close_reason: str = ""
    runs: list[Run] = field(default_factory=list)


def write_opening(file: TextIO, opened_unix_ns: int, opened_ns: int) -> None:
    """Write the first line."""
    _write(file, {"opened_unix_ns": opened_unix_ns, "opened_ns": opened_ns})


def write_run(file: TextIO, run: Run) -> None:
    """Write one run's line. Not by `asdict`: that takes as long as the rest, of a run that takes as long as it all."""
    line = {name: getattr(run, name) for name in _RUN_FIELDS}
    line["files"] = [{name: getattr(each, name) for name in _FILE_FIELDS} for each in run.files]
    _write(file, line)


def write_sampled(file: TextIO, run: int, start_ns: int, end_ns: int) -> None:
    """Write when the tokens of that run, the last one written, were chosen."""
    _write(file, {"sampled": run, "start_ns": start_ns, "end_ns": end_ns})


def write_closing(file: TextIO, reason: str) -> None:
    """Write the last line."""
    _write(file, {"closed": reason})


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest in a window's raw folder. Raises OSError when there is none."""
    manifest = Manifest()
    for line in _lines(folder / MANIFEST):
        if "run" in line:
            run = _run(line)
            if run is not None:
                manifest.runs.append(run)
        elif "sampled" in line:
            _add_sampled(manifest.runs, line)
        elif "closed" in line:
            manifest.close_reason = str(line["closed"])
        elif isinstance(line.get("opened_ns"), int) and isinstance(line.get("opened_unix_ns"), int):
            manifest.opened_ns, manifest.opened_unix_ns = line["opened_ns"], line["opened_unix_ns"]
    return manifest


def _write(file: TextIO, line: dict[str, Any]) -> None:
    file.write(json.dumps(line) + "\n")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line


def _add_sampled(runs: list[Run], line: dict[str, Any]) -> None:
    start, end = line.get("start_ns"), line.get("end_ns")
    if runs and runs[-1].run == line["sampled"] and isinstance(start, int) and isinstance(end, int):
        earlier = runs[-1].sampled
        runs[-1] = replace(runs[-1], sampled=(earlier[0] if earlier else start, end))


def _run(line: dict[str, Any]) -> Run | None:
    try:
        files = tuple(RawFile(**each) for each in line.pop("files"))
        if not line["requests"]:
            return None
        return Run(**line, files=files)
    except (TypeError, KeyError, AttributeError):
        return None
