"""`status.flightRecorder`: the newest window that any pod opened by itself. No conditions."""

from pydantic import ValidationError

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.status_model import FlightRecording
from genai_operator.status.conditions import bounded
from genai_operator.status.live_plan import live_pods
from genai_operator.status.observed import ObservedModel


def flight_recording(model: GenAIModel, observed: ObservedModel) -> FlightRecording | None:
    """The newest recording known: what a pod told, or what the status has, also when its pod is gone."""
    told: list[FlightRecording] = []
    for pod in live_pods(observed):
        answer = observed.answers.get(pod.uid)
        seen = answer.recording if answer else None
        if seen:
            told.append(
                FlightRecording(last_trigger=bounded(seen.trigger), profile=seen.profile_id, pod=pod.name, at=seen.at)
            )
    # The pod before the status: when the window has ended, it tells what grew, too.
    if (before := _before(model)) is not None:
        told.append(before)
    # RFC 3339 in UTC: texts in the order of time. Of equal ones the first is taken.
    return max(told, key=lambda each: each.at, default=None)


def _before(model: GenAIModel) -> FlightRecording | None:
    try:
        found = model.status.get("flightRecorder")
        return FlightRecording.model_validate(found) if found else None
    except ValidationError:
        return None
