"""RuntimeClient against a real gRPC server with the pods' certificates: mutual TLS, deadlines, the error table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from genai_operator.api.cancel_rule import CancelRule
from genai_operator.api.runtime_options import Profiling, Recorder, RuntimeOptions
from genai_operator.api.status_model import ProviderPlacement
from genai_operator.clients.option_messages import RecordingReply
from genai_operator.clients.runtime import ClientIdentity, PodEndpoint, RuntimeClient
from genai_operator.errors import PodRejected, PodUnreachable
from genai_operator.services.certificates import ControlAuthority, control_server_name
from genai_protocol.v1 import control_pb2, control_pb2_grpc, inference_pb2
from support.control_ca import make_ca

AUTHORITY = ControlAuthority(*make_ca())


class Pod(control_pb2_grpc.ControlServiceServicer):
    """A control service that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[control_pb2.SetRuntimeOptionsRequest] = []
        self.abort: grpc.StatusCode | None = None
        self.hang = False
        self.recorded = False
        self.common_name = ""

    async def SetRuntimeOptions(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self.told.append(request)
        self.common_name = context.auth_context()["x509_common_name"][0].decode()
        if self.hang:
            await asyncio.sleep(3600)
        if self.abort:
            await context.abort(self.abort, "because of a test")
        return control_pb2.RuntimeOptionsState(
            revision=request.revision, unsupported=["enable-profiling"], requests=3, cancelled_requests=2
        )

    async def GetRuntimeOptions(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        window = control_pb2.Profile(id="recorded-1", trigger="p99 120 ms", opened_unix_ms=5)
        return control_pb2.RuntimeOptionsState(revision="ctl-1", requests=1, window=window if self.recorded else None)

    async def GetModel(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return inference_pb2.GetModelResponse(
            engine="batch",
            provider="cpu",
            intra_op_threads=2,
            inter_op_threads=3,
            spinning=True,
            thread_cpus=[4, 6],
            warmup_tokens_per_second=12.5,
            kv_tokens=4096,
            placement=[inference_pb2.ProviderShare(provider="CPUExecutionProvider", share=0.98765, operators=["Add"])],
        )


@asynccontextmanager
async def serving(
    pod: Pod, *, authority: ControlAuthority = AUTHORITY, name: str = "hello"
) -> AsyncIterator[PodEndpoint]:
    made = authority.server_certificate(name, "team", "uid")
    server = grpc.aio.server()
    register: Any = control_pb2_grpc.add_ControlServiceServicer_to_server
    register(pod, server)
    credentials = grpc.ssl_server_credentials(
        [(made.key, made.certificate)], root_certificates=made.authority, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield PodEndpoint("127.0.0.1", control_server_name("hello", "team"), port)
    finally:
        await server.stop(0)


@asynccontextmanager
async def client(authority: ControlAuthority = AUTHORITY) -> AsyncIterator[RuntimeClient]:
    made = RuntimeClient(authority.client_identity)
    try:
        yield made
    finally:
        await made.close()


async def test_options_arrive_whole_and_the_answer_says_what_was_applied() -> None:
    pod = Pod()
    options = RuntimeOptions(terminate_session=True, profiling=Profiling("slow", max_runs=7, max_seconds=30))
    async with serving(pod) as endpoint, client() as runtime:
        reply = await runtime.set_options(endpoint, "abc", options, deadline_seconds=10)
    assert (reply.revision, reply.unsupported) == ("abc", ("enable-profiling",))
    told = pod.told[0]
    assert told.revision == "abc"
    assert told.options.terminate_session
    assert (told.options.profiling.label, told.options.profiling.max_runs) == ("slow", 7)
    assert (told.options.profiling.max_bytes, told.options.profiling.max_seconds) == (0, 30)
    assert pod.common_name == "genai-operator"
    assert (reply.requests, reply.cancelled_requests, reply.recording) == (3, 2, None)


async def test_every_option_has_its_place_in_the_message() -> None:
    pod = Pod()
    options = RuntimeOptions(
        log_level="debug",
        arena_shrinkage=True,
        drain_seconds=30,
        cancel=CancelRule(request_id="a", client="b", older_than_seconds=1.5, tokens_over=7),
        flight_recorder=Recorder(0.08, 2.0, 30.0, 1),
        adapters=(("legal", "adapters/legal"),),
    )
    async with serving(pod) as endpoint, client() as runtime:
        await runtime.set_options(endpoint, "abc", options, deadline_seconds=10)
    assert pod.told[0].options == control_pb2.RuntimeOptions(
        log_level="debug",
        arena_shrinkage=True,
        drain=control_pb2.DrainOption(deadline_seconds=30),
        cancel=control_pb2.CancelRule(request_id="a", client="b", older_than_seconds=1.5, tokens_over=7),
        flight_recorder=control_pb2.FlightRecorderOption(
            inter_token_p99_seconds=0.08, time_to_first_token_p99_seconds=2.0, for_seconds=30.0, max_per_hour=1
        ),
        adapters=control_pb2.AdaptersOption(adapters=[control_pb2.Adapter(name="legal", path="adapters/legal")]),
    )


async def test_what_a_pod_has_now_is_read_without_telling_it_anything() -> None:
    pod = Pod()
    async with serving(pod) as endpoint, client() as runtime:
        reply = await runtime.get_options(endpoint, deadline_seconds=10)
        pod.recorded = True
        recorded = await runtime.get_options(endpoint, deadline_seconds=10)
    assert (reply.revision, reply.requests, reply.recording) == ("ctl-1", 1, None)
    assert recorded.recording == RecordingReply("recorded-1", "p99 120 ms", 5)
    assert pod.told == []


async def test_what_is_not_wanted_is_absent_but_no_adapters_are_none() -> None:
    pod = Pod()
    async with serving(pod) as endpoint, client() as runtime:
        await runtime.set_options(endpoint, "abc", RuntimeOptions(), deadline_seconds=10)
    assert pod.told[0].options == control_pb2.RuntimeOptions(adapters=control_pb2.AdaptersOption())


async def test_what_the_pod_serves() -> None:
    async with serving(Pod()) as endpoint, client() as runtime:
        reply = await runtime.get_model(endpoint, deadline_seconds=10)
    assert (reply.engine, reply.provider, reply.intra_op_threads, reply.kv_tokens) == ("batch", "cpu", 2, 4096)
    assert (reply.inter_op_threads, reply.spinning, reply.thread_cpus) == (3, True, (4, 6))
    assert reply.tokens_per_second == 12.5
    on_cpu = ProviderPlacement(provider="CPUExecutionProvider", share_percent=98.8, operators=("Add",))
    assert reply.placement == (on_cpu,)


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED])
async def test_a_refusal_is_final(code: grpc.StatusCode) -> None:
    pod = Pod()
    pod.abort = code
    async with serving(pod) as endpoint, client() as runtime:
        with pytest.raises(PodRejected, match="because of a test"):
            await runtime.set_options(endpoint, "abc", RuntimeOptions(), deadline_seconds=10)


async def test_a_pod_that_does_not_answer_is_unreachable_after_the_deadline() -> None:
    pod = Pod()
    pod.hang = True
    async with serving(pod) as endpoint, client() as runtime:
        with pytest.raises(PodUnreachable, match="DEADLINE_EXCEEDED"):
            await runtime.set_options(endpoint, "abc", RuntimeOptions(), deadline_seconds=0.2)


async def test_a_port_nobody_listens_on_is_unreachable() -> None:
    async with serving(Pod()) as endpoint:
        pass
    async with client() as runtime:
        with pytest.raises(PodUnreachable):
            await runtime.get_model(endpoint, deadline_seconds=0.3)


async def test_a_pod_that_comes_up_within_the_deadline_is_reached() -> None:
    async with serving(Pod()) as endpoint:
        pass
    made = AUTHORITY.server_certificate("hello", "team", "uid")
    credentials = grpc.ssl_server_credentials([(made.key, made.certificate)], made.authority, require_client_auth=True)
    async with client() as runtime:
        call = asyncio.create_task(runtime.get_model(endpoint, deadline_seconds=20))
        await asyncio.sleep(0.2)
        server = grpc.aio.server()
        register: Any = control_pb2_grpc.add_ControlServiceServicer_to_server
        register(Pod(), server)
        server.add_secure_port(f"127.0.0.1:{endpoint.port}", credentials)
        await server.start()
        try:
            assert (await call).engine == "batch"
        finally:
            await server.stop(0)


async def test_another_models_pod_is_not_talked_to() -> None:
    pod = Pod()
    async with serving(pod, name="other") as endpoint, client() as runtime:
        with pytest.raises(PodUnreachable):
            await runtime.set_options(endpoint, "abc", RuntimeOptions(), deadline_seconds=0.5)
    assert pod.told == []


async def test_a_pod_of_another_authority_is_not_talked_to() -> None:
    pod = Pod()
    async with serving(pod, authority=ControlAuthority(*make_ca())) as endpoint, client() as runtime:
        with pytest.raises(PodUnreachable):
            await runtime.set_options(endpoint, "abc", RuntimeOptions(), deadline_seconds=0.5)
    assert pod.told == []


async def test_a_models_own_certificate_is_not_taken_for_the_operators() -> None:
    made = AUTHORITY.server_certificate("hello", "team", "uid")
    stolen = ClientIdentity(made.certificate, made.key, made.authority)
    thief = RuntimeClient(lambda: stolen)
    pod = Pod()
    try:
        async with serving(pod) as endpoint:
            with pytest.raises(PodUnreachable):
                await thief.set_options(endpoint, "abc", RuntimeOptions(), deadline_seconds=0.5)
    finally:
        await thief.close()
    assert pod.told == []
