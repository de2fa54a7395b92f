"""Fetching from pods over mutual TLS: what is tried again, what is not, and that only whole traces count."""

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc as pb_grpc
from genai_runtime.collector.errors import CollectionFailed, PodUnusable
from genai_runtime.collector.pods import Fetched, Identity, PodSource, fetch
from genai_traces.window_facts import WindowFacts
from support.certificates import Authority
from support.synthetic_traces import Pod, write_synthetic_trace

PROFILE = "slow-20261121T140102Z-1"
SERVER = "hello.team.control.genai-operator.io"


class FaultyPod(pb_grpc.ControlServiceServicer):
    """A pod's control service with one profile; `faults` are met once each, in their order, before it works."""

    def __init__(self, trace: bytes, *faults: str) -> None:
        self.trace = trace
        self.faults = list(faults)
        self.calls = 0
        self.profile = pb.Profile(
            id=PROFILE,
            state=pb.PROFILE_STATE_COMPLETE,
            trace_bytes=len(trace),
            dropped_runs=2,
            skipped_runs=7,
            close_reason="max_runs",
            overhead_percent=1.5,
            message="2 runs are missing",
        )

    def ListProfiles(self, request: Any, context: Any) -> pb.ListProfilesResponse:  # noqa: N802
        self.calls += 1
        fault = self.faults[0] if self.faults else ""
        if fault in ("UNAVAILABLE", "PERMISSION_DENIED"):
            self.faults.pop(0)
            context.abort(grpc.StatusCode[fault], "not now")
        profile = pb.Profile()
        profile.CopyFrom(self.profile)
        if fault == "merging":
            self.faults.pop(0)
            profile.state = pb.PROFILE_STATE_MERGING
        return pb.ListProfilesResponse(profiles=[pb.Profile(id="other"), profile])

    def FetchProfile(self, request: pb.FetchProfileRequest, context: Any) -> Iterator[pb.FetchProfileResponse]:  # noqa: N802
        assert request.id == PROFILE
        fault = self.faults.pop(0) if self.faults else ""
        trace = self.trace[:-9] if fault == "short" else self.trace * 3 if fault == "long" else self.trace
        for place in range(0, len(trace), 1024):
            if fault == "breaks" and place > 1024:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the pod ends")
            yield pb.FetchProfileResponse(data=trace[place : place + 1024])


class Served:
    """The pod, its address, and who may call it."""

    def __init__(self, pod: FaultyPod, port: int, identity: Identity) -> None:
        self.pod = pod
        self.source = PodSource("hello-1", f"127.0.0.1:{port}", PROFILE)
        self.identity = identity
        self.pauses: list[float] = []

    def fetch(self, path: Path) -> Fetched:
        return fetch(self.source, self.identity, path, self.pauses.append)


@contextmanager
def serving(tmp_path: Path, *faults: str, trace: bytes | None = None) -> Iterator[Served]:
    if trace is None:
        write_synthetic_trace(tmp_path / "made", Pod("hello-1", tokens=10))
        trace = (tmp_path / "made").read_bytes()
    authority = Authority()
    pair, mine = authority.issue(SERVER), authority.issue("genai-collector")
    server = grpc.server(ThreadPoolExecutor(2))
    pod = FaultyPod(trace, *faults)
    pb_grpc.add_ControlServiceServicer_to_server(pod, server)
    credentials = grpc.ssl_server_credentials([(pair.key, pair.certificate)], authority.certificate, True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield Served(pod, port, Identity(mine.certificate, mine.key, authority.certificate, SERVER))
    finally:
        server.stop(None).wait()


def test_a_trace_and_what_the_pod_knows_of_it(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        fetched = served.fetch(tmp_path / "t")
    assert fetched.path.read_bytes() == (tmp_path / "made").read_bytes()
    assert fetched.facts == WindowFacts(2, 7, "max_runs", 1.5, "2 runs are missing")
    assert served.pauses == []


def test_what_is_not_known_is_not_told_as_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.pod.profile.ClearField("overhead_percent")
        assert served.fetch(tmp_path / "t").facts.overhead_percent is None


def test_what_passes_is_tried_again_and_the_whole_trace_comes(tmp_path: Path) -> None:
    with serving(tmp_path, "UNAVAILABLE", "merging", "breaks", "short", "long") as served:
        fetched = served.fetch(tmp_path / "t")
    assert fetched.path.read_bytes() == (tmp_path / "made").read_bytes()
    assert len(served.pauses) == 5
    assert served.pauses[-1] > served.pauses[0]


def test_it_ends_in_the_last_reason(tmp_path: Path) -> None:
    with serving(tmp_path, *["UNAVAILABLE"] * 6, "merging", "UNAVAILABLE") as served:
        with pytest.raises(PodUnusable, match=r"pod hello-1 .*still being made; tried 7 times"):
            served.fetch(tmp_path / "t")
        assert served.pod.calls == 7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "gone"}, "has no profile"),
        ({"state": pb.PROFILE_STATE_FAILED, "message": "disk full"}, "its profile failed: disk full"),
    ],
)
def test_what_stays_is_not_tried_again(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with serving(tmp_path) as served:
        served.pod.profile.MergeFrom(pb.Profile(**change))
        with pytest.raises(PodUnusable, match=said):
            served.fetch(tmp_path / "t")
    assert (served.pod.calls, served.pauses) == (1, [])


def test_a_refusal_is_not_tried_again(tmp_path: Path) -> None:
    with (
        serving(tmp_path, "PERMISSION_DENIED") as served,
        pytest.raises(PodUnusable, match="PERMISSION_DENIED: not now"),
    ):
        served.fetch(tmp_path / "t")
    assert served.pauses == []


def test_a_trace_of_another_form_is_refused(tmp_path: Path) -> None:
    with (
        serving(tmp_path, trace=gzip.compress(b"[]\n")) as served,
        pytest.raises(PodUnusable, match="unreadable in line 1: a trace begins with"),
    ):
        served.fetch(tmp_path / "t")


def test_a_pod_with_a_foreign_certificate_is_not_believed(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        foreign = Identity(served.identity.certificate, served.identity.key, Authority().certificate, SERVER)
        with pytest.raises(PodUnusable, match="UNAVAILABLE"):
            fetch(served.source, foreign, tmp_path / "t", served.pauses.append)
        other = Identity(served.identity.certificate, served.identity.key, served.identity.authority, "other.control")
        with pytest.raises(PodUnusable, match="UNAVAILABLE"):
            fetch(served.source, other, tmp_path / "t", served.pauses.append)
    assert served.pod.calls == 0


def test_sources() -> None:
    assert PodSource.parse("a-1=10.0.0.1:9443=p-1") == PodSource("a-1", "10.0.0.1:9443", "p-1")
    assert PodSource.parse("a.b=[fd00::1]:9443=p-1").address == "[fd00::1]:9443"


@pytest.mark.parametrize(
    "text",
    ["", "a", "a=b=c", "a=10.0.0.1=p", "a=10.0.0.1:99999=p", "a=10.0.0.1:1=../p", "A=10.0.0.1:1=p", "a=unix:1/x:1=p"],
)
def test_sources_of_another_form(text: str) -> None:
    with pytest.raises(CollectionFailed, match="NAME=IP:PORT=PROFILE_ID"):
        PodSource.parse(text)


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionFailed, match=r"tls\.crt cannot be read .*--tls-dir"):
        Identity.read(tmp_path, SERVER)
