"""What a pod's answer means for its window: one entry of `status.pods`. What to ask is `profile_plan.py`'s."""

from genai_operator.api.profile_status import ProfilePod
from genai_operator.status.conditions import bounded
from genai_operator.status.profile_observed import Trouble, WindowAnswer, WindowReport
from genai_operator.status.profile_plan import ENDED, Step, failed, waiting_entry
from genai_operator.status.profile_reasons import CLOSE_REASONS, ProfileReason

# A pod that keeps silent for so long while its window is open is given up; its caps end the window in any case.
SILENCE_SECONDS = 120.0

_REFUSALS = {Trouble.UNSUPPORTED: ProfileReason.UNSUPPORTED_RUNS, Trouble.REJECTED: ProfileReason.REJECTED}


def advance(step: Step, answer: WindowAnswer | None) -> ProfilePod:
    """The pod's entry after its call, or as planned when there was none."""
    entry = step.entry
    if answer is None or entry.state in ENDED:
        return entry
    if answer.report is not None:
        return _reported(entry, answer.report)
    message = bounded(answer.message)
    if answer.trouble in _REFUSALS:
        return failed(entry, _REFUSALS[answer.trouble], message)
    if answer.trouble is Trouble.UNKNOWN:
        said = "the pod does not know the window any more: its container was restarted"
        return failed(entry, ProfileReason.POD_RESTARTED, said)
    if entry.state == "Pending":
        busy = answer.trouble is Trouble.BUSY
        reason = ProfileReason.POD_BUSY if busy else ProfileReason.POD_UNREACHABLE
        return waiting_entry(entry, reason, message, expired=step.expired)
    if answer.silent_seconds > SILENCE_SECONDS:
        said = f"no answer for {answer.silent_seconds:.0f} s: {message}"
        return failed(entry, ProfileReason.POD_UNREACHABLE, bounded(said))
    # The first words stay: the next attempt's may differ, and that is no change.
    if entry.reason == ProfileReason.POD_UNREACHABLE.value:
        return entry
    return entry.model_copy(update={"reason": ProfileReason.POD_UNREACHABLE.value, "message": message})


def _reported(entry: ProfilePod, report: WindowReport) -> ProfilePod:
    empty = report.runs == 0
    state = "Failed" if report.state == "Complete" and empty else report.state
    message = bounded(report.message)
    if state == "Failed" and empty and not message:
        message = "no run was captured: no request ran, or none was selected"
    overhead = report.overhead_percent
    return ProfilePod(
        name=entry.name,
        uid=entry.uid,
        state=state,
        reason=_reason(report, empty=empty).value,
        profile_id=report.profile_id[:128] or None,
        runs=report.runs,
        skipped_runs=report.skipped_runs,
        requests=report.requests,
        bytes=report.captured_bytes,
        dropped_runs=report.dropped_runs,
        overhead_percent=None if overhead is None else round(min(max(overhead, -100.0), 1_000_000.0), 1),
        message=message,
    )


def _reason(report: WindowReport, *, empty: bool) -> ProfileReason:
    if report.state == "Open":
        return ProfileReason.CAPTURING
    if report.state == "Failed" or (report.state == "Complete" and empty):
        return ProfileReason.NOTHING_CAPTURED if empty else ProfileReason.TRACE_FAILED
    return CLOSE_REASONS.get(report.close_reason, ProfileReason.CLOSED)
