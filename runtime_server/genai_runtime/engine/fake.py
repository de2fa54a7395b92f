"""An engine without ONNX Runtime, for tests of what surrounds an engine: predictable tokens, and faults on demand.

Served only where a test asks for the engine `fake`; its faults come from the environment of the engine process.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from genai_runtime.engine.protocol import AdapterState, EngineSpec, EngineStats, ModelInfo, Window
from genai_runtime.engine.windows import Windows
from genai_runtime.generation import EngineEvent, Finished, FinishReason, GenerationRequest, Tokens
from genai_runtime.models.inspect import describe_model

FIRST_TOKEN = 4  # ids below are special in the models that we test with


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, and how slow it is. A token id of -1 never comes."""

    crash_token: int = -1  # a prompt with it kills the process
    error_token: int = -1  # a prompt with it ends with ERROR
    load_crashes: bool = False
    prefill_seconds: float = 0.0
    step_seconds: float = 0.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Faults":
        """GENAI_FAKE_CRASH_TOKEN and so on."""
        return cls(
            crash_token=int(environment.get("GENAI_FAKE_CRASH_TOKEN", -1)),
            error_token=int(environment.get("GENAI_FAKE_ERROR_TOKEN", -1)),
            load_crashes=environment.get("GENAI_FAKE_LOAD_CRASHES") == "1",
            prefill_seconds=float(environment.get("GENAI_FAKE_PREFILL_SECONDS", 0)),
            step_seconds=float(environment.get("GENAI_FAKE_STEP_SECONDS", 0)),
        )


def fake_token(prompt: list[int], index: int, vocabulary_size: int) -> int:
    """The token that the fake makes after `prompt`, counted from 0."""
    return FIRST_TOKEN + (sum(prompt) + 7 * index) % (vocabulary_size - FIRST_TOKEN)


@dataclass(slots=True)
class _Row:
    request: GenerationRequest
    stop: FinishReason | None = None
    completion: int = 0
    prefilled: bool = False
    began: float = field(default_factory=time.monotonic)


class FakeEngine:
    """Implements `engine.protocol.Engine`."""

    def __init__(self, faults: Faults | None = None) -> None:
        self._faults = faults or Faults.from_environment()
        self._changed = threading.Condition()
        self._rows: dict[str, _Row] = {}
        self._halted = False
        self._adapters: tuple[AdapterState, ...] = ()
        self._vocabulary_size = 0
        self._windows = Windows(Path())
        self._prefix = "0"
        self._prompt_tokens = 0
        self._generated_tokens = 0

    def load(self, spec: EngineSpec) -> ModelInfo:
        """Look at the folder as a real engine does. Raises `ModelUnusable` with the reason."""
        if self._faults.load_crashes:
            os.kill(os.getpid(), signal.SIGSEGV)
        model = describe_model(spec.model_dir)
        self._vocabulary_size = model.vocabulary_size
        self._windows = Windows(spec.profile_dir, find=self._request)
        return ModelInfo(
            architecture=model.architecture,
            context_length=model.context_length,
            vocabulary_size=model.vocabulary_size,
            max_sequence_length=min(spec.max_sequence_length or model.context_length, model.context_length),
            eos_token_ids=model.eos_token_ids,
            pad_token_id=model.pad_token_id,
            engine="fake",
            engine_reason="",
            provider=spec.provider,
            intra_op_threads=spec.intra_op_threads,
            onnxruntime_version="none",
            onnxruntime_genai_version="none",
            features=["ignore_eos", "stop_token_ids"],  # it makes no end-of-sequence tokens at all
            max_batch_size=spec.max_concurrent,
        )

    def submit(self, request: GenerationRequest) -> None:
        """Take a request."""
        with self._changed:
            self._rows[request.request_id] = _Row(request, FinishReason.TERMINATED if self._halted else None)

    def cancel(self, request_id: str, reason: FinishReason) -> None:
        """End a request with `reason`, also in its prefill. Thread-safe."""
        with self._changed:
            if row := self._rows.get(request_id):
                row.stop = row.stop or reason
            self._changed.notify_all()

    def halt(self) -> None:
        """End all requests and refuse new ones. Thread-safe."""
        with self._changed:
            self._halted = True
            for row in self._rows.values():
                row.stop = row.stop or FinishReason.TERMINATED
            self._changed.notify_all()

    def resume(self) -> None:
        """Take requests again. Thread-safe."""
        with self._changed:
            self._halted = False

    def step(self) -> list[EngineEvent]:
        """One token for each request."""
        events = [event for row in list(self._rows.values()) for event in self._advance(row)]
        self._windows.stepped(self._generated_tokens, self._prompt_tokens, busy=bool(self._rows))
        return [*events, *self._windows.events()]

    def busy(self) -> bool:
        """Whether `step` has anything to do now."""
        return bool(self._rows) or self._windows.due()

    def prefilling(self) -> bool:
        """Whether the next `step` computes a prompt, which takes longer than a token of each request."""
        with self._changed:
            return any(not row.prefilled for row in self._rows.values())

    def open_window(self, window: Window) -> None:
        """Write one small file for each run from now on."""
        self._windows.open(window)

    def close_window(self, reason: str) -> None:
        """Close the open window, if any."""
        self._windows.close(reason)

    def set_arena_shrinkage(self, on: bool) -> None:
        """There is no arena: it is taken and means nothing."""

    @property
    def adapters(self) -> tuple[AdapterState, ...]:
        """All that were asked for."""
        return self._adapters

    def set_adapters(self, wanted: dict[str, Path]) -> None:
        """Those whose path exists are there."""
        self._adapters = tuple(
            AdapterState(name, "loaded") if path.exists() else AdapterState(name, "rejected", "there is no such file")
            for name, path in sorted(wanted.items())
        )

    def stats(self) -> EngineStats:
        """Counts since the start."""
        return EngineStats(len(self._rows), self._prompt_tokens, self._generated_tokens)

    def close(self) -> None:
        """Forget everything."""
        self._rows.clear()

    def _request(self, request_id: str) -> GenerationRequest | None:
        row = self._rows.get(request_id)
        return row.request if row is not None else None

    def _advance(self, row: _Row) -> list[EngineEvent]:
        prompt, request_id = row.request.prompt, row.request.request_id
        if self._faults.crash_token in prompt and row.stop is None:
            os.kill(os.getpid(), signal.SIGSEGV)
        if self._faults.error_token in prompt and row.stop is None:
            return [self._end(row, FinishReason.ERROR, "the fake engine was told to fail")]
        if not row.prefilled:
            self._run(row, "prefill", len(prompt), self._faults.prefill_seconds)
            row.prefilled = True
            self._prompt_tokens += len(prompt)
        else:
            self._run(row, "decode", row.completion + 1, self._faults.step_seconds)
        if row.stop is not None:
            return [self._end(row, row.stop)]
        token = fake_token(prompt, row.completion, self._vocabulary_size)
        if token in row.request.stop_token_ids:
            return [self._end(row, FinishReason.STOP, stop_token_id=token)]
        row.completion += 1
        self._generated_tokens += 1
        events: list[EngineEvent] = [Tokens(request_id, [token])]
        if row.completion >= row.request.max_tokens:
            events.append(self._end(row, FinishReason.LENGTH))
        return events

    def _run(self, row: _Row, kind: str, tokens: int, seconds: float) -> None:
        """As long as a run lasts; a stop ends it at once."""
        if row.stop is not None:
            return
        with self._windows.run(kind, lambda: {row.request.request_id: tokens}, self._profile), self._changed:
            self._changed.wait_for(lambda: row.stop is not None, seconds)

    def _profile(self, value: str) -> None:
        """Write what ONNX Runtime would: one file a run, named by the time."""
        prefix, self._prefix = self._prefix, value
        if value == "0" and prefix != "0":
            stamp = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S_%f")[:-3]
            event = {
                "cat": "Session",
                "pid": 1,
                "tid": 1,
                "dur": 1,
                "ts": 1,
                "ph": "X",
                "name": "model_run",
                "args": {},
            }
            Path(f"{prefix}_{stamp}.json").write_text(json.dumps([event]), encoding="utf-8")

    def _end(self, row: _Row, reason: FinishReason, message: str = "", stop_token_id: int = -1) -> Finished:
        with self._changed:
            self._rows.pop(row.request.request_id, None)
        seconds = time.monotonic() - row.began
        return Finished(
            row.request.request_id,
            reason,
            len(row.request.prompt),
            row.completion,
            0.0,
            seconds,
            message,
            stop_token_id=stop_token_id,
        )
