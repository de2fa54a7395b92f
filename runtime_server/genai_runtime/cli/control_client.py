"""How `ctl` reaches the server of this pod, over its Unix socket, and how answers are printed. No commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict

from genai_protocol.v1 import control_pb2_grpc as pb_grpc
from genai_runtime.errors import RuntimeServerError
from genai_runtime.settings import load_settings

SECONDS = 10.0
_LONG = frozenset(
    {
        *("openedUnixMs", "closedUnixMs", "capturedBytes", "traceBytes", "maxBytes", "events", "calls"),
        *("cancelledRequests", "kvTokens", "kvBytesPerToken"),
    }
)


class Output(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="text or json")]


class ControlFailed(RuntimeServerError):
    """The control service refused, or does not answer."""


@contextmanager
def control() -> Iterator[pb_grpc.ControlServiceStub]:
    """A stub on this pod's socket; errors become one readable line."""
    socket: Path = load_settings().control_socket
    if not socket.exists():
        raise ControlFailed(f"no model server listens on {socket}; start one, or set GENAI_RUN_DIR to its folder")
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        try:
            yield pb_grpc.ControlServiceStub(channel)
        except grpc.RpcError as error:
            raise ControlFailed(f"{error.code().name}: {error.details()}") from error


def plain(message: Any) -> dict[str, Any]:
    """As JSON, with 64-bit numbers as numbers and absent values shown."""
    found: dict[str, Any] = _with_numbers(MessageToDict(message, always_print_fields_with_no_presence=True))
    return found


def _with_numbers(value: Any) -> Any:
    """protobuf's JSON writes 64-bit numbers as strings."""
    if isinstance(value, dict):
        return {name: int(inner) if name in _LONG else _with_numbers(inner) for name, inner in value.items()}
    return [_with_numbers(inner) for inner in value] if isinstance(value, list) else value
