"""The engine `batch`: requests join and leave one running batch, on a model folder as GenAI's builder makes it.

A step is at most one chunk of prefill, for requests that join one after the other, and one decode run of all rows that
are in use (one for each adapter). Which request is next is `schedule`'s, where it lies is `rows`'s, what a token is
chosen by is `sampling`'s. Here is the order of things, and what other threads may do meanwhile.

Which thread may touch what: the worker's thread alone runs the model and changes rows. `_lock` guards which requests
are held, why they must stop, the halt, and the run in progress; it is never held during a run. Another thread marks a
request and, if the run in progress is for nobody else, ends it; all rows stay as they were before that run.
"""

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import structlog

from genai_runtime.engine import ort
from genai_runtime.engine.batch import schedule
from genai_runtime.engine.batch.adapters import Adapters
from genai_runtime.engine.batch.decoding import Decoding
from genai_runtime.engine.batch.fit import GraphLayout
from genai_runtime.engine.batch.load import Loaded, load
from genai_runtime.engine.batch.memory import BLOCK_TOKENS, blocks
from genai_runtime.engine.batch.rows import Rows
from genai_runtime.engine.batch.runs import Runs, Terminated
from genai_runtime.engine.batch.sampling import RowSampler
from genai_runtime.engine.batch.sequence import Sequence
from genai_runtime.engine.protocol import AdapterState, EngineSpec, EngineStats, ModelInfo, Window
from genai_runtime.engine.windows import Windows
from genai_runtime.errors import EngineFailure, InvalidRequest
from genai_runtime.generation import EngineEvent, Finished, FinishReason, GenerationRequest

_log = structlog.get_logger("genai_runtime.engine")
_COMPILE_WAIT_SECONDS = 0.002  # how long a step waits when all that is held waits for its grammar


class BatchEngine:
    """Implements `engine.protocol.Engine`."""

    def __init__(self, layout: GraphLayout | None = None) -> None:
        """`layout`: of the model that will be loaded, where it has been looked at."""
        self._layout = layout
        self._lock = threading.Lock()
        self._held: dict[str, Sequence] = {}
        self._stopped: list[Sequence] = []  # marked by any thread, and not yet ended
        self._halted = False
        self._waiting: list[Sequence] = []
        self._joining: Sequence | None = None
        self._ended: list[EngineEvent] = []  # what the next step tells first
        self._number = 0
        self._prompt_tokens = 0
        self._preemptions = 0
        self._parts: _Parts | None = None

    def load(self, spec: EngineSpec) -> ModelInfo:
        """Load the model. Raises `ModelUnusable` with the reason."""
        model = load(spec, self._layout)
        windows = Windows(spec.profile_dir, lambda: model.rows.memory.used, self._request)

        def options(adapter: str) -> ort.RunOptions:
            made = ort.RunOptions()
            if adapter:
                model.graph.set_adapter(made, adapter)
            return made

        runs = Runs(self._lock, options, windows)
        decoding = Decoding(model.graph, model.rows, runs, speculate=spec.speculation != "off")

        def forget(adapter: str) -> None:
            runs.forget(adapter)
            model.rows.prefixes.shrink(0)  # another adapter may come by this name

        adapters = Adapters(model.graph, spec.adapters, forget)
        self._parts = _Parts(model, windows, runs, decoding, adapters)
        return model.info

    def submit(self, request: GenerationRequest) -> None:
        """Take a request; its tokens and its one `Finished` come out of `step`."""
        parts = self._loaded()
        problem = _problem(request, parts.model, parts.adapters)
        room = parts.model.info.max_sequence_length - len(request.prompt)
        prompt = np.array([] if problem else request.prompt, np.int64)
        self._number += 1
        sequence = Sequence(request, self._number, prompt, min(request.max_tokens, room))
        with self._lock:
            if request.request_id in self._held:
                raise EngineFailure(f"request {request.request_id} was submitted twice")
            self._held[request.request_id] = sequence
            if self._halted:
                self._stop(sequence, FinishReason.TERMINATED)
        self._waiting.append(sequence)
        if problem:
            self._ended.append(self._end(sequence, FinishReason.ERROR, problem))
        elif sequence.stop is None:
            self._begin_sampler(sequence, parts)

    def cancel(self, request_id: str, reason: FinishReason) -> None:
        """End a request with `reason`, inside a run if need be. Unknown or finished ids are ignored. Thread-safe."""
        with self._lock:
            if sequence := self._held.get(request_id):
                self._stop(sequence, reason)

    def halt(self) -> None:
        """End all requests with TERMINATED and refuse new ones the same way; weights stay. Thread-safe."""
        with self._lock:
            self._halted = True
            for sequence in self._held.values():
                self._stop(sequence, FinishReason.TERMINATED)

    def resume(self) -> None:
        """Take requests again, without a reload. Thread-safe."""
        with self._lock:
            self._halted = False

    def step(self) -> list[EngineEvent]:
        """Advance every request by one run at most; returns what happened. Empty when there is nothing to do."""
        parts = self._loaded()
        events, self._ended = self._ended, []
        self._reap(events)
        self._begin_ready(parts, events)
        self._prefill(parts, events)
        self._decode(parts, events)
        self._reap(events)
        if parts.adapters.waiting:
            parts.adapters.settle(self._adapters_in_use())
        parts.windows.stepped(parts.decoding.generated_tokens, parts.runs.counts["prefill"], busy=bool(self._held))
        events += parts.windows.events()
        if not events and self._waiting and len(self._waiting) == len(self._held):
            time.sleep(_COMPILE_WAIT_SECONDS)
        return events

    def busy(self) -> bool:
        """Whether `step` has anything to do now."""
        return bool(self._held or self._ended) or (self._parts is not None and self._parts.windows.due())

    def prefilling(self) -> bool:
        """Whether the next `step` computes a prompt, which takes longer than a token of each request."""
        if self._joining is not None:
            return True
        return bool(self._waiting) and self._parts is not None and not self._parts.model.rows.slots.full

    def open_window(self, window: Window) -> None:
        """Profile every run from now until a cap is reached. An open window is closed first ("replaced")."""
        self._loaded().windows.open(window)

    def close_window(self, reason: str) -> None:
        """Close the open window, if any; its last `WindowProgress` comes out of the next `step`."""
        self._loaded().windows.close(reason)

    def set_arena_shrinkage(self, on: bool) -> None:
        """Give the arena's unused memory back after each of a prompt's runs, from the next one on."""
        self._loaded().runs.shrink_arena(on)

    @property
    def adapters(self) -> tuple[AdapterState, ...]:
        """Another tuple when anything about them has changed."""
        return self._loaded().adapters.states

    def set_adapters(self, wanted: dict[str, Path]) -> None:
        """Have these LoRA adapters, by name, and no others; those in use are unloaded after their last request."""
        self._loaded().adapters.want(wanted, self._adapters_in_use())

    def stats(self) -> EngineStats:
        """Counts since the start. Thread-safe."""
        parts = self._loaded()
        rows = parts.model.rows
        running = len(rows.slots) + (self._joining is not None)
        return EngineStats(
            running=running,
            prompt_tokens=self._prompt_tokens,
            generated_tokens=parts.decoding.generated_tokens,
            waiting=max(0, len(self._held) - running),
            kv_tokens_used=rows.memory.used,
            prefix_cache_tokens=rows.prefixes.tokens,
            prefix_cache_hit_tokens=rows.prefixes.hit_tokens,
            prefix_cache_asked_tokens=rows.prefixes.asked_tokens,
            preemptions=self._preemptions,
            prefill_runs=parts.runs.counts["prefill"],
            decode_runs=parts.runs.counts["decode"],
        )

    def close(self) -> None:
        """Free the model. The engine is unusable afterwards."""
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.runs.close()
            parts.model.graph.close()
            if parts.model.grammars is not None:
                parts.model.grammars.close()

    def _stop(self, sequence: Sequence, reason: FinishReason) -> None:
        """Call it with the lock held. The first reason holds; a run for nobody else ends within milliseconds."""
        if sequence.stop is not None:
            return
        sequence.stop = reason
        self._stopped.append(sequence)
        if self._parts is None:
            return
        if sequence is self._joining:
            self._parts.runs.terminate("prefill")
        if all(each.stop is not None for each in self._held.values()):
            self._parts.runs.terminate()

    def _reap(self, events: list[EngineEvent]) -> None:
        """End what other threads have stopped."""
        if not self._stopped:
            return
        with self._lock:
            stopped, self._stopped = self._stopped, []
        events += [self._end(each, each.stop) for each in stopped if each.stop is not None and not each.ended]

    def _end(self, sequence: Sequence, reason: FinishReason, message: str = "", stop_token_id: int = -1) -> Finished:
        """Free all that it holds, wherever it is."""
        self._leave(sequence)
        with self._lock:
            del self._held[sequence.request_id]
        sequence.ended = True
        return sequence.finished(reason, message, stop_token_id)

    def _leave(self, sequence: Sequence) -> None:
        rows = self._loaded().model.rows
        if sequence is self._joining:
            rows.abandon(sequence)
            self._joining = None
        elif sequence in self._waiting:
            self._waiting.remove(sequence)
        else:
            rows.remove(rows.slots.items.index(sequence))

    def _begin_sampler(self, sequence: Sequence, parts: "_Parts") -> None:
        request, info = sequence.request, parts.model.info
        try:
            if request.guidance is None:
                sequence.sampler = RowSampler(request, info.vocabulary_size, info.eos_token_ids)
            elif parts.model.grammars is None:
                self._ended.append(self._end(sequence, FinishReason.ERROR, "guidance is not available for this model"))
            else:
                sequence.compiling = parts.model.grammars.start(request.guidance)
        except InvalidRequest as error:
            self._ended.append(self._refuse(sequence, error))

    def _begin_ready(self, parts: "_Parts", events: list[EngineEvent]) -> None:
        """Requests whose grammar has been compiled may join."""
        info = parts.model.info
        for sequence in [each for each in self._waiting if each.compiling is not None and each.compiling.ready()]:
            pending, sequence.compiling = sequence.compiling, None
            try:
                grammar = pending.result() if pending is not None else None
                sequence.sampler = RowSampler(sequence.request, info.vocabulary_size, info.eos_token_ids, grammar)
            except InvalidRequest as error:
                events.append(self._refuse(sequence, error))

    def _refuse(self, sequence: Sequence, error: InvalidRequest) -> Finished:
        """End what cannot be served because of the request itself."""
        return replace(self._end(sequence, FinishReason.ERROR, error.message), invalid_field=error.field)

    def _join(self, rows: Rows) -> None:
        """Let the next request have a row, if there is one, and memory for it and for the growth of all others."""
        if self._joining is not None or rows.slots.full:
            return
        sequence = schedule.next_to_join(each for each in self._waiting if each.sampler is not None)
        if sequence is None:
            return
        running = len(rows.slots)
        if running and blocks(sequence.positions) + BLOCK_TOKENS * (running + 1) > rows.memory.free:
            return
        self._waiting.remove(sequence)
        self._joining = sequence
        rows.reserve(sequence)

    def _prefill(self, parts: "_Parts", events: list[EngineEvent]) -> None:
        """One chunk's worth of prompts. Whoever's prompt is complete decodes from now on, and the next one may join.

        Several short prompts hold the others up no longer than a chunk of a long one.
        """
        rows = parts.model.rows
        budget = parts.model.chunk if len(rows.slots) else parts.model.longest_chunk
        while budget >= schedule.SHORTEST_CHUNK:
            self._join(rows)
            sequence = self._joining
            if sequence is None:
                return
            count = schedule.chunk_length(sequence.done, sequence.to_prefill, budget)
            if count and not self._prefill_chunk(parts, sequence, count, events):
                return
            if sequence.done < sequence.to_prefill:
                return
            self._joining = None
            self._prompt_tokens += 1
            rows.activate(sequence)
            budget -= max(count, schedule.SHORTEST_CHUNK)

    def _prefill_chunk(self, parts: "_Parts", sequence: Sequence, count: int, events: list[EngineEvent]) -> bool:
        model, done = parts.model, sequence.done
        ids = sequence.prompt[done : done + count]
        began = time.perf_counter()
        try:
            parts.runs.run(
                "prefill",
                sequence.request.adapter,
                lambda: {sequence.request_id: count},
                lambda: sequence.stop is None,
                lambda options: model.graph.prefill(sequence.row, ids, done, options),
                lambda: {sequence.request_id: sequence.cached},
            )
        except Terminated:
            return False
        except ort.OrtError as error:
            _log.warning("generation failed", request=sequence.request_id, reason=str(error))
            events.append(self._end(sequence, FinishReason.ERROR, f"the model's run failed: {error}"))
            return False
        finally:
            sequence.prefill_seconds += time.perf_counter() - began
        sequence.done += count
        self._prompt_tokens += count
        model.rows.keep_prefix(sequence, count)
        return True

    def _decode(self, parts: "_Parts", events: list[EngineEvent]) -> None:
        rows = parts.model.rows
        self._make_room(rows)
        if not len(rows.slots):
            return
        tokens, endings = parts.decoding.step(alone=self._joining is None and not self._waiting)
        events += tokens
        for ending in sorted(endings, key=lambda each: -each.row):  # so that later rows are where they were
            events.append(self._end(ending.sequence, ending.reason, ending.message, ending.stop_token_id))

    def _make_room(self, rows: Rows) -> None:
        """Memory for one more position of each row; those who must give theirs up for it begin anew later."""
        while (growth := rows.memory.growth(rows.lengths[: len(rows.slots)])) > rows.memory.free:
            candidates = [*rows.slots.items, *([self._joining] if self._joining is not None else [])]
            sequence = schedule.victim(candidates)
            if sequence is None:
                return
            _log.info("request is put off for want of cache memory", request=sequence.request_id)
            self._leave(sequence)
            sequence.put_off()
            self._waiting.append(sequence)
            self._preemptions += 1
        if growth:
            rows.memory.grow(rows.lengths[: len(rows.slots)])
            rows.fit()

    def _adapters_in_use(self) -> set[str]:
        with self._lock:
            return {each.request.adapter for each in self._held.values()}

    def _request(self, request_id: str) -> GenerationRequest | None:
        sequence = self._held.get(request_id)
        return sequence.request if sequence is not None else None

    def _loaded(self) -> "_Parts":
        if self._parts is None:
            raise EngineFailure("the engine has no model loaded")
        return self._parts


@dataclass(frozen=True, slots=True)
class _Parts:
    """What there is once a model is loaded."""

    model: Loaded
    windows: Windows
    runs: Runs
    decoding: Decoding
    adapters: Adapters


def _problem(request: GenerationRequest, model: Loaded, adapters: Adapters) -> str:
    """Why the request cannot be served, whatever the front has checked before; empty if it can."""
    prompt, info = request.prompt, model.info
    if not prompt or request.max_tokens < 1:
        return "a generation needs a prompt of one token at least and max_tokens of 1 at least"
    if len(prompt) >= info.max_sequence_length:
        return f"the prompt's {len(prompt)} tokens leave no room in a sequence of {info.max_sequence_length}"
    if min(prompt) < 0 or max(prompt) >= info.vocabulary_size:
        return f"the prompt has a token outside of the vocabulary of {info.vocabulary_size}"
    if request.adapter and request.adapter not in adapters.usable:
        return f"the model has no adapter {request.adapter!r}; it has: {', '.join(adapters.usable) or 'none'}"
    most = min(len(prompt) + request.max_tokens, info.max_sequence_length) - 1
    if blocks(most) > info.kv_tokens:
        return (
            f"the prompt's {len(prompt)} tokens and up to {request.max_tokens} more need a KV cache of {blocks(most)} "
            f"tokens; this server has memory for {info.kv_tokens}: ask for fewer, or give the model more memory"
        )
    return ""
