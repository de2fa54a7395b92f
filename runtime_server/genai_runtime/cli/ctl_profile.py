"""`genai-runtime ctl profile`: windows of this pod and their traces. What a selection means is the server's to say.

A window that is started here has an id of its own: nobody closes it for another one.
"""

import json
import sys
import time
from typing import Annotated

import typer

from genai_protocol.v1 import control_pb2 as pb
from genai_runtime.cli.control_client import SECONDS, ControlFailed, Output, OutputOption, control, plain

app = typer.Typer(help="Profiling windows of this pod, and their traces.", no_args_is_help=True)


@app.command("start")
def start_window(  # noqa: PLR0913 - one parameter an option
    label: Annotated[str, typer.Option(help="Begins the profile's id: a-z, 0-9 and '-', 40 at most.")] = "profile",
    runs: Annotated[
        str, typer.Option(help='"prefill,0-3,50-60": prompts and runs that make these tokens; or "every 100".')
    ] = "",
    sample_rate: Annotated[float, typer.Option(help="Share of the requests, by a hash of their ids; 0: all.")] = 0.0,
    request_id: Annotated[list[str] | None, typer.Option(help="Only this request; may be repeated.")] = None,
    client: Annotated[
        list[str] | None, typer.Option(help="Only this client, as `requests` shows it; may be repeated.")
    ] = None,
    max_runs: Annotated[int, typer.Option(min=0, help="0: the server's default.")] = 0,
    max_bytes: Annotated[int, typer.Option(min=0, help="0: the server's default.")] = 0,
    max_seconds: Annotated[int, typer.Option(min=0, help="0: the server's default.")] = 0,
    window_id: Annotated[str, typer.Option(help="Of your own: the same again opens nothing. Empty: a new one.")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Open a window on this pod; it closes by its caps, or by `stop`."""
    spec = pb.WindowSpec(
        label=label,
        max_runs=max_runs,
        max_bytes=max_bytes,
        max_seconds=max_seconds,
        runs=runs,
        sample_rate=sample_rate,
        request_ids=request_id or (),
        clients=client or (),
    )
    request = pb.OpenWindowRequest(window_id=window_id or f"ctl-{time.time_ns()}", spec=spec)
    with control() as stub:
        _show(stub.OpenWindow(request, timeout=SECONDS), output)


@app.command("stop")
def stop_window(
    window_id: Annotated[str, typer.Argument(metavar="[WINDOW_ID]", help="Empty: the one that is open.")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Close a window that has an id; what it captured is kept."""
    with control() as stub:
        if not window_id:
            window_id = _open_id(stub.ListProfiles(pb.ListProfilesRequest(), timeout=SECONDS).profiles)
        _show(stub.CloseWindow(pb.CloseWindowRequest(window_id=window_id), timeout=SECONDS), output)


@app.command("list")
def list_profiles(output: OutputOption = Output.TEXT) -> None:
    """The profiles of this pod, newest first."""
    with control() as stub:
        profiles = stub.ListProfiles(pb.ListProfilesRequest(), timeout=SECONDS).profiles
    if output is Output.JSON:
        print(json.dumps([plain(profile) for profile in profiles]))
        return
    print(f"{'ID':<48} {'STATE':<9} {'RUNS':>6} {'SKIPPED':>8} {'EVENTS':>8} {'BYTES':>10} {'COST':>7}  CLOSED")
    for profile in profiles:
        numbers = f"{profile.runs:>6} {profile.skipped_runs:>8} {profile.events:>8} {profile.trace_bytes:>10}"
        cost = f"{profile.overhead_percent:.1f}%" if profile.HasField("overhead_percent") else "-"
        print(f"{profile.id:<48} {_state(profile):<9} {numbers} {cost:>7}  {profile.close_reason}")


@app.command("fetch")
def fetch_profile(
    profile_id: Annotated[str, typer.Argument(metavar="[ID]", help="Empty: the newest complete one.")] = "",
) -> None:
    """Write the merged trace (gzip) to stdout."""
    if sys.stdout.isatty():
        raise typer.BadParameter("a trace is gzip-compressed: redirect the output, for example > trace.json.gz")
    with control() as stub:
        for response in stub.FetchProfile(pb.FetchProfileRequest(id=profile_id)):
            sys.stdout.buffer.write(response.data)
    sys.stdout.buffer.flush()


def _open_id(profiles: list[pb.Profile]) -> str:
    """Of the window that is open. Raises `ControlFailed` when there is none that has an id."""
    for profile in profiles:
        if profile.state == pb.PROFILE_STATE_OPEN:
            if profile.window_id:
                return profile.window_id
            raise ControlFailed(
                f"the open window {profile.id} was opened by an option, trace settings or the flight recorder; it ends "
                "by its caps, or by what opened it: `ctl options --enable-profiling 0`, say"
            )
    raise ControlFailed("no window is open")


def _show(profile: pb.Profile, output: Output) -> None:
    if output is Output.JSON:
        print(json.dumps(plain(profile)))
    else:
        print(f"window {profile.window_id}: profile {profile.id} is {_state(profile)}")


def _state(profile: pb.Profile) -> str:
    return pb.ProfileState.Name(profile.state).removeprefix("PROFILE_STATE_").lower()
