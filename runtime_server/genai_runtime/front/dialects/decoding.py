"""Bytes that are no message: gRPC would end the call with UNKNOWN and a stack trace in the log.

Here they reach the servicer as `Undecodable`, which answers as for any other wrong request (`serving.answered`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands for a message that could not be decoded; `reason` is protobuf's."""

    reason: str


class TolerantDecoding(grpc.aio.ServerInterceptor):
    """For the methods of `services`; once a call, not once a message."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._prefixes = tuple(f"/{service}/" for service in services)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, with a decoder that never raises."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(self._prefixes):
            return handler
        return handler._replace(request_deserializer=_tolerant(handler.request_deserializer))


def _tolerant(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def decoded(content: bytes) -> Any:
        try:
            return decode(content)
        except DecodeError as error:
            return Undecodable(str(error))

    return decoded
