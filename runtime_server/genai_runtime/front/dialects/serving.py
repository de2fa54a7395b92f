"""How a gRPC call reaches the service, the same for every gRPC dialect: who calls, until when, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar

import grpc
import structlog

from genai_runtime.errors import InvalidRequest, RuntimeServerError
from genai_runtime.front.access import Access
from genai_runtime.front.dialects import status
from genai_runtime.front.dialects.decoding import Undecodable
from genai_runtime.front.dialects.status import Context
from genai_runtime.front.dialects.writing import SlowReader
from genai_runtime.front.generating import Ending
from genai_runtime.generation import FinishReason

Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Response = TypeVar("Response")
_log = structlog.get_logger("genai_runtime.grpc")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose call it is, its deadline on the event loop's clock, and the W3C trace that it belongs to."""

    client: str
    deadline: float | None = None
    trace_parent: str = ""
    trace_state: str = ""


def caller_of(access: Access, context: Context) -> Caller:
    """Raises `Unauthenticated`."""
    metadata = list(context.invocation_metadata() or ())
    client = access.client_of(metadata, context.peer())
    remaining = context.time_remaining()
    traces = {name: str(value) for name, value in metadata if name in ("traceparent", "tracestate")}
    return Caller(
        client,
        None if remaining is None else asyncio.get_running_loop().time() + remaining,
        traces.get("traceparent", ""),
        traces.get("tracestate", ""),
    )


def answered(
    method: Callable[[Servicer, Request, Context], Awaitable[Response]],
) -> Callable[[Servicer, Request, Context], Awaitable[Response]]:
    """Makes whatever goes wrong in a servicer's method the call's status; never UNKNOWN."""

    @wraps(method)
    async def guarded(servicer: Servicer, request: Request, context: Context) -> Response:
        try:
            if isinstance(request, Undecodable):
                raise undecodable(request)  # noqa: TRY301 - it is answered as what the method raises
            return await method(servicer, request, context)
        except RuntimeServerError as error:
            await status.abort(context, error)
        except SlowReader as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except grpc.aio.AbortError:
            raise
        except Exception:
            _log.exception("request failed", method=method.__name__)
            await context.abort(grpc.StatusCode.INTERNAL, "the server failed on this request; its log says more")

    return guarded


def undecodable(request: Undecodable) -> InvalidRequest:
    """What is said of bytes that are no message."""
    return InvalidRequest("request", f"is no message of this method: {request.reason}")


def worst(endings: list[Ending]) -> Ending:
    """The ending that decides the status: the first that did not end well, else the last."""
    well = (FinishReason.STOP, FinishReason.LENGTH)
    return next((ending for ending in endings if ending.reason not in well), endings[-1])


async def end(context: Context, endings: list[Ending]) -> None:
    """The status after a stream's last message."""
    ending = worst(endings)
    code = status.code_of_finish(ending.reason, engine_lost=ending.engine_lost)
    record = ending.record
    counts = {"prompt_tokens": record.prompt_tokens, "completion_tokens": record.completion_tokens}
    await status.finish(context, code, ending.message, ending.reason, counts)
