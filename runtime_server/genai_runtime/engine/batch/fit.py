"""Whether the batch engine can drive a model folder, and by which names; else why not, in words.

Looks at genai_config.json and at the graph's structure; nothing is loaded. A folder that does not fit is not broken:
the engine `single` serves it. What is accepted here is what tests have shown to give GenAI's own results.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genai_runtime.engine.protocol import EngineSpec
from genai_runtime.errors import ModelUnusable
from genai_runtime.models.genai_config import CONFIG_FILE
from genai_runtime.models.inspect import describe_model
from genai_runtime.models.onnx_graph import FLOAT, FLOAT16, INT64, Node, OnnxGraph, Tensor, read_graph
from genai_runtime.models.onnx_wire import NotOnnx

ATTENTION = "GroupQueryAttention"
_OTHER_MODALITIES = ("vision", "speech", "embedding", "encoder")
# Of the folder's session options: what the server sets itself, and what changes no result.
_SESSION_OPTIONS = {
    *("log_id", "log_severity_level", "log_verbosity_level", "provider_options"),
    *("intra_op_num_threads", "inter_op_num_threads"),
}
_BRANCHES = ("If", "Loop", "Scan")
_OTHER_ATTENTION = ("Attention", "MultiHeadAttention", "PagedAttention", "SparseAttention", "LinearAttention")
# What builders make the attention's lengths of; anything else could look at the mask's padding.
_MASK_READERS = ("ReduceSum", "Shape", "Cast")
# GroupQueryAttention's inputs and outputs.
_PAST_KEY, _PAST_VALUE, _COS_CACHE, _ATTENTION_BIAS = 3, 4, 7, 10
_PRESENT_KEY, _PRESENT_VALUE = 1, 2
_FLOATS = (FLOAT, FLOAT16)


class DoesNotFit(Exception):
    """The batch engine cannot drive this model; the text says why."""


@dataclass(frozen=True, slots=True)
class CacheTensor:
    """One of a layer's two KV tensors, [rows, heads, positions, head_size]; `element_type` is ONNX's."""

    past: str
    present: str
    heads: int
    head_size: int
    element_type: int


@dataclass(frozen=True, slots=True)
class GraphLayout:
    """The names and sizes by which a decoder graph is driven. `position_ids` "" if the graph has no such input.

    `heads`: attention heads of a layer, the least of all layers.
    """

    path: Path
    graph: OnnxGraph
    input_ids: str
    attention_mask: str
    position_ids: str
    logits: str
    logits_type: int
    vocabulary_size: int
    context_length: int
    heads: int
    cache: list[CacheTensor]


def layout_of(spec: EngineSpec) -> GraphLayout:
    """How to drive the folder. Raises `DoesNotFit`, or `ModelUnusable` for a folder that nothing could serve."""
    if spec.provider != "cpu":
        raise DoesNotFit(f"it runs on the CPU only, and {spec.provider} was asked for")
    inspected = describe_model(spec.model_dir)
    model = json.loads((spec.model_dir / CONFIG_FILE).read_bytes())["model"]
    decoder = model["decoder"]
    _check_config(model, decoder)
    path = spec.model_dir / inspected.decoder_filename
    try:
        graph = read_graph(path)
    except NotOnnx as error:
        raise DoesNotFit(f"{path.name}: {error}") from None
    attentions = _attentions(graph)
    inputs, outputs = _names(decoder, "inputs"), _names(decoder, "outputs")
    mask = _integers(graph, inputs.get("attention_mask", "attention_mask"))
    _check_mask(graph, mask)
    ids = _integers(graph, inputs.get("input_ids", "input_ids"))
    positions = inputs.get("position_ids", "position_ids")
    logits = _logits(graph, outputs.get("logits", "logits"))
    layout = GraphLayout(
        path=path,
        graph=graph,
        input_ids=ids,
        attention_mask=mask,
        position_ids=_integers(graph, positions) if positions in graph.inputs else "",
        logits=logits.name,
        logits_type=logits.element_type,
        vocabulary_size=_size(logits.shape[2], inspected.vocabulary_size),
        context_length=min([inspected.context_length, *_rotary_lengths(graph, attentions)]),
        heads=min(_size(node.attributes.get("num_heads", 0), 0) for node in attentions),
        cache=[each for node in attentions for each in _cache(graph, node, decoder)],
    )
    _check_nothing_else(layout)
    return layout


def drivable(spec: EngineSpec) -> GraphLayout:
    """As `layout_of`, where no other engine is meant: raises `ModelUnusable` alone."""
    try:
        return layout_of(spec)
    except DoesNotFit as error:
        raise ModelUnusable("ModelInvalid", f"the batch engine cannot drive {spec.model_dir}: {error}") from None


def _check_config(model: dict[str, Any], decoder: dict[str, Any]) -> None:
    others = [each for each in _OTHER_MODALITIES if each in model]
    if others:
        raise DoesNotFit(f"it serves text-only decoders, and {CONFIG_FILE} has model.{others[0]}")
    if "pipeline" in decoder:
        raise DoesNotFit(f"the decoder is a pipeline of several graphs ({CONFIG_FILE}: model.decoder.pipeline)")
    if "sliding_window" in decoder:
        raise DoesNotFit(f"the KV cache is a sliding window ({CONFIG_FILE}: model.decoder.sliding_window)")
    if decoder.get("run_options"):
        raise DoesNotFit(f"the folder has run options of its own ({CONFIG_FILE}: model.decoder.run_options)")
    unknown = sorted(set(decoder.get("session_options") or {}) - _SESSION_OPTIONS)
    if unknown:
        raise DoesNotFit(f"the folder has session options of its own ({CONFIG_FILE}: {', '.join(unknown[:3])})")


def _names(decoder: dict[str, Any], key: str) -> dict[str, str]:
    found = decoder.get(key, {})
    if not isinstance(found, dict):
        raise DoesNotFit(f"{CONFIG_FILE}: model.decoder.{key} is not an object")
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _attentions(graph: OnnxGraph) -> list[Node]:
    for node in graph.nodes:
        if node.op_type in _BRANCHES:
            raise DoesNotFit(f"the graph takes different ways for different lengths ({node.op_type})")
        if node.op_type in _OTHER_ATTENTION:
            raise DoesNotFit(f"the graph uses {node.op_type}; only {ATTENTION} is known")
    found = [node for node in graph.nodes if node.op_type == ATTENTION]
    if not found:
        raise DoesNotFit(f"the graph has no {ATTENTION}")
    for node in found:
        if _at(node.inputs, _ATTENTION_BIAS):
            raise DoesNotFit(f"{ATTENTION} has an attention bias")
    return found


def _integers(graph: OnnxGraph, name: str) -> str:
    tensor = graph.inputs.get(name)
    if tensor is None:
        raise DoesNotFit(f"the graph has no input {name}")
    if tensor.element_type != INT64 or len(tensor.shape) != 2:
        raise DoesNotFit(f"the input {name} is not a matrix of int64")
    return name


def _check_mask(graph: OnnxGraph, mask: str) -> None:
    for node in graph.nodes:
        if mask in node.inputs and node.op_type not in _MASK_READERS:
            raise DoesNotFit(f"{node.op_type} reads {mask}: only its lengths may be used")


def _logits(graph: OnnxGraph, name: str) -> Tensor:
    tensor = graph.outputs.get(name)
    if tensor is None:
        raise DoesNotFit(f"the graph has no output {name}")
    if tensor.element_type not in _FLOATS or len(tensor.shape) != 3:
        raise DoesNotFit(f"the output {name} is not a float32 or float16 tensor of three dimensions")
    return tensor


def _rotary_lengths(graph: OnnxGraph, attentions: list[Node]) -> Iterator[int]:
    """For how many positions there are rotary embeddings."""
    for node in attentions:
        table = graph.initializers.get(_at(node.inputs, _COS_CACHE))
        if table is not None and table.shape and isinstance(table.shape[0], int):
            yield table.shape[0]


def _cache(graph: OnnxGraph, node: Node, decoder: dict[str, Any]) -> Iterator[CacheTensor]:
    for past_at, present_at in ((_PAST_KEY, _PRESENT_KEY), (_PAST_VALUE, _PRESENT_VALUE)):
        past = graph.inputs.get(_at(node.inputs, past_at))
        present = graph.outputs.get(_at(node.outputs, present_at))
        if past is None or present is None:
            raise DoesNotFit(f"{ATTENTION} does not take its past from an input and give its present to an output")
        if past.element_type not in _FLOATS or past.element_type != present.element_type or len(past.shape) != 4:
            raise DoesNotFit(f"the KV cache {past.name} is not of float32 or float16, with four dimensions")
        heads = _size(past.shape[1], decoder.get("num_key_value_heads"))
        head_size = _size(past.shape[3], decoder.get("head_size"))
        yield CacheTensor(past.name, present.name, heads, head_size, past.element_type)


def _check_nothing_else(layout: GraphLayout) -> None:
    """Every input is one that we feed; a past that two layers share would be written twice."""
    pasts = [each.past for each in layout.cache]
    if len(set(pasts)) != len(pasts):
        raise DoesNotFit("two layers share a KV cache")
    known = {layout.input_ids, layout.attention_mask, layout.position_ids, *pasts}
    others = sorted(set(layout.graph.inputs) - known)
    if others:
        raise DoesNotFit(f"the graph has inputs that are not known: {', '.join(others[:3])}")


def _size(written: int | float | str, configured: Any) -> int:
    size = configured if isinstance(written, str) else written
    if not isinstance(size, int) or size <= 0:
        raise DoesNotFit(f"neither the graph nor {CONFIG_FILE} tells a size that is needed ({written!r})")
    return size


def _at(names: list[str], index: int) -> str:
    return names[index] if index < len(names) else ""
