"""Where the data port speaks TLS, the kubelet's probes ask elsewhere: health alone, in plain text."""

from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from genai_protocol.v1 import inference_pb2, inference_pb2_grpc
from genai_runtime.front.listeners import SERVICE
from support.certificates import Authority
from support.ports import free_port
from support.runtime import running_front

SERVING = health_pb2.HealthCheckResponse.SERVING


async def test_health_is_told_in_plain_text_and_nothing_else(tmp_path: Path) -> None:
    authority, port = Authority(), free_port()
    authority.write(tmp_path / "tls", authority.issue("hello"))
    async with running_front(tmp_path, wait=False, tls_dir=tmp_path / "tls", health_port=port) as front:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            alive = await health.Check(health_pb2.HealthCheckRequest(service=""), timeout=20, wait_for_ready=True)
            assert alive.status == SERVING
            async for ready in health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=20):
                if ready.status == SERVING:
                    break
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await inference_pb2_grpc.GenAIServiceStub(channel).GetModel(inference_pb2.GetModelRequest(), timeout=20)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        credentials = grpc.ssl_channel_credentials(authority.certificate)
        address = front.server.addresses["grpc"].replace("127.0.0.1", "localhost")
        async with grpc.aio.secure_channel(address, credentials) as channel:
            stub = inference_pb2_grpc.GenAIServiceStub(channel)
            assert (await stub.GetModel(inference_pb2.GetModelRequest(), timeout=20)).name == "hello"
