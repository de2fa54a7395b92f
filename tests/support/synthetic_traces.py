"""Traces as a pod's writer makes them, made up: several pods, prompts and a decoding batch, two providers.

Times come from a seeded generator and grow with the position as a real decoder's do, so reports and comparisons of
them look as they will; nothing is run. `python -m support.synthetic_traces FOLDER` writes three pods' traces.
"""

import gzip
import json
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
BEGIN_US = 1_795_266_945_192_000  # 2026-11-21
# Name, op_type, provider, microseconds at one position, growth per 1000 positions behind it.
_LAYER = (
    ("input_layernorm", "SkipSimplifiedLayerNormalization", CUDA, 9, 0.0),
    ("attn/qkv_proj", "MatMulNBits", CUDA, 118, 0.0),
    ("attn/rotary", "RotaryEmbedding", CUDA, 8, 0.0),
    ("attn/attention", "GroupQueryAttention", CUDA, 46, 1.6),
    ("attn/o_proj", "MatMulNBits", CUDA, 64, 0.0),
    ("mlp/gate_up_proj", "MatMulNBits", CUDA, 236, 0.0),
    ("mlp/act", "QuickGelu", CUDA, 11, 0.0),
    ("mlp/down_proj", "MatMulNBits", CUDA, 121, 0.0),
)
_FIRST = (("embed_tokens", "Gather", CPU, 62, 0.0), ("attn_mask/where", "Where", CPU, 148, 0.0))
_LAST = (("final_norm", "SimplifiedLayerNormalization", CUDA, 10, 0.0), ("lm_head", "MatMulNBits", CUDA, 690, 0.0))


@dataclass
class Pod:
    """What is made up of one pod: `slower` multiplies all times, `growth` those of one op_type."""

    name: str
    seed: int = 1
    prompts: tuple[int, ...] = (128, 640, 32, 256)
    tokens: int = 60
    layers: int = 4
    slower: float = 1.0
    growth: dict[str, float] = field(default_factory=dict)


def write_synthetic_trace(path: Path, pod: Pod) -> list[dict[str, Any]]:
    """Write the trace of `pod` to `path`; returns its events, metadata included."""
    events = _Maker(pod).make()
    text = '{"displayTimeUnit":"ms","traceEvents":[\n' + ",\n".join(
        json.dumps(event, separators=(",", ":")) for event in events
    )
    path.write_bytes(gzip.compress((text + "\n]}\n").encode(), 6, mtime=0))
    return events


class _Maker:
    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._random = random.Random(pod.seed)
        self._events: list[dict[str, Any]] = []
        self._threads: dict[str, int] = {}
        self._now = BEGIN_US + pod.seed * 137
        self._run = 0
        self._kv = 0

    def make(self) -> list[dict[str, Any]]:
        self._metadata("process_name", 0, {"name": self._pod.name})
        requests = [f"{self._pod.name}-req-{number}" for number in range(len(self._pod.prompts))]
        for request, prompt in zip(requests, self._pod.prompts, strict=True):
            self._arrive(request, prompt)
        for token in range(1, self._pod.tokens + 1):
            # The shortest prompts' answers end first.
            alive = [each for place, each in enumerate(requests) if token <= self._pod.tokens - 8 * place]
            self._model_run("decode", dict.fromkeys(alive, token), self._kv // len(requests) + token)
        return self._events

    def _arrive(self, request: str, prompt: int) -> None:
        thread = self._thread(f"request {request}")
        for name, length in (("tokenise", 90 + prompt), ("queue", self._about(400))):
            self._span(name, "front", thread, self._now, length, {})
            self._now += length
        self._model_run("prefill", {request: prompt}, prompt)
        self._kv += prompt

    def _model_run(self, kind: str, requests: dict[str, int], position: int) -> None:
        self._run += 1
        start, work = self._now, sum(requests.values()) if kind == "prefill" else len(requests)
        alone = len(requests) == 1
        thread = self._thread(f"request {next(iter(requests))}" if alone else "batch")
        operators = [self._operator(*each, work, position) for each in self._nodes()]
        session = sum(operator[1] for operator in operators) + self._about(40)
        length = session + self._about(60)
        title = f"decode of {len(requests)} requests"
        if alone:
            title = f"prefill {work} tokens" if kind == "prefill" else f"decode #{next(iter(requests.values()))}"
        args = {"run": self._run, "kind": kind, "requests": requests, "tokens": work, "cached": {}}
        if kind == "decode":
            self._counter("batch size", start, len(requests))
        self._span(title, "run", thread, start, length, args)
        for request, token in requests.items() if not alone else ():
            mine = {"run": self._run, "kind": kind, "tokens": token}
            self._span(f"{kind} #{token}", "token", self._thread(f"request {request}"), start, length, mine)
        self._span("Session::Run", "session", thread, start + 20, session, {})
        moment = start + 30
        for name, duration, op_args in operators:
            self._span(name, "op", thread, moment, duration, op_args)
            moment += duration
        self._after(thread, start + length, requests)

    def _after(self, thread: int, end: int, requests: dict[str, int]) -> None:
        self._counter("kv tokens", end, self._kv + sum(requests.values()))
        chosen = self._about(70)
        self._span("sample", "engine", thread, end, chosen, {"run": self._run})
        self._now = end + chosen
        for request in requests:
            written = self._about(35)
            self._span("network write", "front", self._thread(f"request {request}"), self._now, written, {})
        self._now += 130

    def _nodes(self) -> list[tuple[str, str, str, int, float]]:
        layers = [
            (f"/model/layers.{layer}/{name}", op_type, provider, cost, growth)
            for layer in range(self._pod.layers)
            for name, op_type, provider, cost, growth in _LAYER
        ]
        return [*_FIRST, *layers, *_LAST]

    def _operator(
        self, name: str, op_type: str, provider: str, cost: int, growth: float, work: int, position: int
    ) -> tuple[str, int, dict[str, Any]]:
        grown = cost * (1 + growth * position / 1000) * (1 + (work - 1) * 0.05)
        grown *= self._pod.slower * self._pod.growth.get(op_type, 1.0)
        shapes = f"float16[1,{work},2048] -> float16[1,{work},2048]"
        return name, self._about(grown), {"op_type": op_type, "provider": provider, "shapes": shapes}

    def _about(self, microseconds: float) -> int:
        slow = 2.2 if self._random.random() < 0.004 else 1.0
        return max(1, round(microseconds * slow * self._random.lognormvariate(0, 0.06)))

    def _thread(self, name: str) -> int:
        if name not in self._threads:
            self._threads[name] = len(self._threads) + 1
            self._metadata("thread_name", self._threads[name], {"name": name})
            self._metadata("thread_sort_index", self._threads[name], {"sort_index": self._threads[name]})
        return self._threads[name]

    def _metadata(self, name: str, thread: int, args: dict[str, Any]) -> None:
        self._events.append({"name": name, "ph": "M", "ts": 0, "pid": 1, "tid": thread, "args": args})

    def _span(self, name: str, category: str, thread: int, start: int, length: int, args: dict[str, Any]) -> None:
        self._events.append(
            {"name": name, "cat": category, "ph": "X", "ts": start, "dur": length, "pid": 1, "tid": thread}
            | {"args": args}
        )

    def _counter(self, name: str, moment: int, value: int) -> None:
        self._events.append({"name": name, "ph": "C", "ts": moment, "pid": 1, "tid": 0, "args": {"value": value}})


def three_pods() -> list[Pod]:
    """Three replicas; the last one is slower in one operator."""
    return [
        Pod("hello-7d9f6b5c4-4xk2p", 1),
        Pod("hello-7d9f6b5c4-9mzqt", 2, (64, 512, 96, 300, 48)),
        Pod("hello-7d9f6b5c4-tw6vd", 3, (200, 900, 16), growth={"GroupQueryAttention": 2.4}),
    ]


if __name__ == "__main__":
    for each in three_pods():
        write_synthetic_trace(Path(sys.argv[1]) / f"{each.name}.trace.json.gz", each)
