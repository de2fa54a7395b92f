"""The engine `single`: one GenAI generator a request, taken in turn. Works with every decoder that GenAI can run.

Loading is `single_load.py`'s, one request is `single_row.py`'s; here is who runs, and how another thread ends a run.

Which thread may touch what: the worker's thread alone makes, runs and destroys generators. `_lock` guards the rows,
the halt, and `_running`; it is never held during a run. Another thread sets the terminate flag only on `_running`,
under the lock, so the generator cannot be destroyed meanwhile. The flag is sticky: set before the run has really begun,
it ends the run at its start. A stopped generator is never used again, because its cache may be half filled.
"""

import threading
from pathlib import Path

import structlog

from genai_runtime.engine import single_load
from genai_runtime.engine.genai_capi import GenAIError, Generator, Model
from genai_runtime.engine.protocol import AdapterState, EngineSpec, EngineStats, ModelInfo, Window
from genai_runtime.engine.single_row import Row
from genai_runtime.engine.windows import Windows
from genai_runtime.errors import EngineFailure
from genai_runtime.generation import EngineEvent, Finished, FinishReason, GenerationRequest, Tokens

_log = structlog.get_logger("genai_runtime.engine")


class SingleEngine:
    """Implements `engine.protocol.Engine`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._running: Generator | None = None
        self._running_id = ""
        self._halted = False
        self._adapters: tuple[AdapterState, ...] = ()
        self._model: Model | None = None
        self._info: ModelInfo | None = None
        self._windows: Windows | None = None
        self._eos: frozenset[int] = frozenset()
        self._prompt_tokens = 0
        self._generated_tokens = 0

    def load(self, spec: EngineSpec) -> ModelInfo:
        """Load the model. Raises `ModelUnusable` with the reason."""
        self._model, self._info = single_load.load(spec)
        self._windows = Windows(spec.profile_dir, find=self._request)
        self._eos = frozenset(self._info.eos_token_ids)
        return self._info

    def submit(self, request: GenerationRequest) -> None:
        """Take a request; its tokens and its one `Finished` come out of `step`."""
        limit = self._loaded()[1].max_sequence_length
        row = Row(request, min(len(request.prompt) + request.max_tokens, limit))
        with self._lock:
            if request.request_id in self._rows:
                raise EngineFailure(f"request {request.request_id} was submitted twice")
            if self._halted:
                row.stop = FinishReason.TERMINATED
            self._rows[request.request_id] = row

    def cancel(self, request_id: str, reason: FinishReason) -> None:
        """End a request with `reason`, inside a run if need be. Unknown or finished ids are ignored. Thread-safe."""
        with self._lock:
            if row := self._rows.get(request_id):
                self._stop(row, reason)

    def halt(self) -> None:
        """End all requests with TERMINATED and refuse new ones the same way; weights stay. Thread-safe."""
        with self._lock:
            self._halted = True
            for row in self._rows.values():
                self._stop(row, FinishReason.TERMINATED)

    def resume(self) -> None:
        """Take requests again, without a reload. Thread-safe."""
        with self._lock:
            self._halted = False

    def step(self) -> list[EngineEvent]:
        """Advance every request by one run at most; returns what happened. Empty when there is nothing to do."""
        events: list[EngineEvent] = []
        with self._lock:
            rows = list(self._rows.values())
        for row in rows:
            events += self._advance(row)
        windows = self._loaded()[2]
        windows.stepped(self._generated_tokens, self._prompt_tokens, busy=bool(self._rows))
        events += windows.events()
        return events

    def busy(self) -> bool:
        """Whether `step` has anything to do now."""
        return bool(self._rows) or (self._windows is not None and self._windows.due())

    def prefilling(self) -> bool:
        """Whether the next `step` computes a prompt, which takes longer than a token of each request."""
        with self._lock:
            return any(row.appended < len(row.request.prompt) for row in self._rows.values())

    def open_window(self, window: Window) -> None:
        """Profile every run from now until a cap is reached. An open window is closed first ("replaced")."""
        self._loaded()[2].open(window)

    def close_window(self, reason: str) -> None:
        """Close the open window, if any; its last `WindowProgress` comes out of the next `step`."""
        self._loaded()[2].close(reason)

    def set_arena_shrinkage(self, on: bool) -> None:
        """GenAI has no way to change its run options once a model is loaded. Raises `EngineFailure`."""
        raise EngineFailure(f"the engine single cannot set arena-shrinkage to {on:d}; the engine batch can")

    @property
    def adapters(self) -> tuple[AdapterState, ...]:
        """Those that were refused."""
        return self._adapters

    def set_adapters(self, wanted: dict[str, Path]) -> None:
        """GenAI's generators take one container of adapters each: none is loaded here."""
        why = "the engine single has no adapters; the engine batch does"
        self._adapters = tuple(AdapterState(name, "rejected", why) for name in sorted(wanted))

    def stats(self) -> EngineStats:
        """Counts since the start. Thread-safe."""
        return EngineStats(len(self._rows), self._prompt_tokens, self._generated_tokens)

    def close(self) -> None:
        """Free the model. The engine is unusable afterwards."""
        for row in list(self._rows.values()):
            self._drop(row)
        if self._model is not None:
            self._model.close()
            self._model = None

    def _stop(self, row: Row, reason: FinishReason) -> None:
        """Call it with the lock held. The first reason holds; the row's run in progress ends within milliseconds."""
        if row.stop is None:
            row.stop = reason
            if self._running is not None and self._running_id == row.request.request_id:
                self._running.set_runtime_option("terminate_session", "1")

    def _advance(self, row: Row) -> list[EngineEvent]:
        """One run of one row, and its end if it came."""
        model, info, windows = self._loaded()
        try:
            self._check(row, info)
            if row.stop is None and row.generator is None:
                row.open(model, info.vocabulary_size)
            token = self._run(row, windows)
        except (GenAIError, EngineFailure) as error:
            if row.stop is None:
                _log.warning("generation failed", request=row.request.request_id, reason=str(error))
                return [self._end(row, FinishReason.ERROR, str(error))]
            token = None
        if row.stop is not None:
            return [self._end(row, row.stop)]
        if token is None:
            return []
        return self._take(row, token)

    def _run(self, row: Row, windows: Windows) -> int | None:
        generator = row.generator
        with self._lock:
            if row.stop is not None or generator is None:
                return None
            self._running, self._running_id = generator, row.request.request_id
        try:
            before = row.appended
            token = row.advance(generator, windows, lambda value: self._profile(generator, value))
            self._prompt_tokens += row.appended - before
            return token
        finally:
            with self._lock:
                self._running = None

    def _profile(self, generator: Generator, value: str) -> None:
        with self._lock:  # another thread may be setting the terminate flag
            generator.set_runtime_option("enable_profiling", value)

    def _take(self, row: Row, token: int) -> list[EngineEvent]:
        if token in self._eos or token in row.request.stop_token_ids:
            return [self._end(row, FinishReason.STOP, stop_token_id=token)]
        row.completion += 1
        self._generated_tokens += 1
        events: list[EngineEvent] = [Tokens(row.request.request_id, [token])]
        if len(row.request.prompt) + row.completion >= row.max_length:
            events.append(self._end(row, FinishReason.LENGTH))
        return events

    def _end(self, row: Row, reason: FinishReason, message: str = "", stop_token_id: int = -1) -> Finished:
        self._drop(row)
        return row.finished(reason, message, stop_token_id)

    def _drop(self, row: Row) -> None:
        with self._lock:
            self._rows.pop(row.request.request_id, None)
            generator, row.generator = row.generator, None
        if generator is not None:
            generator.close()

    def _check(self, row: Row, info: ModelInfo) -> None:
        """What would poison or crash GenAI is refused here, whatever the front has checked before."""
        prompt = row.request.prompt
        if row.generator is not None:
            return
        if not prompt or row.request.max_tokens < 1:
            raise EngineFailure("a generation needs a prompt of one token at least and max_tokens of 1 at least")
        if len(prompt) >= info.max_sequence_length:
            raise EngineFailure(
                f"the prompt's {len(prompt)} tokens leave no room in a sequence of {info.max_sequence_length}"
            )
        if min(prompt) < 0 or max(prompt) >= info.vocabulary_size:
            raise EngineFailure(f"the prompt has a token outside of the vocabulary of {info.vocabulary_size}")

    def _request(self, request_id: str) -> GenerationRequest | None:
        row = self._rows.get(request_id)
        return row.request if row is not None else None

    def _loaded(self) -> tuple[Model, ModelInfo, Windows]:
        if self._model is None or self._info is None or self._windows is None:
            raise EngineFailure("the engine has no model loaded")
        return self._model, self._info, self._windows
