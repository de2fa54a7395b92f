"""The control service over real gRPC: options act at once, and only the operator's certificate may call."""

import asyncio
import gzip
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc, inference_pb2
from genai_runtime.errors import InvalidSettings
from genai_runtime.front.listeners import ControlListener
from genai_runtime.front.tls import CertificateFiles, grpc_credentials
from support.certificates import Authority, Pair
from support.ports import free_port
from support.runtime import Front, ScriptedEngine, collect, running_front, settings_for


def wanted(revision: str, *, terminate: bool = False, label: str = "", **caps: int) -> pb.SetRuntimeOptionsRequest:
    options = pb.RuntimeOptions(terminate_session=terminate)
    if label:
        options.profiling.CopyFrom(pb.ProfilingOption(label=label, **caps))
    return pb.SetRuntimeOptionsRequest(revision=revision, options=options)


def chat(request_id: str = "") -> inference_pb2.ChatRequest:
    message = inference_pb2.ChatMessage(role="user", content="hi")
    return inference_pb2.ChatRequest(messages=[message], request_id=request_id)


async def test_terminate_ends_streams_refuses_new_ones_and_resumes(tmp_path: Path) -> None:
    async with running_front(tmp_path, max_concurrent_requests=1) as front:
        front.engine.hold = True
        running, waiting = front.genai.Chat(chat("running")), front.genai.Chat(chat("waiting"))
        await front.submitted()
        await front.waiting(1)
        state = await front.control.SetRuntimeOptions(wanted("r1", terminate=True))
        assert (state.revision, state.options.terminate_session) == ("r1", True)
        assert state.serving_state == inference_pb2.SERVING_STATE_HALTED
        messages, aborted = await collect(running)
        assert aborted is not None
        assert aborted.code() is grpc.StatusCode.ABORTED
        assert [message.finish.reason for message in messages] == [inference_pb2.FINISH_REASON_TERMINATED]
        for refused in (waiting, front.genai.Chat(chat("new"))):
            messages, unavailable = await collect(refused)
            assert messages == []
            assert unavailable is not None
            assert unavailable.code() is grpc.StatusCode.UNAVAILABLE
            assert "terminate-session" in (unavailable.details() or "")
        front.engine.hold = False
        state = await front.control.SetRuntimeOptions(wanted("r2"))
        assert state.serving_state == inference_pb2.SERVING_STATE_SERVING
        assert [message.finish.reason async for message in front.genai.Chat(chat())][-1] == 1
        assert front.engine.calls == ["halt", "resume"]


async def test_the_same_options_again_change_nothing(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        for revision in ("a", "a", "b"):
            state = await front.control.SetRuntimeOptions(wanted(revision, terminate=True, label="slow", max_runs=5))
        assert front.engine.calls == ["halt"]
        assert [call for call in front.profiles.calls if "open" in call] == ["open slow"]
        assert state.revision == "b"
        assert (state.window.label, state.window.state) == ("slow", pb.PROFILE_STATE_OPEN)
        assert state.options.profiling.max_runs == 5
        assert await front.control.GetRuntimeOptions(pb.GetRuntimeOptionsRequest()) == state


async def test_a_window_follows_its_option(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        await front.control.SetRuntimeOptions(wanted("1", label="a"))
        await front.control.SetRuntimeOptions(wanted("2", label="b"))
        await front.control.SetRuntimeOptions(wanted("3"))
        state = await front.control.SetRuntimeOptions(wanted("4", label="b"))
        assert front.profiles.calls == ["start", "open a", "open b", "close disabled", "open b"]
        listed = await front.control.ListProfiles(pb.ListProfilesRequest())
        assert [profile.label for profile in listed.profiles] == ["b", "b", "a"]
        assert state.window == listed.profiles[0]


@pytest.mark.parametrize("label", ["../x", "A", "", "x" * 41, "a b", "é"])
async def test_a_bad_label_changes_nothing(tmp_path: Path, label: str) -> None:
    async with running_front(tmp_path) as front:
        request = pb.SetRuntimeOptionsRequest(
            revision="r", options=pb.RuntimeOptions(terminate_session=True, profiling=pb.ProfilingOption(label=label))
        )
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await front.control.SetRuntimeOptions(request)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await front.control.GetRuntimeOptions(pb.GetRuntimeOptionsRequest())).revision == ""
        assert front.engine.calls == []
        assert "open" not in " ".join(front.profiles.calls)


async def test_a_pod_that_starts_hears_a_halt_before_it_is_ready(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.loadable.clear()
    async with running_front(tmp_path, engine=engine, wait=False, options_wait_seconds=60) as front:
        await front.control.SetRuntimeOptions(wanted("r", terminate=True))
        engine.loadable.set()
        await front.until(inference_pb2.SERVING_STATE_HALTED)


async def test_a_pod_waits_for_the_first_word_only_so_long(tmp_path: Path) -> None:
    async with running_front(tmp_path, options_wait_seconds=0.05) as front:
        assert (await front.control.GetRuntimeOptions(pb.GetRuntimeOptionsRequest())).revision == ""


async def test_profiles_are_streamed_in_small_chunks(tmp_path: Path) -> None:
    trace = gzip.compress(bytes(range(256)) * 4000, compresslevel=0)
    async with running_front(tmp_path) as front:
        chunks, missing = await collect(front.control.FetchProfile(pb.FetchProfileRequest(id="x")))
        assert chunks == []
        assert missing is not None
        assert missing.code() is grpc.StatusCode.NOT_FOUND
        (tmp_path / "trace.json.gz").write_bytes(trace)
        chunks = [response.data async for response in front.control.FetchProfile(pb.FetchProfileRequest())]
    assert b"".join(chunks) == trace
    assert max(map(len, chunks)) == 64 * 1024


async def test_the_socket_is_for_its_user_alone(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        path = front.server.addresses["control_socket"]
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.lstat(Path(path).parent).st_mode) == 0o700


async def test_a_second_server_does_not_take_over_the_socket(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        with pytest.raises(InvalidSettings, match=r"another model server.*GENAI_RUN_DIR"):
            ControlListener.on_socket(Path(front.server.addresses["control_socket"]), None)  # type: ignore[arg-type]


async def test_a_dead_servers_socket_is_replaced(tmp_path: Path) -> None:
    path = settings_for(tmp_path).control_socket
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with running_front(tmp_path) as front:
        assert (await front.control.GetModel(inference_pb2.GetModelRequest())).name == "hello"


class Tls:
    """A server whose control port has certificates of one authority."""

    def __init__(self, front: Front, authority: Authority, folder: Path) -> None:
        self.front = front
        self.authority = authority
        self.folder = folder

    async def call(self, pair: Pair | None, authority: Authority | None = None) -> pb.RuntimeOptionsState:
        trusted = (authority or self.authority).certificate
        credentials = grpc.ssl_channel_credentials(
            trusted, pair.key if pair else None, pair.certificate if pair else None
        )
        address = self.front.server.addresses["control"].replace("127.0.0.1", "localhost")
        async with grpc.aio.secure_channel(address, credentials) as channel:
            stub = control_pb2_grpc.ControlServiceStub(channel)
            return await stub.GetRuntimeOptions(pb.GetRuntimeOptionsRequest(), timeout=20)


@asynccontextmanager
async def with_tls(tmp_path: Path) -> AsyncIterator[Tls]:
    authority, folder = Authority(), tmp_path / "tls"
    authority.write(folder, authority.issue("hello"))
    async with running_front(tmp_path, control_port=free_port(), control_tls_dir=folder) as front:
        yield Tls(front, authority, folder)


async def test_the_operator_may_call(tmp_path: Path) -> None:
    async with with_tls(tmp_path) as tls:
        state = await tls.call(tls.authority.issue("genai-operator"))
        assert state.serving_state == inference_pb2.SERVING_STATE_SERVING


async def test_another_name_of_the_same_authority_is_denied(tmp_path: Path) -> None:
    async with with_tls(tmp_path) as tls:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await tls.call(tls.authority.issue("other-model"))
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_no_certificate_and_a_foreign_one_do_not_get_in(tmp_path: Path) -> None:
    async with with_tls(tmp_path) as tls:
        for pair in (None, Authority().issue("genai-operator")):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await tls.call(pair)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_renewed_certificates_are_used_and_broken_ones_are_not(tmp_path: Path) -> None:
    async with with_tls(tmp_path) as tls:
        operator = tls.authority.issue("genai-operator")
        (tls.folder / "tls.key").write_bytes(b"broken")
        await tls.call(operator)
        renewed = Authority()
        renewed.write(tls.folder, renewed.issue("hello"))
        await tls.call(renewed.issue("genai-operator"), renewed)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await tls.call(operator)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        (tls.folder / "ca.crt").unlink()
        await tls.call(renewed.issue("genai-operator"), renewed)


def test_missing_certificates_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"tls\.crt.*GENAI_CONTROL_PORT=0"):
        grpc_credentials(CertificateFiles.of_control(tmp_path))
    authority = Authority()
    authority.write(tmp_path, Pair(authority.issue("a").certificate, authority.issue("b").key))
    with pytest.raises(InvalidSettings, match="do not fit together"):
        grpc_credentials(CertificateFiles.of_control(tmp_path))


async def test_a_halt_does_not_wait_for_a_window(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        blocked = asyncio.Event()

        async def never(reason: str) -> None:
            blocked.set()
            await asyncio.Event().wait()

        await front.control.SetRuntimeOptions(wanted("1", label="a"))
        front.profiles.close = never  # type: ignore[method-assign]
        closing = front.control.SetRuntimeOptions(wanted("2"))
        await blocked.wait()
        halting = front.control.SetRuntimeOptions(wanted("3", terminate=True))
        await front.until(inference_pb2.SERVING_STATE_HALTED)
        assert front.engine.calls == ["halt"]
        for call in (closing, halting):
            call.cancel()
