"""Numbers of live pods: `top` from pages that the server's own metrics make, chats' events, a benchmark's sums."""

import json

import pytest
from prometheus_client import generate_latest

from genai_kubectl.decisions.bench_summary import Measured, quantile, summarise
from genai_kubectl.decisions.chat_stream import Piece, piece, request
from genai_kubectl.decisions.pod_load import Reading, pod_load, reading
from genai_kubectl.decisions.pods import ready_names, speaks_http, tls_name
from genai_kubectl.errors import CommandFailed, NotFound
from genai_runtime.front.metrics import Metrics
from genai_runtime.front.state import ServingState


def page(*, tokens: int = 0, running: int = 0, waiting: int = 0, state: ServingState = ServingState.SERVING) -> str:
    metrics = Metrics("hello")
    metrics.show_state(state)
    metrics.show_load(running, waiting)
    metrics.generated_tokens.inc(tokens)
    return generate_latest(metrics.registry).decode()


def test_the_servers_page_is_understood() -> None:
    before, now = reading(page(tokens=100), at=10.0), reading(page(tokens=350, running=3, waiting=2), at=12.0)
    load = pod_load("hello-1", now, before)
    assert (load.tokens_per_second, load.running, load.waiting, load.state) == (125.0, 3, 2, "SERVING")
    assert load.kv_percent == 0.0
    assert not load.window


def test_a_halted_pod_says_so() -> None:
    assert reading(page(state=ServingState.HALTED), 0).state == "HALTED"


def test_one_reading_has_no_rate() -> None:
    assert pod_load("p", reading(page(tokens=5), 1), None).tokens_per_second is None


def test_a_restart_between_two_readings_has_no_rate() -> None:
    assert pod_load("p", reading(page(tokens=1), 2), reading(page(tokens=100), 1)).tokens_per_second is None


def test_a_batch_is_tokens_a_decode_run() -> None:
    names = ("genai_generated_tokens_total", "genai_decode_runs_total")
    before = Reading(0, dict.fromkeys(names, 0.0), "SERVING")
    now = Reading(2, dict(zip(names, (40.0, 10.0), strict=True)), "SERVING")
    assert pod_load("p", now, before).batch == 4.0


def test_a_streams_events() -> None:
    assert piece('{"choices": [{"delta": {"role": "assistant"}, "finish_reason": null}]}') == Piece()
    assert piece('{"choices": [{"delta": {"content": "Par"}}], "usage": null}').text == "Par"
    assert piece('{"choices": [{"delta": {}, "finish_reason": "stop"}]}').finish_reason == "stop"
    last = piece('{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}')
    assert (last.prompt_tokens, last.completion_tokens) == (7, 3)


@pytest.mark.parametrize(
    ("data", "said"),
    [('{"error": {"message": "halted", "type": "x"}}', "halted"), ("<html>", "no event"), ('{"error": "bad"}', "bad")],
)
def test_a_stream_that_breaks_says_why(data: str, said: str) -> None:
    with pytest.raises(CommandFailed, match=said):
        piece(data)


def test_a_request_asks_for_token_counts_and_only_given_limits() -> None:
    body = request("hello", [{"role": "user", "content": "hi"}], max_tokens=5)
    assert json.loads(json.dumps(body)) == {
        "model": "hello",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
    }


def test_a_benchmarks_sums() -> None:
    measured = [Measured("a", 3, (0.1, 0.2, 0.4)), Measured("b", 5, (0.3, 0.5)), Measured("a", 1, (0.2,))]
    summary = summarise(measured, failed=1, streams=2, seconds=3.0)
    assert (summary.requests, summary.tokens, summary.tokens_per_second) == (3, 9, 3.0)
    assert (summary.ttft_p50_ms, summary.ttft_p99_ms) == (200.0, 300.0)
    assert (summary.inter_token_p50_ms, summary.inter_token_p99_ms) == (50.0, 150.0)
    assert summary.longest_pause_p99_ms == 200.0
    assert summary.pods == {"a": 2, "b": 1}


def test_a_benchmark_of_single_tokens_measured_nothing_between_tokens() -> None:
    assert summarise([Measured("a", 1, (0.1,))], 0, 1, 1.0).inter_token_p50_ms is None


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.99, 4), (0.25, 1), (1.0, 4), (0.0, 1)])
def test_a_quantile_is_one_of_the_values(share: float, value: int) -> None:
    assert quantile([4, 2, 1, 3], share) == value


def pod(name: str, status: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": status}]}}


def test_only_ready_pods_are_spoken_to_unless_one_is_named() -> None:
    pods = [pod("a", "False"), pod("b", "True")]
    assert ready_names(pods, "hello") == ["b"]
    assert ready_names(pods, "hello", "a") == ["a"]
    with pytest.raises(NotFound, match="it has a, b"):
        ready_names(pods, "hello", "c")
    with pytest.raises(CommandFailed, match="genai why hello"):
        ready_names(pods[:1], "hello")


def test_how_a_model_speaks() -> None:
    plain = {"metadata": {"name": "hello", "namespace": "demo"}, "spec": {}}
    assert (speaks_http(plain), tls_name(plain)) == (True, "")
    server = {"protocols": {"http": False}, "tls": {"secretName": "x"}}
    secured = {**plain, "spec": {"server": server}}
    assert (speaks_http(secured), tls_name(secured)) == (False, "hello.demo.svc")
