"""What Prometheus reads: our names and vLLM's, the same numbers, and no label of a user's."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from genai_runtime.engine.protocol import EngineStats
from genai_runtime.errors import InvalidRequest
from genai_runtime.front.distribution import Distribution
from genai_runtime.generation import Finished, FinishReason, Tokens
from support.runtime import holds
from support.service import ALL_FEATURES, TOKENIZER, Served, collect

# What the Gateway API's inference extension, KEDA's and Grafana's examples for vLLM ask for.
VLLM_SAMPLES = {
    *("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
    *("vllm:gpu_cache_usage_perc", "vllm:prompt_tokens_total", "vllm:generation_tokens_total"),
    *("vllm:request_success_total", "vllm:num_preemptions_total", "vllm:lora_requests_info"),
    *("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total", "vllm:cache_config_info"),
    *(
        f"vllm:{name}_seconds_{part}"
        for name in (
            *("time_to_first_token", "inter_token_latency", "time_per_output_token", "request_time_per_output_token"),
            *("e2e_request_latency", "request_queue_time", "request_prefill_time", "request_decode_time"),
        )
        for part in ("bucket", "sum", "count")
    ),
}
LABEL = {"model_name": "hello", "engine": "0"}


def read(served: Served) -> Iterator[Metric]:
    yield from text_string_to_metric_families(generate_latest(served.metrics.registry).decode())


def samples(served: Served) -> set[str]:
    return {sample.name for family in read(served) for sample in family.samples}


@pytest.fixture
async def after_a_request() -> Served:
    served = Served()
    served.metrics.show_model(ALL_FEATURES)
    task = asyncio.create_task(collect(served.stream(adapter="fr")))
    await holds(lambda: "r" in served.engine.streams)
    served.engine.streams["r"].put(Tokens("r", TOKENIZER.encode("Par")))
    await holds(lambda: served.service.requests()[0].stage == "decode")
    served.engine.streams["r"].put(Tokens("r", TOKENIZER.encode("is")))
    served.engine.streams["r"].put(Finished("r", FinishReason.LENGTH, 2, 5, 0.25, 0.5, cached_tokens=1))
    await task
    return served


async def test_every_name_of_vllms_is_there(after_a_request: Served) -> None:
    assert samples(after_a_request) >= VLLM_SAMPLES - {"vllm:cache_config_info"}
    after_a_request.metrics.kv_tokens = 6400
    assert samples(after_a_request) >= VLLM_SAMPLES
    assert after_a_request.value("vllm:cache_config_info", block_size="64", num_gpu_blocks="100", engine="0") == 1


async def test_both_names_have_the_same_numbers(after_a_request: Served) -> None:
    served = after_a_request
    count = len(TOKENIZER.encode("Par")) + len(TOKENIZER.encode("is"))
    assert served.value("genai_generated_tokens_total") == count
    assert served.value("vllm:generation_tokens_total", **LABEL) == count
    assert served.value("genai_inter_token_seconds_count") == count - len(TOKENIZER.encode("Par"))
    assert served.value("vllm:inter_token_latency_seconds_count", **LABEL) == count - len(TOKENIZER.encode("Par"))
    assert served.value("genai_time_to_first_token_seconds_count") == 1
    assert served.value("vllm:request_success_total", **LABEL, finished_reason="length") == 1
    assert served.value("vllm:request_success_total", **LABEL, finished_reason="stop") == 0
    assert served.value("vllm:request_prefill_time_seconds_sum", **LABEL) == 0.25
    assert served.value("vllm:request_decode_time_seconds_sum", **LABEL) == 0.5
    assert served.value("genai_cached_tokens_total") == 1
    assert served.value("genai_requests_total", method="generate", reason="length") == 1


async def test_ends_that_are_no_success_are_told_apart(after_a_request: Served) -> None:
    task = asyncio.create_task(collect(after_a_request.stream("cancelled")))
    await holds(lambda: "cancelled" in after_a_request.engine.streams)
    after_a_request.service.cancel("cancelled")
    await task
    assert after_a_request.value("vllm:request_success_total", **LABEL, finished_reason="abort") == 1


async def test_adapters_in_use_are_named() -> None:
    served = Served(slots=1)
    served.metrics.show_model(ALL_FEATURES)
    running = asyncio.create_task(collect(served.stream("running", adapter="fr")))
    await holds(lambda: "running" in served.engine.streams)
    waiting = asyncio.create_task(collect(served.stream("waiting", adapter="fr")))
    await holds(lambda: served.admission.waiting == 1)
    labels = {"max_lora": "1", "running_lora_adapters": "fr", "waiting_lora_adapters": "fr"}
    assert (served.value("vllm:lora_requests_info", **labels) or 0) > 1.7e9
    served.service.cancel("waiting")
    served.service.cancel("running")
    await asyncio.gather(running, waiting)
    labels |= {"running_lora_adapters": "", "waiting_lora_adapters": ""}
    assert served.value("vllm:lora_requests_info", **labels)


async def test_text_of_users_is_in_no_label(after_a_request: Served) -> None:
    with pytest.raises(InvalidRequest):
        await collect(after_a_request.stream("my-secret-id", client="my-secret-client", top_p=9.0))
    assert "secret" not in generate_latest(after_a_request.metrics.registry).decode()
    assert "secret" not in generate_openmetrics(after_a_request.metrics.registry).decode()


async def test_counts_of_the_engine_go_on_over_its_restarts() -> None:
    served = Served()
    served.metrics.show_engine(up=True)
    served.metrics.show_engine_stats(EngineStats(2, 5, 6, prefix_cache_hit_tokens=7, preemptions=1))
    served.metrics.show_engine(up=False)
    served.metrics.show_engine(up=True)
    served.metrics.show_engine_stats(EngineStats(0, 1, 1, prefix_cache_hit_tokens=1))
    assert served.value("vllm:prefix_cache_hits_total", **LABEL) == 8
    assert served.value("genai_preemptions_total") == 1
    assert served.value("genai_engine_requests") == 0
    assert served.value("genai_engine_restarts_total") == 1


async def test_the_use_of_the_cache_is_a_share() -> None:
    served = Served()
    served.metrics.show_engine_stats(EngineStats(1, 0, 0, kv_tokens_used=50))
    assert served.value("vllm:kv_cache_usage_perc", **LABEL) == 0
    served.metrics.kv_tokens = 200
    assert served.value("vllm:kv_cache_usage_perc", **LABEL) == 0.25
    assert served.value("vllm:gpu_cache_usage_perc", **LABEL) == served.value("genai_kv_cache_use") == 0.25


def test_a_distribution_counts_as_prometheus_does() -> None:
    measured = Distribution((0.1, 1, 10))
    for value, count in ((0.1, 1), (0.05, 2), (1.5, 3), (99.0, 1)):
        measured.observe(value, count)
    assert measured.buckets() == [("0.1", 3), ("1.0", 3), ("10.0", 6), ("+Inf", 7)]
    assert measured.total == pytest.approx(0.1 + 0.1 + 4.5 + 99.0)
