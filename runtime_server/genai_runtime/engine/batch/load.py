"""Loads a model folder for the batch engine: the graph, warmed up, and what memory is left for its cache."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import structlog

from genai_runtime.engine import genai_capi, ort
from genai_runtime.engine.batch.adapters import adapter_file
from genai_runtime.engine.batch.chunk import CHOICES, fitting_chunk
from genai_runtime.engine.batch.fit import GraphLayout, drivable
from genai_runtime.engine.batch.grammar import Grammars, GuidanceUnavailable
from genai_runtime.engine.batch.graph import Graph, KvBlock
from genai_runtime.engine.batch.memory import KvMemory, blocks, kv_budget, prefix_budget, resident_bytes
from genai_runtime.engine.batch.prefix import PrefixCache
from genai_runtime.engine.batch.rows import Rows
from genai_runtime.engine.batch.schedule import SHORTEST_CHUNK
from genai_runtime.engine.protocol import FEATURES, EngineSpec, ModelInfo
from genai_runtime.engine.session_options import thread_cpus
from genai_runtime.errors import ModelUnusable
from genai_runtime.memory_limit import memory_limit
from genai_runtime.models.inspect import InspectedModel, describe_model

_LONGEST_WARM_UP = 16_384
_log = structlog.get_logger("genai_runtime.engine")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to run."""

    graph: Graph
    rows: Rows
    info: ModelInfo
    chunk: int  # tokens of a prefill run that streams wait for
    longest_chunk: int  # of one that none waits for
    grammars: Grammars | None


def load(spec: EngineSpec, layout: GraphLayout | None = None) -> Loaded:
    """Load what `spec` names; `layout` is its folder's, where that is known. Raises `ModelUnusable`."""
    layout = layout or drivable(spec)
    inspected = describe_model(spec.model_dir)
    spec = dataclasses.replace(spec, adapters={name: adapter_file(path) for name, path in spec.adapters.items()})
    # Rows of different adapters are exchanged over it, and new adapters are tried in it.
    spare = bool(spec.adapters or layout.graph.replaceable)
    wanted = min(spec.max_sequence_length or inspected.context_length, inspected.context_length)
    graph = Graph.load(spec, spec.max_concurrent + spare, wanted, layout)
    grammars = _grammars(spec, graph, inspected)  # before memory is counted: 130 MB at 150,000 tokens
    try:
        chunk = max(SHORTEST_CHUNK, spec.prefill_chunk or _fitting_chunk(graph))
        longest = chunk if spec.prefill_chunk else CHOICES[0]
        rows = Rows(graph, spec.max_concurrent, *_memory(spec, graph, _resident_with_scratch(graph, longest)))
    except ort.OrtError as error:
        graph.close()
        raise ModelUnusable("ModelInvalid", f"the model {spec.model_dir} does not run: {error}") from None
    except ModelUnusable:
        graph.close()
        raise
    info = _info(spec, inspected, graph, rows, chunk)
    if grammars is None:
        info = dataclasses.replace(info, features=sorted({*info.features} - {"guidance"}))
    return Loaded(graph, rows, info, chunk, longest, grammars)


def _memory(spec: EngineSpec, graph: Graph, resident: int) -> tuple[KvMemory, PrefixCache[KvBlock]]:
    size = graph.kv_bytes_per_token
    all_rows = graph.rows * blocks(graph.max_length) * size
    kept = prefix_budget(spec.prefix_cache_bytes, all_rows) if spec.prefix_cache_bytes < 0 else spec.prefix_cache_bytes
    limit = spec.memory_limit_bytes or memory_limit()
    budget = kv_budget(spec.kv_cache_bytes, limit, resident, all_rows + kept)
    prefixes: PrefixCache[KvBlock] = PrefixCache(prefix_budget(spec.prefix_cache_bytes, budget))
    return KvMemory(budget, size, graph.rows), prefixes


def _fitting_chunk(graph: Graph) -> int:
    longest = graph.max_length - 1

    def prefill(count: int) -> None:
        graph.prefill(0, np.zeros(min(count, longest), np.int64), 0)

    return fitting_chunk(prefill)


def _resident_with_scratch(graph: Graph, chunk: int) -> int:
    """What the process holds while the largest runs go on, measured: nothing tells what a run takes beside the cache.

    Lengths beyond `_LONGEST_WARM_UP` are not run, for that would take minutes; what a run takes grows with them.
    """
    length = min(graph.max_length, _LONGEST_WARM_UP)
    lengths = [0] * graph.rows
    graph.ids[:] = 0
    ids = np.zeros(min(chunk + 1, length - 1), np.int64)
    graph.prefill(0, ids, 0)
    graph.decode(graph.rows, lengths)
    before = resident_bytes()
    lengths[0] = length - 1  # the longest row decides what all of them take
    graph.prefill(0, ids, length - len(ids))
    graph.decode(graph.rows, lengths)
    scratch = max(0, resident_bytes() - before)
    for row in range(graph.rows):
        graph.give_back(row, 0)
    return before + scratch * graph.max_length // length


def _grammars(spec: EngineSpec, graph: Graph, inspected: InspectedModel) -> Grammars | None:
    try:
        return Grammars(spec.model_dir, graph.vocabulary_size, inspected.eos_token_ids)
    except GuidanceUnavailable as error:
        _log.warning("requests with guidance are refused", reason=str(error))
        return None


def _info(spec: EngineSpec, inspected: InspectedModel, graph: Graph, rows: Rows, chunk: int) -> ModelInfo:
    absent = {"adapters"} if not spec.adapters else set()
    if spec.speculation == "off":
        absent.add("speculation")
    return ModelInfo(
        architecture=inspected.architecture,
        context_length=graph.context_length,
        vocabulary_size=graph.vocabulary_size,
        max_sequence_length=graph.max_length,
        eos_token_ids=inspected.eos_token_ids,
        pad_token_id=inspected.pad_token_id,
        engine="batch",
        engine_reason="",
        provider=spec.provider,
        intra_op_threads=spec.intra_op_threads,
        inter_op_threads=spec.inter_op_threads,
        spinning=spec.spinning,
        thread_cpus=list(thread_cpus(spec)),
        onnxruntime_version=genai_capi.onnxruntime_version(),
        onnxruntime_genai_version=genai_capi.genai_version(),
        unsupported_options=[] if spec.memory_arena is not False else ["arena-shrinkage"],
        features=sorted(FEATURES - absent),
        adapters=sorted(spec.adapters),
        kv_bytes_per_token=graph.kv_bytes_per_token,
        kv_tokens=rows.memory.total,
        max_batch_size=spec.max_concurrent,
        prefix_caching=rows.prefixes.max_bytes > 0,
        prefill_chunk=chunk,
    )
