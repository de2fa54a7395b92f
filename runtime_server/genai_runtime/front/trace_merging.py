"""Runs the merge of one window's raw runs in a short-lived process of the lowest priority, off the event loop."""

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from genai_runtime.profiling.summary import OperatorShare, OperatorTime

_SECONDS = 900.0
_MESSAGE_LENGTH = 500


class MergeFailed(Exception):
    """No trace could be made; the text says why."""


@dataclass(frozen=True, slots=True)
class MergedTrace:
    """What the merge found and wrote. Counts are of the trace; `captured_bytes` are raw."""

    runs: int
    requests: int
    dropped_runs: int
    captured_bytes: int
    events: int
    trace_bytes: int
    top_operators: tuple[OperatorShare, ...]
    message: str
    operators: tuple[OperatorTime, ...] = ()  # all kinds, the costliest first


async def merge_trace(raw: Path, trace: Path, process_name: str) -> MergedTrace:
    """Merge the folder `raw` into the file `trace`. Raises `MergeFailed`. Cancelling ends the process."""
    command = [sys.executable, "-m", "genai_runtime.profiling.merge", str(raw), str(trace), "--process", process_name]
    process = await asyncio.create_subprocess_exec(
        *command, "--keep-raw", stdin=asyncio.subprocess.DEVNULL, stdout=-1, stderr=-1
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), _SECONDS)
    except TimeoutError as error:
        raise MergeFailed(f"Merging the captured runs took more than {_SECONDS:.0f} s and was given up.") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        raise MergeFailed(_last_line(errors) or f"The merge ended with status {process.returncode}.")
    return _parse(output)


def _parse(output: bytes) -> MergedTrace:
    try:
        fields = json.loads(output)
        fields["top_operators"] = tuple(OperatorShare(**share) for share in fields["top_operators"])
        fields["operators"] = tuple(OperatorTime(**each) for each in fields.get("operators", ()))
        return MergedTrace(**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise MergeFailed(f"The merge did not say what it wrote: {error}") from error


def _last_line(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1][:_MESSAGE_LENGTH] if lines else ""
