"""What an engine is. Both engines and the fake implement `Engine`; the worker and the front know nothing else.

One thread, the worker's, owns an engine: it alone calls `load`, `submit`, `step`, `open_window`, `close_window`.
`cancel`, `halt` and `resume` may be called from any other thread at any time: they take effect *inside* a run that is
in progress (a prefill of a long prompt included) and their events come out of the next `step`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from genai_runtime.generation import EngineEvent, FinishReason, GenerationRequest


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """How to load a model. Everything is typed; nothing in it is a user's free text except the folder."""

    model_dir: Path
    profile_dir: Path
    provider: str = "cpu"
    intra_op_threads: int = 1
    spinning: bool = True
    graph_optimization_level: str | None = None  # disabled | basic | extended | all; None: GenAI's own
    memory_arena: bool | None = None
    memory_pattern: bool | None = None
    max_sequence_length: int = 0  # 0: the model's context length
    max_concurrent: int = 4


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


@dataclass(frozen=True, slots=True)
class Window:
    """A profiling window. `window_id` is made by the server ([A-Za-z0-9-], no separators) and names the trace file."""

    window_id: str
    max_runs: int
    max_bytes: int
    max_seconds: float


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot: requests held, tokens since the start."""

    running: int
    prompt_tokens: int
    generated_tokens: int


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

    def open_window(self, window: Window) -> None:
        """Profile every run from now until a cap is reached. An open window is closed first ("replaced")."""
        ...

    def close_window(self, reason: str) -> None:
        """Close the open window, if any; its last `WindowProgress` comes out of the next `step`."""
        ...

    def stats(self) -> EngineStats:
        """Counts since the start."""
        ...

    def close(self) -> None:
        """Free the model. The engine is unusable afterwards."""
        ...
