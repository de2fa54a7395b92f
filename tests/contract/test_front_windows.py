"""Windows over the control service: a whole server, the hello model, and who may do what."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc, inference_pb2
from support.certificates import Authority, Pair
from support.hello_server import HelloServer, hello_server
from support.ports import free_port
from support.runtime import ScriptedEngine, collect, eventually, running_front


@pytest.fixture
async def hello(tmp_path: Path) -> AsyncIterator[HelloServer]:
    async with hello_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def _socket(hello: HelloServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"unix:{hello.server.addresses['control_socket']}") as channel:
        yield control_pb2_grpc.ControlServiceStub(channel)


@pytest.fixture
async def control(hello: HelloServer) -> AsyncIterator[Any]:
    async with _socket(hello) as stub:
        yield stub


def opening(window_id: str = "gap-1", **spec: Any) -> pb.OpenWindowRequest:
    return pb.OpenWindowRequest(window_id=window_id, spec=pb.WindowSpec(**spec))


def options_with(label: str) -> pb.SetRuntimeOptionsRequest:
    options = pb.RuntimeOptions(profiling=pb.ProfilingOption(label=label) if label else None)
    return pb.SetRuntimeOptionsRequest(revision=f"r-{label}", options=options)


async def generate(hello: HelloServer, request_id: str, max_tokens: int = 20) -> None:
    options = inference_pb2.GenerationOptions(max_tokens=max_tokens, ignore_eos=True)
    request = inference_pb2.GenerateRequest(prompt="The capital", request_id=request_id, options=options)
    _, error = await collect(hello.genai.Generate(request))
    assert error is None


async def ended(control: Any, window_id: str = "gap-1") -> pb.Profile:
    """The window when its trace is there, or it failed."""
    found: list[pb.Profile] = []

    async def done() -> bool:
        found.append(await control.GetWindow(pb.GetWindowRequest(window_id=window_id)))
        return found[-1].state in (pb.PROFILE_STATE_COMPLETE, pb.PROFILE_STATE_FAILED)

    await eventually(done)
    return found[-1]


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


@pytest.mark.model
async def test_a_window_captures_the_chosen_runs_of_the_chosen_requests(hello: HelloServer, control: Any) -> None:
    spec: dict[str, Any] = {"label": "slow", "runs": "prefill,0-3,10", "request_ids": ["mine"]}
    opened = await control.OpenWindow(opening(**spec))
    assert (opened.window_id, opened.label, opened.state) == ("gap-1", "slow", pb.PROFILE_STATE_OPEN)
    await asyncio.gather(generate(hello, "mine"), generate(hello, "other"))
    again = await control.OpenWindow(opening(**spec))
    assert again.id == opened.id
    await control.CloseWindow(pb.CloseWindowRequest(window_id="gap-1"))
    done = await ended(control)
    assert (done.state, done.close_reason, done.dropped_runs) == (pb.PROFILE_STATE_COMPLETE, "disabled", 0)
    assert done.skipped_runs > 0
    chunks = [each.data async for each in control.FetchProfile(pb.FetchProfileRequest(id=done.id))]
    events = json.loads(gzip.decompress(b"".join(chunks)))["traceEvents"]
    runs = [event["args"] for event in events if event.get("cat") == "run"]
    assert len(runs) == done.runs
    assert all("mine" in run["requests"] for run in runs)
    assert sorted(run["requests"]["mine"] for run in runs if run["kind"] == "decode") == [1, 2, 3, 4, 11]
    assert any(run["kind"] == "prefill" for run in runs)
    assert await control.OpenWindow(opening(**spec)) == done
    assert [each.id for each in (await control.ListProfiles(pb.ListProfilesRequest())).profiles] == [done.id]


@pytest.mark.model
async def test_clients_are_chosen_by_the_name_that_lists_show(hello: HelloServer, control: Any) -> None:
    await control.OpenWindow(opening(clients=["nobody"]))
    await generate(hello, "a")
    await control.CloseWindow(pb.CloseWindowRequest(window_id="gap-1"))
    nothing = await ended(control)
    assert (nothing.state, nothing.runs) == (pb.PROFILE_STATE_FAILED, 0)
    assert nothing.message.startswith(f"None of the {nothing.skipped_runs} runs")
    await control.OpenWindow(opening("gap-2", clients=["127.0.0.1", "::1"], runs="every 2"))
    await generate(hello, "b")
    await control.CloseWindow(pb.CloseWindowRequest(window_id="gap-2"))
    found = await ended(control, "gap-2")
    assert found.state == pb.PROFILE_STATE_COMPLETE
    assert abs(found.runs - found.skipped_runs) <= 1


@pytest.mark.model
async def test_one_window_at_a_time_and_the_options_waits(hello: HelloServer, control: Any) -> None:
    await control.SetRuntimeOptions(options_with("option"))
    error = await refused(control.OpenWindow(opening()))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "option-" in (error.details() or "")
    await generate(hello, "a", 3)
    await control.SetRuntimeOptions(options_with(""))

    async def opened() -> bool:
        call = control.OpenWindow(opening(label="mine", max_runs=2))
        return await call.code() is grpc.StatusCode.OK

    await eventually(opened)
    assert (await refused(control.OpenWindow(opening("gap-2")))).code() is grpc.StatusCode.FAILED_PRECONDITION
    state = await control.SetRuntimeOptions(options_with("later"))
    assert (state.revision, state.window.label) == ("r-later", "mine")
    await generate(hello, "b", 5)
    mine = await ended(control)
    assert (mine.close_reason, mine.runs) == ("max_runs", 2)

    async def follows() -> bool:
        state = await control.GetRuntimeOptions(pb.GetRuntimeOptionsRequest())
        return (state.window.label, state.window.window_id) == ("later", "")

    await eventually(follows)


HOSTILE = [
    (opening(""), "window_id"),
    (opening("../../etc"), "window_id"),
    (opening(label="../x"), "spec.label"),
    (opening(runs="prefill,7-3"), "spec.runs"),
    (opening(sample_rate=-1), "spec.sample_rate"),
    (opening(request_ids=["a b"]), "spec.request_ids"),
    (opening(clients=["\n"]), "spec.clients"),
    (opening(max_bytes=2**40), "spec.max_bytes"),
]


@pytest.mark.model
async def test_hostile_windows_are_refused_by_their_field(hello: HelloServer, control: Any, tmp_path: Path) -> None:
    before = files_in(tmp_path)
    for request, field in HOSTILE:
        error = await refused(control.OpenWindow(request))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        status = rpc_status.from_call(error)
        assert status is not None
        violation = BadRequest()
        assert status.details[0].Unpack(violation)
        assert violation.field_violations[0].field == field
        for unknown in (
            control.GetWindow(pb.GetWindowRequest(window_id=request.window_id)),
            control.CloseWindow(pb.CloseWindowRequest(window_id=request.window_id)),
        ):
            assert (await refused(unknown)).code() is grpc.StatusCode.NOT_FOUND
    assert files_in(tmp_path) == before


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.model
async def test_a_folder_that_cannot_be_written_fails_the_window_and_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    async with hello_server(tmp_path, profile_dir=blocked) as hello, _socket(hello) as control:
        assert (await control.OpenWindow(opening())).state == pb.PROFILE_STATE_OPEN
        failed = await ended(control)
        assert (failed.state, failed.close_reason) == (pb.PROFILE_STATE_FAILED, "failed")
        assert f"profiles cannot be kept in {blocked}" in failed.message
        assert (await control.OpenWindow(opening())).id == failed.id
        await generate(hello, "a")


async def test_while_the_model_loads_the_caller_shall_ask_again(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.loadable.clear()
    async with running_front(tmp_path, engine=engine, wait=False) as front:
        error = await refused(front.control.OpenWindow(opening(label="early")))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        engine.loadable.set()
        await front.until(inference_pb2.SERVING_STATE_SERVING)
        assert (await front.control.OpenWindow(opening(label="early"))).window_id == "gap-1"
        assert front.profiles.calls == ["start", "open early"]


async def test_the_collector_may_read_profiles_and_nothing_else(tmp_path: Path) -> None:
    authority, folder = Authority(), tmp_path / "tls"
    authority.write(folder, authority.issue("hello"))
    async with running_front(tmp_path, control_port=free_port(), control_tls_dir=folder) as front:
        await front.control.OpenWindow(opening())
        (tmp_path / "trace.json.gz").write_bytes(b"trace")
        async with _channel(
            front.server.addresses["control"], authority, authority.issue("genai-collector")
        ) as channel:
            stub: Any = control_pb2_grpc.ControlServiceStub(channel)
            assert len((await stub.ListProfiles(pb.ListProfilesRequest())).profiles) == 1
            assert (await stub.GetWindow(pb.GetWindowRequest(window_id="gap-1"))).window_id == "gap-1"
            assert [each.data async for each in stub.FetchProfile(pb.FetchProfileRequest())] == [b"trace"]
            calls = front.profiles.calls.copy()
            for denied in (
                stub.OpenWindow(opening("gap-2")),
                stub.CloseWindow(pb.CloseWindowRequest(window_id="gap-1")),
                stub.GetRuntimeOptions(pb.GetRuntimeOptionsRequest()),
                stub.SetRuntimeOptions(options_with("x")),
                stub.GetModel(inference_pb2.GetModelRequest()),
                stub.Measure(pb.MeasureRequest(prompts=["x"])),
                stub.ListRequests(inference_pb2.ListRequestsRequest()),
            ):
                assert (await refused(denied)).code() is grpc.StatusCode.PERMISSION_DENIED
            assert front.profiles.calls == calls


def _channel(address: str, authority: Authority, pair: Pair) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(authority.certificate, pair.key, pair.certificate)
    return grpc.aio.secure_channel(address.replace("127.0.0.1", "localhost"), credentials)
