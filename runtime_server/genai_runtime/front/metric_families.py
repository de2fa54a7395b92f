"""The measures of `metrics.py` as Prometheus families: our names, and vLLM's beside them for gateways and dashboards.

Names only: nothing is measured here. Labels are closed lists and what the pod's owner configured, never users' text.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from genai_runtime.front.distribution import Distribution
from genai_runtime.front.state import ServingState

if TYPE_CHECKING:
    from genai_runtime.front.metrics import Metrics

_KV_BLOCK = 64  # tokens; vLLM's unit of a KV cache, which gateways multiply by the number of blocks
# vLLM's finished_reason of each of our ends.
_FINISHED_REASONS = {"stop": "stop", "length": "length", "error": "error"}
_OTHER_END = "abort"


class OwnFamilies:
    """What `genai_*` shows beyond the gauges that count at once."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """For a registry."""
        of, engine = self._metrics, self._metrics.engine
        yield self._state()
        yield _histogram("genai_queue_seconds", "Wait for an engine slot.", of.queue_seconds)
        yield _histogram(
            "genai_time_to_first_token_seconds", "From arrival to the first token.", of.first_token_seconds
        )
        yield _histogram(
            "genai_inter_token_seconds",
            "Between two tokens of one answer; tokens that arrive together share their interval.",
            of.inter_token_seconds,
        )
        yield _histogram("genai_request_seconds", "From arrival to the finish.", of.request_seconds)
        yield CounterMetricFamily("genai_prompt_tokens", "Prompt tokens accepted.", of.prompt_tokens.value)
        yield CounterMetricFamily("genai_generated_tokens", "Tokens given out.", of.generated_tokens.value)
        yield CounterMetricFamily("genai_cached_tokens", "Prompt tokens not computed anew.", of.cached_tokens.value)
        yield GaugeMetricFamily("genai_kv_cache_use", "Share of the KV cache in use, 0 to 1.", of.kv_cache_use)
        yield GaugeMetricFamily("genai_engine_requests", "Requests that the engine holds.", engine.running)
        yield GaugeMetricFamily("genai_prefix_cache_tokens", "Tokens kept for reuse.", engine.prefix_cache_tokens)
        counts = {
            "genai_prefix_cache_hit_tokens": ("Tokens found in it.", engine.prefix_cache_hit_tokens),
            "genai_prefix_cache_asked_tokens": ("Tokens looked up in it.", engine.prefix_cache_asked_tokens),
            "genai_preemptions": ("Requests put back for want of memory.", engine.preemptions),
            "genai_prefill_runs": ("Runs of the model over prompts.", engine.prefill_runs),
            "genai_decode_runs": ("Runs of the model for new tokens.", engine.decode_runs),
        }
        for name, (text, value) in counts.items():
            yield CounterMetricFamily(name, text, value)

    def _state(self) -> Metric:
        """One series per state, 1 for the present one."""
        family = GaugeMetricFamily("genai_state", "1 for the present state.", labels=["state"])
        for state in ServingState:
            family.add_metric([state.value], float(state is self._metrics.state))
        return family


class VllmFamilies:
    """The names and labels that vLLM has, as far as gateways, autoscalers and dashboards read them."""

    def __init__(self, metrics: "Metrics", model_name: str) -> None:
        self._metrics = metrics
        self._labels = {"model_name": model_name, "engine": "0"}

    def collect(self) -> Iterable[Metric]:
        """For a registry."""
        yield from self._gauges()
        yield from self._counters()
        yield from self._histograms()
        yield self._adapters()
        if self._metrics.kv_tokens:
            labels = ["block_size", "num_gpu_blocks", "engine"]
            family = GaugeMetricFamily("vllm:cache_config_info", "The KV cache, in blocks.", labels=labels)
            family.add_metric([str(_KV_BLOCK), str(self._metrics.kv_tokens // _KV_BLOCK), "0"], 1.0)
            yield family

    def _gauges(self) -> Iterator[Metric]:
        of = self._metrics
        values = {
            "vllm:num_requests_running": ("Requests being generated.", of.shown_running),
            "vllm:num_requests_waiting": ("Requests waiting to be generated.", of.shown_waiting),
            "vllm:kv_cache_usage_perc": ("Share of the KV cache in use, 0 to 1.", of.kv_cache_use),
            "vllm:gpu_cache_usage_perc": ("The same by its older name.", of.kv_cache_use),
        }
        for name, (text, value) in values.items():
            family = GaugeMetricFamily(name, text, labels=list(self._labels))
            family.add_metric(list(self._labels.values()), value)
            yield family

    def _counters(self) -> Iterator[Metric]:
        of, engine = self._metrics, self._metrics.engine
        values = {
            "vllm:prompt_tokens": ("Prompt tokens accepted.", of.prompt_tokens.value),
            "vllm:generation_tokens": ("Tokens given out.", of.generated_tokens.value),
            "vllm:prefix_cache_queries": ("Tokens looked up in the prefix cache.", engine.prefix_cache_asked_tokens),
            "vllm:prefix_cache_hits": ("Tokens found there.", engine.prefix_cache_hit_tokens),
            "vllm:num_preemptions": ("Requests put back for want of memory.", engine.preemptions),
        }
        for name, (text, value) in values.items():
            family = CounterMetricFamily(name, text, labels=list(self._labels))
            family.add_metric(list(self._labels.values()), value)
            yield family
        ends = CounterMetricFamily(
            "vllm:request_success", "Requests by their end.", labels=[*self._labels, "finished_reason"]
        )
        sums = dict.fromkeys([*_FINISHED_REASONS.values(), _OTHER_END], 0.0)
        for reason, tally in of.ends.items():
            sums[_FINISHED_REASONS.get(reason.value, _OTHER_END)] += tally.value
        for reason_name, value in sums.items():
            ends.add_metric([*self._labels.values(), reason_name], value)
        yield ends

    def _histograms(self) -> Iterator[Metric]:
        of = self._metrics
        shown = {
            "vllm:time_to_first_token_seconds": ("From arrival to the first token.", of.first_token_seconds),
            "vllm:inter_token_latency_seconds": ("Between two tokens.", of.inter_token_seconds),
            "vllm:time_per_output_token_seconds": ("The same by its older name.", of.inter_token_seconds),
            "vllm:request_time_per_output_token_seconds": ("Mean of a request.", of.mean_token_seconds),
            "vllm:e2e_request_latency_seconds": ("From arrival to the finish.", of.request_seconds),
            "vllm:request_queue_time_seconds": ("Wait before the engine.", of.queue_seconds),
            "vllm:request_prefill_time_seconds": ("Inside the engine, of the prompt.", of.prefill_seconds),
            "vllm:request_decode_time_seconds": ("Inside the engine, of new tokens.", of.decode_seconds),
        }
        for name, (text, distribution) in shown.items():
            yield _histogram(name, text, distribution, self._labels)

    def _adapters(self) -> Metric:
        """vLLM tells the newest of these by its value, a time."""
        of = self._metrics
        labels = ["max_lora", "running_lora_adapters", "waiting_lora_adapters"]
        family = GaugeMetricFamily("vllm:lora_requests_info", "LoRA adapters in use.", labels=labels)
        running, waiting = (",".join(sorted(names)) for names in of.adapters_in_use())
        family.add_metric([str(of.max_adapters), running, waiting], time.time())
        return family


def _histogram(name: str, text: str, measured: Distribution, labels: dict[str, str] | None = None) -> Metric:
    labels = labels or {}
    family = HistogramMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), measured.buckets(), measured.total)
    return family
