"""Whether live options keep a model from serving: halted by `terminate-session`, or draining. Ready's verdict only."""

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.runtime_options import DRAIN, TERMINATE_SESSION, desired_options
from genai_operator.status.conditions import Verdict, previous_condition
from genai_operator.status.observed import ObservedModel
from genai_operator.status.reasons import ConditionType, Reason
from genai_operator.status.runtime_options import having


def out_of_service(model: GenAIModel, observed: ObservedModel) -> Verdict | None:
    """Why its pods refuse requests though they are ready; None when they do not."""
    desired = desired_options(model)
    options = desired.options
    before = previous_condition(model.status, ConditionType.READY)
    for reason, option, wanted, words in (
        # In the order of what pods say of themselves.
        (Reason.DRAINING, DRAIN, options.drain_seconds > 0, "take no new requests"),
        (Reason.HALTED, TERMINATE_SESSION, options.terminate_session, "are halted, weights stay loaded"),
    ):
        done, pods = having(model, desired, observed, option)
        if wanted and done:
            value = 1 if option == TERMINATE_SESSION else f"{options.drain_seconds}s"
            return Verdict("False", reason, f"{option} is {value}: {done} of {pods} pods {words}")
        # Nothing is sent while a value is rejected, and another option is being sent: pods that were halted still are.
        if before.get("reason") == reason.value and (wanted or desired.rejected):
            return Verdict("False", reason, str(before.get("message", "")))
    return None
