"""Pure: why a build Job's pod does not start, or how it failed, in words that say what the user can do."""

import json

from genai_operator.api.build_spec import Evaluation
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.constants import CONTAINER_BUILD, PATH_EVALUATION
from genai_operator.status.causes import pod_cause
from genai_operator.status.observed import ObservedPod
from genai_operator.status.reasons import LAST_WORDS, Reason

_KILLED = "was killed for its memory; raise model.build.resources.limits.memory"
_LENGTH = 600


def hindered_build(model: GenAIModel, pod: ObservedPod) -> tuple[Reason, str] | None:
    """Why the pod of a Job that is not over does not get on; None where nothing is wrong yet."""
    cause = pod_cause(pod)
    if cause is None:
        return None
    if pod.exit_code is None and not pod.terminated_reason:
        return cause.reason, cause.message
    reason, said = failed_build(model, pod, "")
    return reason, f"{said}; it is tried again"


def failed_build(model: GenAIModel, pod: ObservedPod | None, of_job: str) -> tuple[Reason, str]:
    """Why a build failed; `of_job` is what the Job's controller says, told where the pod says nothing."""
    if pod is None:
        return Reason.BUILD_FAILED, f"the build Job failed: {of_job or 'its pod is gone'}"
    cause = pod_cause(pod)
    reason, words = _last_words(pod.terminated_message)
    if reason is None and cause is not None and cause.reason is Reason.OUT_OF_MEMORY:
        reason, words = Reason.OUT_OF_MEMORY, f"pod {pod.name} {_KILLED}"
    evaluation = model.spec.model.build.evaluation if model.spec.model.build else None
    said = _named(words, evaluation)[:_LENGTH] or of_job or "it left no last words"
    container = CONTAINER_BUILD if pod.prepared or not pod.preparation else pod.preparation
    where = f"kubectl logs -n {model.metadata.namespace} {pod.name} -c {container}"
    return reason or Reason.BUILD_FAILED, f"{said}; see {where}"


def _last_words(text: str) -> tuple[Reason | None, str]:
    """What the container says of its end: a JSON line with a reason of ours, or the end of its log."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        words = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return None, lines[-1]
    if not isinstance(words, dict):
        return None, lines[-1]
    known = {each.value: each for each in (*LAST_WORDS, Reason.BUILD_FAILED)}
    return known.get(str(words.get("reason"))), str(words.get("message") or (lines[-1] if lines else ""))


def _named(words: str, evaluation: Evaluation | None) -> str:
    """With the ConfigMap in place of where it is mounted."""
    if evaluation is None:
        return words
    return words.replace(f"{PATH_EVALUATION}/text", f"key {evaluation.key} of ConfigMap {evaluation.config_map_name}")
