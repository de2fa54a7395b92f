"""What is known of one profile (a window and the trace made of it), as plain data, and its JSON beside the trace.

How a profile looks on the control service is the control service's business; how files are kept is `store`'s.
"""

import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from genai_runtime.profiling.growth import OperatorGrowth
from genai_runtime.profiling.summary import OperatorShare, OperatorTime

LABEL = re.compile(r"[a-z0-9-]{1,40}")
WINDOW_ID = re.compile(r"[a-z0-9-]{1,64}")
PROFILE_ID = re.compile(r"([a-z0-9-]{1,40})-(\d{8}T\d{6}Z)-(\d{1,9})")


class ProfileState(StrEnum):
    """OPEN: runs are captured. MERGING: closed, the trace is being written. FAILED: there is no trace; see message."""

    OPEN = "open"
    MERGING = "merging"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. `captured_bytes` are raw, `trace_bytes` merged and compressed; times are Unix milliseconds.

    `window_id` was given by who opened it, "" for a window without one. `skipped_runs` and `overhead_percent` are said
    at `WindowProgress`.
    """

    id: str
    label: str
    state: ProfileState
    opened_unix_ms: int
    closed_unix_ms: int = 0
    close_reason: str = ""
    runs: int = 0
    requests: int = 0
    captured_bytes: int = 0
    dropped_runs: int = 0
    trace_bytes: int = 0
    events: int = 0
    top_operators: tuple[OperatorShare, ...] = ()
    message: str = ""
    operators: tuple[OperatorTime, ...] = ()  # the costliest kinds, by their time a run
    window_id: str = ""
    skipped_runs: int = 0
    overhead_percent: float | None = None
    trigger: str = ""  # of the flight recorder's: what was missed, and what grew against the last good window
    grown: tuple[OperatorGrowth, ...] = ()


def to_json(profile: Profile) -> str:
    """Return the profile as one JSON object."""
    return json.dumps(asdict(profile), indent=1)


def from_json(text: str) -> Profile:
    """Read what `to_json` wrote. Raises ValueError when it is not that."""
    try:
        fields: dict[str, Any] = json.loads(text)
        fields["state"] = ProfileState(fields["state"])
        fields["top_operators"] = tuple(OperatorShare(**share) for share in fields.get("top_operators", ()))
        fields["operators"] = tuple(OperatorTime(**each) for each in fields.get("operators", ()))
        fields["grown"] = tuple(OperatorGrowth(**each) for each in fields.get("grown", ()))
        profile = Profile(**fields)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a profile's record: {error}") from error
    if not isinstance(profile.id, str) or not PROFILE_ID.fullmatch(profile.id):
        raise ValueError(f"not a profile's id: {profile.id!r}")
    if profile.window_id and not WINDOW_ID.fullmatch(profile.window_id):
        raise ValueError(f"not a window's id: {profile.window_id!r:.80}")
    return profile
