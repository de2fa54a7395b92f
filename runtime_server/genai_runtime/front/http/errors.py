"""How errors and bad endings look in HTTP: the status, and OpenAI's error object. One table each."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from genai_runtime.errors import (
    EngineFailure,
    InvalidRequest,
    ModelNotFound,
    NotOffered,
    NotServing,
    Overloaded,
    RequestNotFound,
    RuntimeServerError,
    Unauthenticated,
)
from genai_runtime.front.admission import DeadlinePassed
from genai_runtime.front.generating import Ending
from genai_runtime.generation import FinishReason

_RETRY_SECONDS = 1.0
_LONGEST_MESSAGE = 900  # characters; a message may quote what was sent
_COUNTS = ("prompt_tokens", "completion_tokens")
_CANCELLED = 499  # as nginx names it; clients do not retry it

# (status, OpenAI's type, OpenAI's code)
_ERRORS: list[tuple[type[RuntimeServerError], int, str, str | None]] = [
    (InvalidRequest, 400, "invalid_request_error", None),
    (Unauthenticated, 401, "authentication_error", "invalid_api_key"),
    (ModelNotFound, 404, "invalid_request_error", "model_not_found"),
    (RequestNotFound, 404, "invalid_request_error", "request_not_found"),
    (NotOffered, 501, "invalid_request_error", "not_offered"),
    (Overloaded, 429, "rate_limit_error", "overloaded"),
    (NotServing, 503, "server_error", "not_serving"),
    (DeadlinePassed, 504, "server_error", "deadline_passed"),
    (EngineFailure, 503, "server_error", "engine_failure"),
]

# Reasons that are not here are good endings.
_FINISHES = {
    FinishReason.TERMINATED: (503, "terminated"),
    FinishReason.DEADLINE: (504, "deadline_passed"),
    FinishReason.SHUTDOWN: (503, "shutdown"),
    FinishReason.ERROR: (500, "engine_failure"),
    FinishReason.CANCELLED: (_CANCELLED, "cancelled"),
}
# Names of our own fields in the words of OpenAI's requests.
_PARAMETERS = {"token_ids": "prompt", "request_id": "X-Request-Id", "guidance": "response_format"}


class Refused(RuntimeServerError):
    """A request that is wrong as HTTP, before anybody looks into it."""

    def __init__(self, status: HTTPStatus, message: str, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is answered. `usage`: OpenAI's, of what an accepted request had got before it ended badly."""

    status: int
    message: str
    kind: str
    parameter: str | None = None
    code: str | None = None
    retry_after: float | None = None
    usage: Mapping[str, Any] | None = None

    def body(self) -> bytes:
        """OpenAI's error object; beside it the usage."""
        error = {"message": self.message, "type": self.kind, "param": self.parameter, "code": self.code}
        more = {} if self.usage is None else {"usage": self.usage}
        return json.dumps({"error": error, **more}, ensure_ascii=False).encode(errors="replace")

    def plain(self) -> bytes:
        """The error object of the Open Inference Protocol; what the request had got is named as in its good answers."""
        counts = {} if self.usage is None else {name: self.usage[name] for name in _COUNTS}
        return json.dumps({"error": self.message, **counts}, ensure_ascii=False).encode(errors="replace")

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """When to try again, and how to sign in."""
        found = [] if self.retry_after is None else [(b"retry-after", b"%d" % max(1, math.ceil(self.retry_after)))]
        return [*found, (b"www-authenticate", b"Bearer")] if self.status == HTTPStatus.UNAUTHORIZED else found


def problem_of(error: RuntimeServerError) -> Problem:
    """Of a refused request."""
    if isinstance(error, Refused):
        return Problem(error.status, error.message, "invalid_request_error", None, error.code)
    found = next((row for row in _ERRORS if isinstance(error, row[0])), (RuntimeServerError, 500, "server_error", None))
    _, status, type_, code = found
    parameter = parameter_of(error.field) if isinstance(error, InvalidRequest) else None
    message = error.message
    if isinstance(error, InvalidRequest) and parameter != error.field:
        message = f"{parameter}{message.removeprefix(error.field)}"
    if isinstance(error, ModelNotFound):
        parameter = "model"
    retry = error.retry_after if isinstance(error, (Overloaded, NotServing)) else None
    return Problem(status, message[:_LONGEST_MESSAGE], type_, parameter, code, retry)


def problem_of_ending(ending: Ending) -> Problem | None:
    """None for an ending that is an answer."""
    found = _FINISHES.get(ending.reason)
    if found is None:
        return None
    status, code = (503, "engine_failure") if ending.engine_lost else found
    message = ending.message or f"the generation ended: {ending.reason.value}"
    return Problem(status, message, "server_error", None, code, _RETRY_SECONDS if status == 503 else None)


def failed() -> Problem:
    """Of a mistake of ours; the log has the rest."""
    return Problem(500, "the server failed on this request; its log says more", "server_error")


def parameter_of(field: str) -> str:
    """A field of `Call` as the HTTP client wrote it."""
    name = field.removeprefix("options.")
    return _PARAMETERS.get(name, name)
