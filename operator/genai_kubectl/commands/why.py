"""`why`: one sentence about why a model is as it is, and what helps. The answer is `decisions.why`'s."""

from genai_kubectl.clients.kube import Kube, Object
from genai_kubectl.decisions.why import Facts, log_wanted
from genai_kubectl.decisions.why import why as decide
from genai_kubectl.errors import CommandFailed, Forbidden
from genai_kubectl.names import MODELS
from genai_kubectl.options import Common, Format, ModelName
from genai_kubectl.output import note, show, structured
from genai_kubectl.session import Session

_LOG_LINES = 20


def why(name: ModelName, common: Common) -> None:
    """Say in one sentence why a model does not serve, and what helps; -o wide shows what it follows from."""
    session = Session(common)
    answer = decide(_gather(session.kube, session.kube.get(MODELS, name)))
    plain = {
        "model": name,
        "namespace": session.kube.namespace,
        "healthy": answer.good,
        "reason": answer.reason,
        "sentence": answer.sentence,
        "remedy": answer.remedy,
        "pod": answer.pod,
        "evidence": list(answer.evidence),
    }
    if structured(plain, session.output):
        return
    if session.output is Format.NAME:
        show(answer.reason)
        return
    show(answer.sentence)
    if answer.remedy:
        show(f"What helps: {answer.remedy}")
    if session.output is Format.WIDE:
        for line in answer.evidence:
            show(f"  {line}")


def _gather(kube: Kube, model: Object) -> Facts:
    """Everything that may be read; what may not be is said, and left out."""
    name = str(model["metadata"]["name"])
    pods: list[Object] = []
    events: list[Object] = []
    logs: dict[str, str] = {}
    try:
        pods = kube.pods(name)
        events = kube.events()
        wanted = log_wanted(model, pods)
        if wanted:
            logs[wanted] = _last_words(kube, wanted)
    except Forbidden as error:
        note(f"warning: this is told from less than there is: {error}")
    return Facts(model, pods, events, logs)


def _last_words(kube: Kube, pod: str) -> str:
    try:
        return kube.log(pod, previous=True, lines=_LOG_LINES)
    except Forbidden:
        raise
    except CommandFailed:  # no container of it has ended yet
        return ""
