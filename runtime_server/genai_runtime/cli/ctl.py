"""`genai-runtime ctl`: the control service over the pod's own Unix socket. Whoever may exec into the pod may use it.

The operator keeps the options of its resource; an option set here holds until the operator sets the next one.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc as pb_grpc
from genai_protocol.v1 import inference_pb2
from genai_runtime.errors import RuntimeServerError
from genai_runtime.settings import load_settings

_SECONDS = 10.0
_LONG = frozenset({"openedUnixMs", "closedUnixMs", "capturedBytes", "traceBytes", "maxBytes", "events", "calls"})
app = typer.Typer(help="Look at and drive the server of this pod.", no_args_is_help=True)
profile_app = typer.Typer(help="Profiles captured by this pod.", no_args_is_help=True)
app.add_typer(profile_app, name="profile")


class Output(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"


class Switch(StrEnum):
    """As in the annotation."""

    OFF = "0"
    ON = "1"


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="text or json")]


class ControlFailed(RuntimeServerError):
    """The control service refused, or does not answer."""


@app.command()
def status(output: OutputOption = Output.TEXT) -> None:
    """What is served, in which state, with which options."""
    with _control() as control:
        model = control.GetModel(inference_pb2.GetModelRequest(), timeout=_SECONDS)
        options = control.GetRuntimeOptions(pb.GetRuntimeOptionsRequest(), timeout=_SECONDS)
    both = {"model": _plain(model), "runtimeOptions": _plain(options)}
    if output is Output.JSON:
        print(json.dumps(both))
        return
    for section in both.values():
        for name, value in section.items():
            print(f"{name:<32} {value if isinstance(value, (str, int, float)) else json.dumps(value)}")


@app.command()
def options(
    terminate_session: Annotated[Switch | None, typer.Option(help="1 halts generation, 0 resumes it.")] = None,
    enable_profiling: Annotated[
        str | None, typer.Option(help="1 or a label opens a profiling window, 0 closes it.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the applied runtime options; with an option, change that one and keep the others."""
    with _control() as control:
        state = control.GetRuntimeOptions(pb.GetRuntimeOptionsRequest(), timeout=_SECONDS)
        if terminate_session is not None or enable_profiling is not None:
            wanted = _changed(state.options, terminate_session, enable_profiling)
            request = pb.SetRuntimeOptionsRequest(revision=f"ctl-{time.time_ns()}", options=wanted)
            state = control.SetRuntimeOptions(request, timeout=_SECONDS)
    if output is Output.JSON:
        print(json.dumps(_plain(state)))
        return
    profiling = state.options.profiling.label if state.options.HasField("profiling") else "0"
    print(f"terminate-session  {int(state.options.terminate_session)}")
    print(f"enable-profiling   {profiling}")
    if state.unsupported:
        print(f"unsupported        {', '.join(state.unsupported)}")


@profile_app.command("list")
def list_profiles(output: OutputOption = Output.TEXT) -> None:
    """The profiles of this pod, newest first."""
    with _control() as control:
        profiles = control.ListProfiles(pb.ListProfilesRequest(), timeout=_SECONDS).profiles
    if output is Output.JSON:
        print(json.dumps([_plain(profile) for profile in profiles]))
        return
    print(f"{'ID':<48} {'STATE':<9} {'RUNS':>6} {'EVENTS':>8} {'BYTES':>10}  CLOSED")
    for profile in profiles:
        state = pb.ProfileState.Name(profile.state).removeprefix("PROFILE_STATE_").lower()
        numbers = f"{profile.runs:>6} {profile.events:>8} {profile.trace_bytes:>10}"
        print(f"{profile.id:<48} {state:<9} {numbers}  {profile.close_reason}")


@profile_app.command("fetch")
def fetch_profile(
    profile_id: Annotated[str, typer.Argument(metavar="[ID]", help="Empty: the newest complete one.")] = "",
) -> None:
    """Write the merged trace (gzip) to stdout."""
    if sys.stdout.isatty():
        raise typer.BadParameter("a trace is gzip-compressed: redirect the output, for example > trace.json.gz")
    with _control() as control:
        for response in control.FetchProfile(pb.FetchProfileRequest(id=profile_id)):
            sys.stdout.buffer.write(response.data)
    sys.stdout.buffer.flush()


@contextmanager
def _control() -> Iterator[pb_grpc.ControlServiceStub]:
    """A stub on this pod's socket; errors become one readable line."""
    socket: Path = load_settings().control_socket
    if not socket.exists():
        raise ControlFailed(f"no model server listens on {socket}; start one, or set GENAI_RUN_DIR to its folder")
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        try:
            yield pb_grpc.ControlServiceStub(channel)
        except grpc.RpcError as error:
            raise ControlFailed(f"{error.code().name}: {error.details()}") from error


def _changed(applied: pb.RuntimeOptions, terminate: Switch | None, profiling: str | None) -> pb.RuntimeOptions:
    wanted = pb.RuntimeOptions()
    wanted.CopyFrom(applied)
    if terminate is not None:
        wanted.terminate_session = terminate is Switch.ON
    if profiling == "0":
        wanted.ClearField("profiling")
    elif profiling is not None:
        wanted.profiling.CopyFrom(pb.ProfilingOption(label="profile" if profiling == "1" else profiling))
    return wanted


def _plain(message: Any) -> dict[str, Any]:
    """As JSON, with 64-bit numbers as numbers and absent values shown."""
    plain: dict[str, Any] = _with_numbers(MessageToDict(message, always_print_fields_with_no_presence=True))
    return plain


def _with_numbers(value: Any) -> Any:
    """protobuf's JSON writes 64-bit numbers as strings."""
    if isinstance(value, dict):
        return {name: int(inner) if name in _LONG else _with_numbers(inner) for name, inner in value.items()}
    return [_with_numbers(inner) for inner in value] if isinstance(value, list) else value
