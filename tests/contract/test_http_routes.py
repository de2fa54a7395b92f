"""The other routes of the HTTP port with a plain client, and what holds for all: health, ids, methods, keys, drain."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.generation import FinishReason, Tokens
from support.http_front import hello_http, http_front
from support.runtime import ScriptedEngine, holds
from support.tiny_tokenizer import byte_level

PARIS = byte_level().encode("Paris 👍").ids
ASKED = {"messages": [{"role": "user", "content": "the capital?"}]}
TEXT = {"text_input": "the capital"}


def events(answer: httpx2.Response) -> list[Any]:
    """The JSON of a stream of events."""
    assert answer.headers["content-type"] == "text/event-stream"
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]


async def test_the_guides_routes(tmp_path: Path) -> None:
    async with hello_http(tmp_path) as (_, base), httpx2.AsyncClient(base_url=base, timeout=30) as web:
        health = (await web.get("/healthz")).json()
        body = {**ASKED, "model": "onnx-genai", "temperature": 0, "max_tokens": 20, "top_p": 0.9, "top_k": 50}
        whole = (await web.post("/v1/chat", json=body)).json()
        streamed = events(await web.post("/v1/chat/stream", json=body))
    assert health["status"] == "ok"
    assert (health["backend"], health["device"]) == ("onnx-genai", "cpu")
    assert whole["content"]
    assert "".join(event["token"] for event in streamed[:-1]) == whole["content"]
    assert (streamed[-1]["done"], streamed[-1]["token"]) == (True, "[DONE]")
    for metrics in (whole["metrics"], streamed[-1]["metrics"]):
        assert 0 < metrics["ttft"] <= metrics["total_latency"]
        assert metrics["tpot"] > 0
        assert metrics["output_tokens_per_second"] >= metrics["tokens_per_second"] > 0
        assert (metrics["model"], metrics["output_tokens"] > 1) == ("hello", True)


async def test_open_inference_over_rest(tmp_path: Path) -> None:
    async with http_front(tmp_path) as front, front.web() as web:
        front.engine.answer = PARIS
        assert (await web.get("/v2")).json()["name"] == "genai-runtime"
        for path in (
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/models/hello/ready",
            "/v2/models/hello/versions/1/ready",
        ):
            assert (await web.get(path)).status_code == 200
        assert (await web.get("/v2/models/hello")).json()["inputs"][0]["name"] == "text_input"
        whole = (await web.post("/v2/models/hello/generate", json={**TEXT, "id": "7", "max_tokens": 50})).json()
        streamed = events(
            await web.post("/v2/models/hello/generate_stream", json={**TEXT, "parameters": {"max_tokens": 50}})
        )
        tensor = {"name": "text_input", "shape": [1, 1], "datatype": "BYTES", "data": [["the capital"]]}
        inferred = (await web.post("/v2/models/hello/infer", json={"inputs": [tensor]})).json()
    assert (whole["id"], whole["text_output"], whole["finish_reason"]) == ("7", "Paris 👍", "stop")
    assert "".join(event["text_output"] for event in streamed) == "Paris 👍"
    assert streamed[-1]["finish_reason"] == "stop"
    outputs = {output["name"]: output["data"] for output in inferred["outputs"]}
    assert outputs["text_output"] == ["Paris 👍"]
    assert outputs["output_ids"] == PARIS


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v2/models/other/generate", TEXT, 404, "other"),
        ("/v2/models/hello/versions/2/generate", TEXT, 404, "version"),
        ("/v2/models/hello/generate", {}, 400, "text_input"),
        ("/v2/models/hello/generate", {**TEXT, "temperature": 9}, 400, "parameters.temperature"),
        ("/v2/models/hello/generate", {**TEXT, "wibble": 9}, 400, "wibble"),
        ("/v2/models/hello/generate", {**TEXT, "stream": True}, 400, "generate_stream"),
        (
            "/v2/models/hello/infer",
            {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": [1]}]},
            400,
            "BYTES",
        ),
        (
            "/v2/models/hello/infer",
            {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [2**70]}]},
            400,
            "data",
        ),
        ("/v2/nothing", {}, 404, "/v2/nothing"),
    ],
)
async def test_open_inference_errors_have_their_shape(
    tmp_path: Path, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    async with http_front(tmp_path) as front, front.web() as web:
        answer = await web.post(path, json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]


async def test_methods_paths_and_ids(tmp_path: Path) -> None:
    async with http_front(tmp_path) as front, front.web() as web:
        head = await web.head("/healthz")
        assert (head.status_code, head.content) == (200, b"")
        options = await web.options("/v1/chat/completions", headers={"origin": "https://evil.example"})
        assert (options.status_code, options.headers["allow"]) == (200, "OPTIONS, POST")
        assert not [name for name in options.headers if name.startswith("access-control")]
        wrong = await web.get("/v1/chat/completions")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
        missing = await web.get("/v1/embeddings")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
        kept = await web.post("/v1/chat", json=ASKED, headers={"x-request-id": "mine-1"})
        assert kept.headers["x-request-id"] == "mine-1"
        assert "mine-1" in front.engine.streams
        replaced = await web.post("/v1/chat", json=ASKED, headers={"x-request-id": "a b\t" + "x" * 80})
        assert len(replaced.headers["x-request-id"]) == 16


async def test_the_description_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    async with http_front(tmp_path) as front, front.web() as web:
        page = (await web.get("/docs")).text
        described = (await web.get("/openapi.json")).json()
    assert "/v1/chat/completions" in page
    assert "http://" not in page.replace(front.base, "")
    assert "https://" not in page
    assert "<script" not in page
    assert "/v2/models/{model}/generate_stream" in described["paths"]
    references = set(re.findall(r'"\$ref": ?"#/components/schemas/(\w+)"', json.dumps(described)))
    assert {"ChatCompletionRequest", "Tool"} <= references <= described["components"]["schemas"].keys()


async def test_a_loading_server_says_when_to_come_back(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.loadable.clear()
    async with http_front(tmp_path, engine=engine, wait=False) as front, front.web() as web:
        await holds(lambda: "http" in front.front.server.addresses)
        await _listening(web)
        assert (await web.get("/healthz")).status_code == 503
        assert (await web.get("/v2/health/live")).status_code == 200
        assert (await web.get("/v2/health/ready")).status_code == 503
        assert [model["id"] for model in (await web.get("/v1/models")).json()["data"]] == ["hello"]
        refused = await web.post("/v1/chat/completions", json=ASKED)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_serving")
        assert int(refused.headers["retry-after"]) >= 1
        engine.loadable.set()


async def _listening(web: httpx2.AsyncClient) -> None:
    while True:
        try:
            await web.get("/v2/health/live")
        except httpx2.ConnectError:
            await asyncio.sleep(0.01)
        else:
            return


async def test_a_drain_finishes_streams_and_refuses_new_requests(tmp_path: Path) -> None:
    async with http_front(tmp_path) as front, front.web() as web:
        front.engine.hold = True
        running = asyncio.create_task(web.post("/v1/chat/stream", json=ASKED))
        await front.front.submitted()
        front.front.server.request_stop()
        await holds(lambda: front.front.server.state.draining)
        assert (await web.post("/v1/chat", json=ASKED)).status_code == 503
        (request_id,) = front.engine.streams
        front.engine.streams[request_id].put(Tokens(request_id, PARIS))
        front.engine.end(request_id, FinishReason.STOP)
        assert events(await running)[0] == {"token": "Paris 👍"}


async def test_a_client_that_goes_away_frees_its_row(tmp_path: Path) -> None:
    async with http_front(tmp_path) as front, front.web() as web:
        front.engine.hold = True
        for path, number in (("/v1/chat/stream", 1), ("/v1/chat", 2), ("/v1/chat/completions", 3)):
            task = asyncio.create_task(web.post(path, json=ASKED))
            await front.front.submitted(number)
            task.cancel()
            request_id = list(front.engine.streams)[-1]
            await front.front.cancelled(request_id, FinishReason.CANCELLED)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (FinishReason.TERMINATED, 503),
        (FinishReason.DEADLINE, 504),
        (FinishReason.SHUTDOWN, 503),
        (FinishReason.ERROR, 500),
    ],
)
async def test_bad_endings(tmp_path: Path, reason: FinishReason, status: int, streams: bool) -> None:
    async with http_front(tmp_path) as front, front.web() as web:
        front.engine.hold = True
        body = {**ASKED, "stream": streams}
        task = asyncio.create_task(web.post("/v1/chat/completions", json=body))
        await front.front.submitted()
        (request_id,) = front.engine.streams
        front.engine.end(request_id, reason)
        answer = await task
    if streams:
        assert answer.status_code == 200
        assert events(answer)[-1]["error"]["type"] == "server_error"
    else:
        assert answer.status_code == status
        assert ("retry-after" in answer.headers) == (status == 503)


async def test_keys_are_asked_for_everywhere_but_health(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "team-a").write_text("sesame\n")
    async with http_front(tmp_path, api_keys_dir=keys) as front, front.web() as web:
        for path in ("/healthz", "/v2/health/live", "/v2/health/ready", "/docs"):
            assert (await web.get(path)).status_code == 200
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat"), ("POST", "/v2/models/hello/generate")):
            refused = await web.request(method, path, headers={"authorization": "Bearer wrong"})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        allowed = {"authorization": "Bearer sesame"}
        front.engine.hold = True
        task = asyncio.create_task(web.post("/v1/chat", json=ASKED, headers=allowed))
        await front.front.submitted()
        listed = await front.front.genai.ListRequests(pb.ListRequestsRequest(), metadata=[("x-api-key", "sesame")])
        assert [request.client for request in listed.requests] == ["team-a"]
        (request_id,) = front.engine.streams
        front.engine.end(request_id, FinishReason.STOP)
        assert (await task).status_code == 200
