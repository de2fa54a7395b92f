"""An answer of the API server that is no success, as the error that the command ends with. Pure."""

import json

from genai_kubectl.decisions.rights import missing_right
from genai_kubectl.errors import CommandFailed, Forbidden, NotFound

_NO_KIND = "the server could not find the requested resource"
_NOT_INSTALLED = (
    "this cluster does not know {kind}: install the operator's chart, or ask somebody who may "
    "(helm install genai-operator charts/genai-operator)"
)


def refusal(status: int, body: str, tried: str, kind: str = "GenAIModel") -> CommandFailed:
    """The error of an answer with an HTTP status. `tried` completes "could not …", for example "get GenAIModel x"."""
    said = message(body)
    if status == 401:
        return CommandFailed(f"could not {tried}: the API server does not accept these credentials; log in again")
    if status == 403:
        missing = missing_right(said)
        return Forbidden(f"could not {tried}: {missing or said or 'it is forbidden'}")
    if status == 404:
        unknown = not said or _NO_KIND in said or "page not found" in said
        return NotFound(f"could not {tried}: {_NOT_INSTALLED.format(kind=kind) if unknown else said}")
    return CommandFailed(f"could not {tried}: {said or f'the API server answered {status}'}")


def message(body: str) -> str:
    """What a Status object says, else the text itself, shortened."""
    try:
        status = json.loads(body)
    except ValueError:
        return " ".join(body.split())[:400]
    return str(status.get("message") or "") if isinstance(status, dict) else str(status)[:400]
