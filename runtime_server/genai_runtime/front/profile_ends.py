"""What a profile is once its window's runs were merged, or could not be. No I/O; the merge is `trace_merging`'s."""

import dataclasses
import time

from genai_runtime.front.trace_merging import MergedTrace
from genai_runtime.profiling.record import Profile, ProfileState

# Kinds of operator in a profile's record.
_KEPT_OPERATORS = 20


def merged(profile: Profile, trace: MergedTrace) -> Profile:
    """The profile with its trace."""
    return dataclasses.replace(
        profile,
        state=ProfileState.COMPLETE,
        runs=trace.runs,
        requests=trace.requests,
        dropped_runs=trace.dropped_runs,
        captured_bytes=trace.captured_bytes,
        events=trace.events,
        trace_bytes=trace.trace_bytes,
        top_operators=trace.top_operators,
        operators=trace.operators[:_KEPT_OPERATORS],
        message=" ".join(text for text in (profile.message, trace.message) if text),
        closed_unix_ms=profile.closed_unix_ms or now_ms(),
    )


def failed(profile: Profile, why: str) -> Profile:
    """The profile without a trace."""
    message = " ".join(text for text in (profile.message, why) if text)
    return dataclasses.replace(
        profile,
        state=ProfileState.FAILED,
        message=message or "The window left no runs; open a new one while requests are served.",
        closed_unix_ms=profile.closed_unix_ms or now_ms(),
    )


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000
