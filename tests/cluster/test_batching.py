"""The batch engine in a pod: chosen and told, many streams at once, the same text for each, and still driven live."""

import gzip
import json
from collections.abc import Callable, Iterator

import pytest
from kubernetes.client.exceptions import ApiException

from support.client_pod import ClientPod, answer
from support.model_resource import ModelAccess

STREAMS = 16
STORY = "Tell me an endless story."
ANSWER = "The capital of France is Paris."


@pytest.fixture
def driven(shared_model: ModelAccess) -> Iterator[ModelAccess]:
    """The shared model, for a test that sets options; after it none is set and every pod is told so."""
    yield shared_model
    for key in ("terminate-session", "enable-profiling"):
        shared_model.annotate(key, None)
    shared_model.wait_applied()


def test_status_and_the_pod_say_which_engine_was_chosen_and_why(shared_model: ModelAccess) -> None:
    (pod,) = shared_model.pods()
    said = json.loads(shared_model.ctl(pod["metadata"]["name"], "status", "--output", "json"))["model"]
    effective = shared_model.status()["effective"]
    assert said["engine"] == effective["engine"] == "batch"
    assert said["engineReason"] == effective["engineReason"] != ""
    assert said["maxBatchSize"] == effective["maxBatchSize"] == STREAMS
    assert int(said["kvTokens"]) == effective["kvTokens"] > 0
    assert effective["prefixCaching"] is True


def test_many_streams_at_once_have_the_text_of_one_alone(shared_model: ModelAccess, client: ClientPod) -> None:
    alone, code = client.ask(shared_model.address, text=STORY, max_tokens=200)
    assert code == "OK"
    stories = client.start("ask", shared_model.address, text=STORY, max_tokens=200, parallel=STREAMS - 4)
    questions = client.run("ask", shared_model.address, parallel=4)
    lines = stories.finish()
    told = {line["id"]: answer(lines, line["id"]) for line in lines if line["event"] == "sent"}
    assert told == dict.fromkeys([f"ask-{number}" for number in range(STREAMS - 4)], alone)
    assert {answer(questions, f"ask-{number}") for number in range(4)} == {ANSWER}
    assert {line["code"] for line in (*lines, *questions) if line["event"] == "status"} == {"OK"}


def test_a_window_and_a_halt_under_load(driven: ModelAccess, client: ClientPod) -> None:
    (pod,) = driven.pods()
    name = pod["metadata"]["name"]
    stories = client.start("ask", driven.address, text=STORY, max_tokens=4000, parallel=STREAMS, shown=1)
    for _ in range(STREAMS):
        stories.wait_for("chunk")
    driven.annotate("enable-profiling", "under-load")
    driven.wait_applied()
    driven.annotate("terminate-session", "1")
    lines = stories.finish()
    assert [line["reason"] for line in lines if line["event"] == "finish"] == ["TERMINATED"] * STREAMS
    assert [line["code"] for line in lines if line["event"] == "status"] == ["ABORTED"] * STREAMS
    driven.annotate("enable-profiling", "0")
    profile = driven.wait_profile(name, "under-load")
    assert (profile["state"], profile["requests"]) == ("COMPLETE", STREAMS)
    events = json.loads(gzip.decompress(driven.fetch_profile(name, profile["id"])))["traceEvents"]
    assert profile["runs"] > 0
    assert [event for event in events if event["ph"] == "X"]
    driven.annotate("terminate-session", "0")
    driven.wait_ready()
    assert client.ask(driven.address) == (ANSWER, "OK")


def test_a_halt_waits_for_no_prefill(driven: ModelAccess, client: ClientPod) -> None:
    prompts = client.start("prefill", driven.address, tokens=3000, parallel=8)
    for _ in range(8):
        prompts.wait_for("sent")
    driven.annotate("terminate-session", "1")
    ended = [line for line in prompts.finish() if line["event"] == "finish" and line["reason"] == "TERMINATED"]
    assert [line for line in ended if line["prompt_tokens"] == 3000 and line["completion_tokens"] == 0]


def test_an_engine_can_be_named(apply_model: Callable[..., ModelAccess], client: ClientPod) -> None:
    model = apply_model(engine={"mode": "single", "maxBatchSize": 2})
    model.wait_ready()
    effective = model.status()["effective"]
    assert (effective["engine"], effective["prefixCaching"]) == ("single", False)
    lines = client.run("ask", model.address, parallel=4)
    assert {answer(lines, f"ask-{number}") for number in range(4)} == {ANSWER}


def test_memory_for_the_cache_is_as_asked_for(apply_model: Callable[..., ModelAccess]) -> None:
    model = apply_model(engine={"mode": "batch", "kvCache": "4Mi", "prefixCaching": {"enabled": False}})
    model.wait_ready()
    (pod,) = model.pods()
    said = json.loads(model.ctl(pod["metadata"]["name"], "status", "--output", "json"))["model"]
    effective = model.status()["effective"]
    assert 0 < effective["kvTokens"] * int(said["kvBytesPerToken"]) <= 4 * 2**20
    assert effective["prefixCaching"] is False


def test_a_cache_beyond_the_limit_is_refused_by_the_field(apply_model: Callable[..., ModelAccess]) -> None:
    with pytest.raises(ApiException, match=r"engine\.kvCache must be less than resources\.limits\.memory"):
        apply_model(engine={"kvCache": "3Gi"})


def test_a_cache_that_leaves_no_room_for_the_model_is_told(apply_model: Callable[..., ModelAccess]) -> None:
    limits = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    model = apply_model(engine={"mode": "batch", "kvCache": "1000Mi"}, resources=limits)
    assert "KV cache" in model.wait_condition("Ready", "False", "OutOfMemory", 60)["message"]
