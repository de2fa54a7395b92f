"""What a pod knows of a window and the events cannot show: what is missing in it, why it ended, what it cost.

Carried through a trace as one metadata event a process, which viewers pass over.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from genai_traces.events import METADATA, Event

WINDOW: Final = "genai_window"


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """Of one pod's window. `dropped_runs` were in it and are not in the trace; `skipped_runs` were not selected."""

    dropped_runs: int = 0
    skipped_runs: int = 0
    close_reason: str = ""
    overhead_percent: float | None = None
    message: str = ""

    def args(self) -> dict[str, Any]:
        """As the metadata event's args; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def window_facts(event: Event) -> WindowFacts | None:
    """The facts in an event, None where it is another one; a value of a wrong type counts as not told."""
    if event["ph"] != METADATA or event["name"] != WINDOW:
        return None
    args = event.get("args", {})
    known: dict[str, Any] = {}
    for field in fields(WindowFacts):
        value = args.get(field.name)
        wanted = (int, float) if field.name == "overhead_percent" else type(field.default)
        if isinstance(value, wanted) and not isinstance(value, bool):
            known[field.name] = value
    return WindowFacts(**known)
