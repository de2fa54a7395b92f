"""Clients that others wrote, unmodified, against the whole server with the hello model."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from genai_protocol.v1 import inference_pb2 as pb
from support.foreign_clients import GHZ, GRPCURL, KSERVE, TRITON, program, python_of, run_program, run_script
from support.hello_server import HelloServer, hello_server
from support.runtime import collect, holds, running_front

ANSWER = " Paris."
CHAT = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}

pytestmark = pytest.mark.model


def settings_of(answer: dict[str, Any]) -> dict[str, list[str]]:
    return {name: setting.get("value", []) for name, setting in answer["settings"].items()}


def log_of(answer: dict[str, Any]) -> dict[str, Any]:
    """Names and values; MessageToJson leaves out nothing of a oneof."""
    return {name: next(iter(setting.values())) for name, setting in answer["settings"].items()}


@pytest.fixture
def log_level() -> Iterator[None]:
    """What a test does to this process's log is undone."""
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


@pytest.mark.usefixtures("log_level")
async def test_tritonclient(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    python = python_of(TRITON, pytestconfig)
    async with hello_server(tmp_path) as hello:
        found = await run_script(python, "triton_client.py", hello.address)
        await idle(hello)
    health = found["health"]
    assert (health["live"], health["ready"], health["model_ready"]) == (True, True, True)
    assert health["unknown"]["status"] == health["version"]["status"] == "StatusCode.NOT_FOUND"
    check_metadata(found["metadata"])
    check_infer(found["infer"])
    check_stream(found["stream"])
    assert found["cancel"]["status"] == "StatusCode.CANCELLED"
    check_settings(found["settings"])


def check_metadata(metadata: dict[str, Any]) -> None:
    assert metadata["server"]["name"] == "genai-runtime"
    assert metadata["model"]["inputs"][0] == {"name": "text_input", "datatype": "BYTES", "shape": ["1"]}
    config = metadata["config"]["config"]
    assert config["model_transaction_policy"] == {"decoupled": True}
    assert config["parameters"]["architecture"] == {"string_value": "llama"}
    assert metadata["index"]["models"] == [{"name": "hello", "version": "1", "state": "READY"}]
    assert metadata["load"] is None
    assert metadata["unload"]["status"] == metadata["shared_memory"]["status"] == "StatusCode.UNIMPLEMENTED"
    assert "terminate-session" in metadata["unload"]["message"]
    assert metadata["load_other"]["status"] == "StatusCode.NOT_FOUND"


def check_infer(infer: dict[str, Any]) -> None:
    assert (infer["text"], infer["id"]) == (ANSWER, "one")
    assert infer["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "cached_prompt_tokens": 0}
    assert len(infer["ids"]) == 5
    assert infer["other_output"] is None
    assert infer["statistics"]["success"]["count"] == "2"
    assert int(infer["statistics"]["compute_infer"]["ns"]) > 0
    for name, words in {"batch": "inputs['text_input'].shape: ", "hot": "parameters.temperature: "}.items():
        assert infer[name]["status"] == "StatusCode.INVALID_ARGUMENT"
        assert infer[name]["message"].startswith(words)
    assert infer["timed_out"]["status"] == "StatusCode.DEADLINE_EXCEEDED"


def check_stream(stream: dict[str, Any]) -> None:
    assert stream["texts"] == {"a": ANSWER, "b": ANSWER}
    assert stream["later"] == ANSWER
    (error,) = stream["errors"]
    assert error.startswith("request wrong: INVALID_ARGUMENT: inputs['text_input']: ")


def check_settings(settings: dict[str, Any]) -> None:
    before, opened, cleared = (settings_of(settings[name]) for name in ("before", "open", "cleared"))
    assert (before["trace_level"], before["trace_count"]) == (["OFF"], ["-1"])
    assert (opened["trace_level"], opened["trace_count"]) == (["TIMESTAMPS"], ["5"])
    assert (before["trace_rate"], opened["trace_rate"]) == (["1"], ["100"])
    assert cleared == before
    assert settings["file"]["message"].startswith("settings.trace_file: ")
    log = log_of(settings["log"])
    assert log_of(settings["verbose"])["log_verbose_level"] == 1
    quiet = log_of(settings["quiet"])
    assert (quiet["log_info"], quiet["log_warning"], quiet["log_error"]) == (False, False, True)
    assert log_of(settings["restored"])["log_info"] is True
    assert log["log_file"] == ""
    assert settings["log_file"]["message"].startswith("settings.log_file: ")


async def test_kserves_client(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    python = python_of(KSERVE, pytestconfig)
    async with hello_server(tmp_path) as hello:
        found = await run_script(python, "kserve_client.py", hello.address)
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert found["unknown"]["status"] == "NOT_FOUND"
    assert found["raw"] == found["typed"] == ANSWER
    assert found["stopped"] == ANSWER[:-1]
    assert found["wrong"]["status"] == "INVALID_ARGUMENT"
    assert found["wrong"]["message"].startswith("parameters.temperature: ")


async def test_grpcurl_by_reflection(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    grpcurl = program(GRPCURL, pytestconfig)
    async with hello_server(tmp_path) as hello:
        listed = (await run_program(grpcurl, "-plaintext", hello.address, "list")).split()
        described = await run_program(grpcurl, "-plaintext", hello.address, "describe", "genai.v1.GenerationOptions")
        chat = await run_program(
            grpcurl, "-plaintext", "-d", json.dumps(CHAT), hello.address, "genai.v1.GenAIService/Chat"
        )
        wrong = await run_program(
            grpcurl, "-plaintext", "-d", "{}", hello.address, "genai.v1.GenAIService/Chat", code=64 + 3
        )
    assert set(listed) >= {"genai.v1.GenAIService", "inference.GRPCInferenceService", "grpc.health.v1.Health"}
    assert "logit_bias" in described
    events = list(json_objects(chat))
    assert "".join(event.get("chunk", {}).get("text", "") for event in events) == "The capital of France is Paris."
    assert events[-1]["finish"]["reason"] == "FINISH_REASON_STOP"
    assert "InvalidArgument" in wrong
    assert "messages: " in wrong


async def test_ghz_load(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """100 requests by 16 workers: every one is answered in full, whichever protocol it speaks."""
    ghz = program(GHZ, pytestconfig)
    infer = {
        "model_name": "hello",
        "id": "the-same-for-all",
        "inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": ["SGk="]}}],
        "parameters": {"max_tokens": {"int64_param": 8}},
    }
    calls = {"genai.v1.GenAIService/Chat": CHAT, "inference.GRPCInferenceService/ModelInfer": infer}
    async with hello_server(tmp_path) as hello:
        for call, data in calls.items():
            report = json.loads(
                await run_program(
                    ghz,
                    "--insecure",
                    *("--call", call, "-d", json.dumps(data), "-n", "100", "-c", "16", "-O", "json"),
                    hello.address,
                )
            )
            assert report["statusCodeDistribution"] == {"OK": 100}
        await idle(hello)


async def test_a_health_watch_follows_the_engine(tmp_path: Path) -> None:
    """grpc_health_v1's own stub, as Kubernetes and gRPC's load balancers use it."""
    watched = ("", "genai.v1.GenAIService", "inference.GRPCInferenceService")
    async with running_front(tmp_path) as front:
        stub = health_pb2_grpc.HealthStub(front.channel)
        watches = {name: stub.Watch(health_pb2.HealthCheckRequest(service=name)) for name in watched}

        async def next_of(name: str) -> int:
            return int((await watches[name].read()).status)

        serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        assert [await next_of(name) for name in watched] == [serving] * 3
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="other"))
        assert int((await unknown.read()).status) == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        front.engine.crash()
        assert [await next_of(name) for name in watched[1:]] == [not_serving] * 2
        front.engine.come_back()
        assert [await next_of(name) for name in watched[1:]] == [serving] * 2
        front.server.request_stop()
        assert [await next_of(name) for name in watched[1:]] == [not_serving] * 2


def json_objects(text: str) -> list[dict[str, Any]]:
    """Those of a text that holds one after another."""
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


async def idle(hello: HelloServer) -> None:
    """Nothing is left in the engine, and the next request is served."""
    await holds(lambda: hello.sample("genai_requests_running") == 0)
    async with asyncio.timeout(60):
        responses, error = await collect(hello.genai.Generate(pb.GenerateRequest(prompt="The capital of France is")))
    assert error is None
    assert "".join(response.chunk.text for response in responses) == ANSWER
