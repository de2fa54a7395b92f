"""A decoder graph and its KV cache: the only place of the batch engine that runs ONNX Runtime.

One buffer [rows, heads, max_length, head_size] for each layer's keys and one for its values; past and present are bound
to the same memory, so nothing is copied from run to run. Rows 0..n-1 decode together in one run; a row is prefilled by
runs of its own, for ONNX Runtime wants a batch of one when several positions follow a past. Which row belongs to whom,
what runs next, and how tokens are chosen is not known here.

The promise that a request's output does not depend on what else runs rests on this, shown by tests: a row's logits are
the same bits alone and in any batch, and however its prompt was cut into chunks. `rounding.py` says what that takes.
Decoding rounds differently from prefilling the same positions, and so does `verify`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genai_runtime.engine import ort
from genai_runtime.engine.batch.adapters import misfit
from genai_runtime.engine.batch.decode_inputs import DecodeInputs
from genai_runtime.engine.batch.fit import ATTENTION, DoesNotFit, GraphLayout, drivable
from genai_runtime.engine.batch.kv_memory import give_back, lazy_zeros
from genai_runtime.engine.batch.rounding import Rounding
from genai_runtime.engine.genai_capi import UnsupportedRelease
from genai_runtime.engine.protocol import EngineSpec
from genai_runtime.engine.session_options import session_entries
from genai_runtime.errors import ModelUnusable
from genai_runtime.models.onnx_positions import POSITIONS_INPUT, with_positions_input

# A file with its weights inside is not copied just to be faster.
_MAX_EDITED_BYTES = 64 * 1024 * 1024
_LEVELS = {
    "disabled": ort.GraphLevel.DISABLED,
    "basic": ort.GraphLevel.BASIC,
    "extended": ort.GraphLevel.EXTENDED,
    "all": ort.GraphLevel.ALL,
}

Logits = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class KvBlock:
    """A copy of some positions of a row's KV cache: for each of its tensors [heads, positions, head_size]."""

    tensors: list[NDArray[Any]]

    @property
    def nbytes(self) -> int:
        """The memory it holds."""
        return sum(each.nbytes for each in self.tensors)

    @property
    def positions(self) -> int:
        """How many there are."""
        return int(self.tensors[0].shape[1])


@dataclass(slots=True)
class _Decode:
    """A prepared decode run of some rows, and the width of the mask that it has."""

    call: ort.Call
    logits: NDArray[Any]
    width: int = 1


class Graph:
    """See the module's docstring. One thread at a time; `RunOptions.terminate` may come from any.

    `ids[i]` is row i's next input, written by the caller. `kv_bytes_per_token`: of one position of one row.
    """

    def __init__(
        self, layout: GraphLayout, session: ort.Session, rounding: Rounding, rows: int, max_length: int
    ) -> None:
        self.rows, self.max_length = rows, max_length
        self.vocabulary_size, self.context_length = layout.vocabulary_size, layout.context_length
        self.ids: Ids = np.zeros(rows, np.int64)
        self._layout, self._session, self._rounding = layout, session, rounding
        self._adapters: dict[str, ort.LoraAdapter] = {}
        self._cache = [
            lazy_zeros((rows, each.heads, max_length, each.head_size), _dtype(each.element_type))
            for each in layout.cache
        ]
        self.kv_bytes_per_token = sum(each[0, :, 0].nbytes for each in self._cache)
        self._inputs = DecodeInputs(rows, max_length)
        self._widths: Ids = np.arange(max_length)
        self._chunk_ids: Ids = np.zeros(max_length, np.int64)
        self._ones: Ids = np.ones(max_length, np.int64)
        self._logits = np.zeros((rows, layout.vocabulary_size), _dtype(layout.logits_type))
        self._last: Ids = np.full(1, -1)
        self._decodes: dict[tuple[int, int], _Decode] = {}
        self._prefills: dict[int, ort.Call] = {}
        self._verifies: dict[int, ort.Call] = {}
        self._verified = np.zeros((0, layout.vocabulary_size), self._logits.dtype)
        self._chooses_positions = POSITIONS_INPUT in session.inputs

    @classmethod
    def load(cls, spec: EngineSpec, rows: int, max_length: int, layout: GraphLayout | None = None) -> Self:
        """Load what `spec` names, for `rows` sequences of up to `max_length` positions (cut to the context length).

        `layout` spares a reading of the graph. Raises `ModelUnusable`: ModelInvalid, also for a folder that only
        another engine can serve, OutOfMemory, and ExecutionProviderUnavailable.
        """
        layout = layout or drivable(spec)
        try:
            rounding = Rounding(max(each.head_size for each in layout.cache), layout.heads, spec.intra_op_threads)
            with rounding.kernels():
                session = _session(spec, layout)
        except (UnsupportedRelease, OSError) as error:
            raise ModelUnusable("ExecutionProviderUnavailable", f"ONNX Runtime cannot be loaded: {error}") from None
        except ort.OrtError as error:
            raise ModelUnusable("ModelInvalid", f"ONNX Runtime cannot load {spec.model_dir}: {error}") from None
        try:
            graph = cls(layout, session, rounding, rows, min(max_length, layout.context_length))
        except OSError as error:
            wanted = f"the KV cache of {rows} rows of {max_length} positions"
            raise ModelUnusable(
                "OutOfMemory", f"{wanted} finds no room ({error}); lower maxBatchSize or maxSequenceLength"
            ) from None
        try:
            for name, path in spec.adapters.items():
                graph.add_adapter(name, path)
        except ModelUnusable:
            graph.close()
            raise
        return graph

    def add_adapter(self, name: str, path: Path) -> None:
        """Load a LoRA adapter and try it: only a run tells whether the graph has the weights that it replaces.

        The last row must be nobody's. Raises `ModelUnusable`: then all is as before.
        """
        why = misfit(path, self._layout.graph.replaceable)
        if why:
            raise ModelUnusable("ModelInvalid", f"the adapter {name!r} does not fit the model: {why}")
        try:
            self._adapters[name] = ort.LoraAdapter(path)
            with ort.RunOptions() as options:
                self.set_adapter(options, name)
                self.prefill(self.rows - 1, self._widths[:1], 0, options)
        except ort.OrtError as error:
            self.remove_adapter(name)
            raise ModelUnusable("ModelInvalid", f"the adapter {name!r} does not fit the model: {error}") from None

    def remove_adapter(self, name: str) -> None:
        """Free a LoRA adapter that no run options hold any more."""
        adapter = self._adapters.pop(name, None)
        if adapter is not None:
            adapter.close()

    def decode(
        self, n: int, lengths: Sequence[int], run_options: ort.RunOptions | None = None, first: int = 0
    ) -> Logits:
        """One position for each of rows first..first+n-1: row i has lengths[i] < max_length ones, and `ids[i]` follows.

        The result [n, vocabulary_size] is a view, valid until the next run. Raises `OrtError`: then positions from
        lengths[i] on hold anything, all before are as they were, and the run can be repeated.
        """
        decode = self._decodes.get((first, n)) or self._prepare_decode(first, n)
        width = self._inputs.write(lengths[first : first + n])
        if decode.width != width:
            decode.call.feed(self._layout.attention_mask, ort.Value(self._inputs.mask, (n, width)))
            decode.width = width
        decode.call(run_options)
        return decode.logits if decode.logits.dtype == np.float32 else decode.logits.astype(np.float32)

    def prefill(self, row: int, ids: Ids, past: int, run_options: ort.RunOptions | None = None) -> None:
        """Put `ids` at the positions from `past` on of a row, after those before. Raises `OrtError` as `decode` does.

        Positions behind them may be overwritten with anything. Not to be called without ids.
        """
        call = self._prefills.get(row) or self._prepare_row(self._prefills, row, with_logits=False)
        self._feed_chunk(call, ids, past)
        call(run_options)

    def verify(self, row: int, ids: Ids, past: int, run_options: ort.RunOptions | None = None) -> Logits:
        """`prefill`, and the logits [len(ids), vocabulary_size] after each id: a view, valid until the next run.

        They differ from those of `decode` by rounding.
        """
        call = self._verifies.get(row) or self._prepare_row(self._verifies, row, with_logits=True)
        computed = self._feed_chunk(call, ids, past)
        if self._chooses_positions:
            computed = len(ids)
            call.feed(POSITIONS_INPUT, ort.Value(self._widths, (computed,)))
        if len(self._verified) < computed:
            self._verified = np.zeros((computed, self.vocabulary_size), self._logits.dtype)
        call.fetch(self._layout.logits, ort.Value(self._verified, (1, computed, self.vocabulary_size)))
        call(run_options)
        return self._verified[: len(ids)].astype(np.float32, copy=False)

    def copy_row(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a row to another."""
        for each in self._cache:
            each[target, :, :length] = each[source, :, :length]

    def save(self, row: int, start: int, stop: int) -> KvBlock:
        """A copy of a row's positions start..stop-1."""
        return KvBlock([each[row, :, start:stop].copy() for each in self._cache])

    def load_block(self, row: int, start: int, block: KvBlock) -> None:
        """Put what `save` gave at the positions from `start` on. It is only valid at the place it was saved from."""
        stop = start + block.positions
        for each, saved in zip(self._cache, block.tensors, strict=True):
            each[row, :, start:stop] = saved

    def give_back(self, row: int, start: int) -> None:
        """Give a row's memory from the position `start` on back to the system; it is zeros until it is written."""
        for each in self._cache:
            for head in each[row]:
                give_back(head[start:])

    def set_adapter(self, run_options: ort.RunOptions, name: str) -> None:
        """Use a LoRA adapter of the spec in all runs with these options, for good. Raises KeyError if unknown."""
        run_options.add_adapter(self._adapters[name])

    def close(self) -> None:
        """Free the session and the cache. Safe to repeat; nothing else may be called afterwards."""
        self._decodes.clear()
        self._prefills.clear()
        self._verifies.clear()
        self._cache.clear()
        self._session.close()
        for each in self._adapters.values():
            each.close()

    def _feed_chunk(self, call: ort.Call, ids: Ids, past: int) -> int:
        """How many positions the run computes: those of `ids`, and what rounding needs behind them."""
        layout, count = self._layout, min(self._rounding.positions(past, len(ids)), self.max_length - past)
        self._chunk_ids[: len(ids)] = ids
        self._chunk_ids[len(ids) : count] = 0
        call.feed(layout.input_ids, ort.Value(self._chunk_ids, (1, count)))
        call.feed(layout.attention_mask, ort.Value(self._ones, (1, past + count)))
        if layout.position_ids:
            call.feed(layout.position_ids, ort.Value(self._widths, (1, count), past * self._widths.itemsize))
        return count

    def _prepare_decode(self, first: int, n: int) -> "_Decode":
        layout = self._layout
        feeds = {
            layout.input_ids: ort.Value(self.ids, (n, 1), first * self.ids.itemsize),
            layout.attention_mask: ort.Value(self._inputs.mask, (n, 1)),
        }
        if layout.position_ids:
            feeds[layout.position_ids] = ort.Value(self._inputs.positions, (n, 1))
        call = self._call(first, n, feeds, with_logits=True)
        return self._decodes.setdefault((first, n), _Decode(call, self._logits[:n]))

    def _prepare_row(self, calls: dict[int, ort.Call], row: int, *, with_logits: bool) -> ort.Call:
        """For runs that feed and fetch the rest anew each time."""
        layout = self._layout
        given = [layout.input_ids, layout.attention_mask, *([layout.position_ids] if layout.position_ids else [])]
        feeds = {name: ort.Value(self._ones, (1, 1)) for name in given}
        return calls.setdefault(row, self._call(row, 1, feeds, with_logits=with_logits))

    def _call(self, first: int, n: int, feeds: Mapping[str, ort.Value], *, with_logits: bool) -> ort.Call:
        """A run over rows first..first+n-1 of the cache."""
        feeds, fetches = dict(feeds), {}
        for names, buffer in zip(self._layout.cache, self._cache, strict=True):
            rows = ort.Value(buffer, (n, *buffer.shape[1:]), first * buffer.strides[0])
            feeds[names.past] = fetches[names.present] = rows
        if self._chooses_positions:
            feeds[POSITIONS_INPUT] = ort.Value(self._last)
        if with_logits:
            fetches[self._layout.logits] = ort.Value(self._logits, (n, 1, self.vocabulary_size))
        return ort.Call(self._session, feeds, fetches)


def _session(spec: EngineSpec, layout: GraphLayout) -> ort.Session:
    model: Path | bytes = layout.path
    if layout.path.stat().st_size <= _MAX_EDITED_BYTES:
        model = with_positions_input(layout.path.read_bytes(), layout.graph, ATTENTION, layout.logits) or layout.path
    level = spec.graph_optimization_level
    config = session_entries(spec)
    if isinstance(model, bytes):
        config[ort.EXTERNAL_FOLDER] = str(layout.path.parent)
    options = ort.SessionOptions(
        threads=spec.intra_op_threads,
        level=ort.GraphLevel.ALL if level is None else _LEVELS[level],
        arena=spec.memory_arena is not False,
        memory_pattern=spec.memory_pattern is not False,
        config=config,
    )
    with options:
        return ort.Session(model, options)


def _dtype(element_type: int) -> np.dtype[Any]:
    dtype = ort.dtype_of(element_type)
    if dtype is None:
        raise DoesNotFit(f"numpy has no type for the ONNX element type {element_type}")
    return dtype
