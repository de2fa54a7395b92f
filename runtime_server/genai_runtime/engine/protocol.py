"""What an engine is. Both engines and the fake implement `Engine`; the worker and the front know nothing else.

One thread, the worker's, owns an engine: it alone calls `load`, `submit`, `step`, `open_window`, `close_window`,
`set_adapters` and `set_arena_shrinkage`.
`cancel`, `halt` and `resume` may be called from any other thread at any time: they take effect *inside* a run that is
in progress (a prefill of a long prompt included) and their events come out of the next `step`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from genai_runtime.generation import EngineEvent, FinishReason, GenerationRequest
from genai_runtime.profiling.selection import Selection


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """How to load a model. Everything is typed; nothing in it is a user's free text except the folder."""

    model_dir: Path
    profile_dir: Path
    provider: str = "cpu"
    intra_op_threads: int = 1
    inter_op_threads: int = 0  # operators that run at the same time; 0: one after the other
    spinning: bool = True
    exclusive_cpus: tuple[int, ...] = ()  # CPUs that nobody else has: a thread stays on each; empty: on none
    graph_optimization_level: str | None = None  # disabled | basic | extended | all; None: the engine's own
    memory_arena: bool | None = None
    memory_pattern: bool | None = None
    session_entries: dict[str, str] = field(default_factory=dict)  # ONNX Runtime's own, of session_entries.SETTABLE
    max_sequence_length: int = 0  # 0: the model's context length
    max_concurrent: int = 4  # requests held at once; the batch engine's rows
    prefill_chunk: int = 0  # tokens; what a joining prompt may delay the running streams by; 0: measured at the load
    kv_cache_bytes: int = 0  # 0: what the memory limit allows
    prefix_cache_bytes: int = -1  # -1: a share of the KV cache; 0: off
    stream_interval_seconds: float = 0.0  # how long tokens may be gathered before the front is told
    memory_limit_bytes: int = 0  # of the pod; 0: the machine's
    speculation: str = "off"  # off | ngram
    adapters: dict[str, Path] = field(default_factory=dict)  # LoRA adapters by name
    provider_options: dict[str, int | bool | str] = field(default_factory=dict)  # by the fields of provider_settings
    provider_fallback: bool = False  # whether the CPU serves where the provider is missing
    precision: str = ""  # what the model's weights have to be; "": whatever they are


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What was loaded. `provider` is what the model runs on, not what was asked for."""

    architecture: str
    context_length: int
    vocabulary_size: int
    max_sequence_length: int
    eos_token_ids: list[int]
    pad_token_id: int
    engine: str
    engine_reason: str
    provider: str
    intra_op_threads: int
    onnxruntime_version: str
    onnxruntime_genai_version: str
    unsupported_options: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)  # of FEATURES
    adapters: list[str] = field(default_factory=list)
    kv_bytes_per_token: int = 0
    kv_tokens: int = 0  # positions of all rows together that may be in use; 0: not counted by this engine
    max_batch_size: int = 1
    prefix_caching: bool = False
    prefill_chunk: int = 0
    precision: str = ""  # of most of the weights: fp32, fp16, bf16, int8, int4; "": the graph does not tell
    provider_reason: str = ""  # why another provider than the one asked for; "": it is that one
    inter_op_threads: int = 0  # 0: operators run one after the other
    spinning: bool = False
    thread_cpus: list[int] = field(default_factory=list)  # the CPU of each thread; empty: they go where there is room


@dataclass(frozen=True, slots=True)
class AdapterState:
    """A LoRA adapter that is there or was asked for. `state`: loaded, unloading (requests still use it), rejected."""

    name: str
    state: str
    message: str = ""


# What a request may use beyond temperature, top_k, top_p, repetition_penalty and seed.
FEATURES = frozenset(
    {
        *("min_p", "presence_penalty", "frequency_penalty", "logit_bias", "stop_token_ids", "min_tokens"),
        *("ignore_eos", "logprobs", "guidance", "adapters", "speculation"),
    }
)


@dataclass(frozen=True, slots=True)
class Window:
    """A profiling window. `window_id` is made by the server ([A-Za-z0-9-], no separators) and names the trace file.

    `selection` has been checked.
    """

    window_id: str
    max_runs: int
    max_bytes: int
    max_seconds: float
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot: requests held, KV positions in use; the other counts are since the start."""

    running: int
    prompt_tokens: int
    generated_tokens: int
    waiting: int = 0  # held and not in a row yet
    kv_tokens_used: int = 0
    prefix_cache_tokens: int = 0  # held by the prefix cache
    prefix_cache_hit_tokens: int = 0
    prefix_cache_asked_tokens: int = 0
    preemptions: int = 0
    prefill_runs: int = 0
    decode_runs: int = 0


class Engine(Protocol):
    """See the module's docstring for which thread calls what."""

    def load(self, spec: EngineSpec) -> ModelInfo:
        """Load the model. Raises `ModelUnusable` with the reason."""
        ...

    def submit(self, request: GenerationRequest) -> None:
        """Take a request; its tokens and its one `Finished` come out of `step`."""
        ...

    def cancel(self, request_id: str, reason: FinishReason) -> None:
        """End a request with `reason`, inside a run if need be. Unknown or finished ids are ignored. Thread-safe."""
        ...

    def halt(self) -> None:
        """End all requests with TERMINATED and refuse new ones the same way; weights stay. Thread-safe."""
        ...

    def resume(self) -> None:
        """Take requests again, without a reload. Thread-safe."""
        ...

    def step(self) -> list[EngineEvent]:
        """Advance every request by one run at most; returns what happened. Empty when there is nothing to do."""
        ...

    def busy(self) -> bool:
        """Whether `step` has anything to do now."""
        ...

    def prefilling(self) -> bool:
        """Whether the next `step` computes a prompt, which takes longer than a token of each request."""
        ...

    def open_window(self, window: Window) -> None:
        """Profile the selected runs from now until a cap is reached. An open window is closed first ("replaced")."""
        ...

    def close_window(self, reason: str) -> None:
        """Close the open window, if any; its last `WindowProgress` comes out of the next `step`."""
        ...

    def set_arena_shrinkage(self, on: bool) -> None:
        """Give the arena's unused memory back after each of a prompt's runs, from the next one on.

        Not called where `ModelInfo.unsupported_options` says arena-shrinkage.
        """
        ...

    @property
    def adapters(self) -> tuple[AdapterState, ...]:
        """Another tuple when anything about them has changed."""
        ...

    def set_adapters(self, wanted: dict[str, Path]) -> None:
        """Have these LoRA adapters, by name, and no others; one that cannot be loaded is rejected, and does no harm.

        One that requests use is unloaded when the last of them has ended; no new one may use it.
        """
        ...

    def stats(self) -> EngineStats:
        """Counts since the start."""
        ...

    def close(self) -> None:
        """Free the model. The engine is unusable afterwards."""
        ...
