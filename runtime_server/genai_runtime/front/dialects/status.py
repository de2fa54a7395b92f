"""How errors and finishes look in gRPC: one table each. Used by every gRPC dialect and by the control service."""

import math
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf import any_pb2 as packed
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from genai_runtime.errors import (
    AnotherWindowOpen,
    EngineFailure,
    InvalidRequest,
    ModelNotFound,
    NotOffered,
    NotServing,
    Overloaded,
    ProfileNotFound,
    RequestNotFound,
    RuntimeServerError,
    Unauthenticated,
)
from genai_runtime.front.admission import DeadlinePassed
from genai_runtime.generation import FinishReason

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_RETRY_SECONDS = 1.0
_DOMAIN = "genai-operator.io"

_ERRORS: list[tuple[type[RuntimeServerError], grpc.StatusCode]] = [
    (InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (ModelNotFound, grpc.StatusCode.NOT_FOUND),
    (ProfileNotFound, grpc.StatusCode.NOT_FOUND),
    (AnotherWindowOpen, grpc.StatusCode.FAILED_PRECONDITION),
    (RequestNotFound, grpc.StatusCode.NOT_FOUND),
    (Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (NotOffered, grpc.StatusCode.UNIMPLEMENTED),
    (Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (NotServing, grpc.StatusCode.UNAVAILABLE),
    (DeadlinePassed, grpc.StatusCode.DEADLINE_EXCEEDED),
    (EngineFailure, grpc.StatusCode.UNAVAILABLE),
]

# Reasons that are not here end the stream with OK.
_FINISHES = {
    FinishReason.TERMINATED: grpc.StatusCode.ABORTED,
    FinishReason.DEADLINE: grpc.StatusCode.DEADLINE_EXCEEDED,
    FinishReason.SHUTDOWN: grpc.StatusCode.UNAVAILABLE,
    FinishReason.ERROR: grpc.StatusCode.INTERNAL,
    FinishReason.CANCELLED: grpc.StatusCode.CANCELLED,
}


def code_of(error: RuntimeServerError) -> grpc.StatusCode:
    """The status of a refused request."""
    return next((code for kind, code in _ERRORS if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def code_of_finish(reason: FinishReason, *, engine_lost: bool) -> grpc.StatusCode:
    """The status that follows a Finish; a request that died with its engine may be tried again."""
    if engine_lost:
        return grpc.StatusCode.UNAVAILABLE
    return _FINISHES.get(reason, grpc.StatusCode.OK)


async def abort(context: Context, error: RuntimeServerError) -> NoReturn:
    """End the call with the error's status and its google.rpc details: RetryInfo, or the field that is wrong."""
    await _abort(context, code_of(error), error.message, _details(error))


async def finish(
    context: Context, code: grpc.StatusCode, message: str, reason: FinishReason, counts: Mapping[str, int]
) -> None:
    """End a call whose generation has ended; UNAVAILABLE says when to try again.

    google.rpc.ErrorInfo says why and what the request had got, for a protocol whose answer cannot.
    """
    if code is grpc.StatusCode.OK:
        return
    metadata = {name: str(count) for name, count in counts.items()}
    details = [_retry_after(_RETRY_SECONDS)] if code is grpc.StatusCode.UNAVAILABLE else []
    details.append(_pack(ErrorInfo(reason=reason.name, domain=_DOMAIN, metadata=metadata)))
    await _abort(context, code, message, details)


async def _abort(context: Context, code: grpc.StatusCode, message: str, details: list[packed.Any]) -> NoReturn:
    """The details travel in grpc-status-details-bin."""
    status = rpc_status.to_status(Status(code=code.value[0], message=message, details=details))
    await context.abort(code, message, status.trailing_metadata if details else ())


def _retry_after(seconds: float) -> packed.Any:
    """google.rpc.RetryInfo with this delay."""
    fraction, whole = math.modf(seconds)
    return _pack(RetryInfo(retry_delay=Duration(seconds=int(whole), nanos=int(fraction * 1e9))))


def _details(error: RuntimeServerError) -> list[packed.Any]:
    if isinstance(error, (Overloaded, NotServing)):
        return [_retry_after(error.retry_after)]
    if isinstance(error, InvalidRequest):
        violation = BadRequest.FieldViolation(field=error.field, description=error.message)
        return [_pack(BadRequest(field_violations=[violation]))]
    return []


def _pack(message: RetryInfo | BadRequest | ErrorInfo) -> packed.Any:
    detail = packed.Any()
    detail.Pack(message)
    return detail
