"""What the pods of a model do now, from two readings of their metrics. Pure; reading is `commands.top`'s work."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r"^([a-z_:]+)(?:\{([^}]*)\})? ([0-9.eE+-]+)$", re.MULTILINE)
_STATE = re.compile(r'state="([A-Za-z_]+)"')


@dataclass(frozen=True, slots=True)
class Reading:
    """One page of metrics. `at`: seconds of a clock that does not jump."""

    at: float
    values: Mapping[str, float]
    state: str


@dataclass(frozen=True, slots=True)
class PodLoad:
    """One line of `top`. None: not known, because there is one reading only or the engine does not count it."""

    pod: str
    state: str
    tokens_per_second: float | None
    running: int
    waiting: int
    batch: float | None  # mean requests a decode run
    kv_percent: float | None
    window: bool


def reading(page: str, at: float) -> Reading:
    """Of a Prometheus page: its series without labels, and which state is 1."""
    values: dict[str, float] = {}
    state = ""
    for name, labels, value in _LINE.findall(page):
        if name == "genai_state" and float(value) == 1:
            found = _STATE.search(labels)
            state = found[1].upper() if found else ""
        elif not labels:
            values[name] = float(value)
    return Reading(at, values, state)


def pod_load(pod: str, now: Reading, before: Reading | None) -> PodLoad:
    """`before` is an earlier reading of the same pod; a restart in between counts as none."""
    rate = _per_second("genai_generated_tokens_total", now, before)
    runs = _per_second("genai_decode_runs_total", now, before)
    kv = now.values.get("genai_kv_cache_use")
    return PodLoad(
        pod=pod,
        state=now.state or "UNKNOWN",
        tokens_per_second=None if rate is None else round(rate, 1),
        running=int(now.values.get("genai_requests_running", 0)),
        waiting=int(now.values.get("genai_requests_waiting", 0)),
        batch=round(rate / runs, 1) if rate and runs else None,
        kv_percent=None if kv is None else round(100 * kv, 1),
        window=bool(now.values.get("genai_profile_window_open")),
    )


def _per_second(name: str, now: Reading, before: Reading | None) -> float | None:
    if before is None or now.at <= before.at or name not in now.values:
        return None
    grown = now.values[name] - before.values.get(name, 0)
    return grown / (now.at - before.at) if grown >= 0 else None
