"""ControlService.GetFetchProgress while a real fetch goes on: what it says in each phase, and to whom."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc as pb_grpc
from genai_runtime.errors import InvalidSettings
from genai_runtime.fetch.progress import Phase, Progress
from genai_runtime.fetch.progress_service import ControlPort, served
from support.certificates import Authority
from support.fetching import Fetches, digest_of, hello_files
from support.file_server import wait_for
from support.hub_server import hub_server
from support.ports import free_port

SERVER = "hello.team.control.genai-operator.io"


@contextmanager
def calling(authority: Authority, port: int, name: str) -> Iterator[pb_grpc.ControlServiceStub]:
    pair = authority.issue(name)
    credentials = grpc.ssl_channel_credentials(authority.certificate, pair.key, pair.certificate)
    options = (("grpc.ssl_target_name_override", SERVER), ("grpc.use_local_subchannel_pool", 1))
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        yield pb_grpc.ControlServiceStub(channel)


def ask(stub: pb_grpc.ControlServiceStub) -> pb.FetchProgress:
    return stub.GetFetchProgress(pb.GetFetchProgressRequest(), timeout=60, wait_for_ready=True)


def test_a_fetch_is_followed_to_its_end(tmp_path: Path) -> None:
    fetches, authority, port = Fetches(tmp_path), Authority(), free_port()
    authority.write(tmp_path / "tls", authority.issue(SERVER))
    files = hello_files()
    size = sum(map(len, files.values()))
    with hub_server() as hub:
        commit = hub.commit(files)
        listing, path = f"/api/models/{hub.repository}/revision/main", f"/{commit}/model.onnx.data"
        hub.faults.hold[listing] = 0
        hub.network.faults.hold[path] = 1 << 20
        control = ["--control-port", str(port), "--control-tls-dir", str(tmp_path / "tls")]
        with (
            fetches.running("hf://team/hello-onnx", "--endpoint", hub.url, *control) as process,
            calling(authority, port, "genai-operator") as operator,
        ):
            first = ask(operator)
            assert (first.state, first.total_bytes) == (pb.FETCH_STATE_RESOLVING, 0)
            hub.faults.release.set()
            wait_for(lambda: ask(operator).fetched_bytes >= 1 << 20)
            now = ask(operator)
            assert now.state == pb.FETCH_STATE_FETCHING
            assert (now.total_bytes, now.total_files) == (size, len(files))
            assert 1 << 20 <= now.fetched_bytes < size
            assert now.fetched_files < len(files)
            assert (now.digest, now.reason, now.cached) == ("", "", False)
            for call in (operator.GetModel, operator.ListProfiles):
                with pytest.raises(grpc.RpcError) as refused:
                    call(pb.ListProfilesRequest(), timeout=60)
                assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
            with calling(authority, port, "genai-collector") as other, pytest.raises(grpc.RpcError) as refused:
                ask(other)
            assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
            hub.network.faults.release.set()
            ended = fetches.end(process)
    assert ended.code == 0, ended.errors
    assert ended.words["digest"] == digest_of(files)


def test_the_last_words_are_to_be_had_over_the_wire(tmp_path: Path) -> None:
    authority, port, progress = Authority(), free_port(), Progress()
    authority.write(tmp_path / "tls", authority.issue(SERVER))
    control = ControlPort("127.0.0.1", port, tmp_path / "tls", "genai-operator")
    with served(progress, control), calling(authority, port, "genai-operator") as operator:
        progress.failed("Unauthorized", "put a token there")
        now = ask(operator)
        assert (now.state, now.reason, now.message) == (pb.FETCH_STATE_FAILED, "Unauthorized", "put a token there")
        progress.complete("abc", 10, 2, cached=True)
        now = ask(operator)
        assert (now.state, now.digest, now.cached) == (pb.FETCH_STATE_COMPLETE, "abc", True)
        assert (now.fetched_bytes, now.total_bytes, now.fetched_files, now.total_files) == (10, 10, 2, 2)
        with pytest.raises(InvalidSettings, match="cannot be listened on"), served(progress, control):
            pass


def test_a_build_is_followed_by_its_percentage(tmp_path: Path) -> None:
    authority, port, progress = Authority(), free_port(), Progress()
    authority.write(tmp_path / "tls", authority.issue(SERVER))
    control = ControlPort("127.0.0.1", port, tmp_path / "tls", "genai-operator")
    with served(progress, control), calling(authority, port, "genai-operator") as operator:
        assert ask(operator).percent == 0
        told = []
        for phase, percent in ((Phase.BUILDING, 40), (Phase.BUILDING, 30), (Phase.MEASURING, 72)):
            progress.step(phase, percent)
            now = ask(operator)
            told.append((now.state, now.percent))
        assert told == [
            (pb.FETCH_STATE_BUILDING, 40),
            (pb.FETCH_STATE_BUILDING, 40),  # never less than was told
            (pb.FETCH_STATE_MEASURING, 72),
        ]


def test_without_a_certificate_there_is_no_port(tmp_path: Path) -> None:
    control = ControlPort("127.0.0.1", free_port(), tmp_path, "genai-operator")
    with pytest.raises(InvalidSettings, match="cannot be read"), served(Progress(), control):
        pass
