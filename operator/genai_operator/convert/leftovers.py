"""Fields of a configuration that no field of a GenAIModel corresponds to. What is said of them is the tables'."""

from collections.abc import Callable, Mapping
from typing import Any

from genai_operator.convert.draft import Draft, shown
from genai_operator.parameters.triton_config import WORDS
from genai_protocol.triton.model_config_pb2 import ModelConfig, ModelVersionPolicy


def _tensors(draft: Draft, name: str, tensors: Any) -> None:
    draft.same(f"{name}: {shown([each.name for each in tensors])}", WORDS[name])


def _each_by_name(draft: Draft, name: str, values: Any) -> None:
    for each in values:
        draft.lose(f"{name}: {shown(each.name)}", WORDS[name])


def _agents(draft: Draft, name: str, agents: Any) -> None:
    _each_by_name(draft, name, agents.agents)


def _operations(draft: Draft, name: str, operations: Any) -> None:
    for each in operations.op_library_filename:
        place = f"{name}.op_library_filename"
        draft.lose(f"{place}: {shown(each)}", WORDS[place])


def _transactions(draft: Draft, name: str, policy: Any) -> None:
    if policy.HasField("decoupled"):
        place = f"{name}.decoupled"
        draft.same(f"{place}: {shown(policy.decoupled)}", WORDS[place])


def _response_cache(draft: Draft, name: str, cache: Any) -> None:
    if cache.enable:
        draft.lose(f"{name}.enable: true", WORDS[name])
    elif cache.HasField("enable"):
        draft.same(f"{name}.enable: false", "answers are not cached")


def _versions(draft: Draft, name: str, policy: ModelVersionPolicy) -> None:
    which = policy.WhichOneof("policy_choice")
    if which == "latest" and policy.latest.num_versions <= 1:
        draft.same(f"{name}.latest", "one folder is served")
    elif which is not None:
        draft.lose(f"{name}.{which}", WORDS[name])


def _as_a_whole(draft: Draft, name: str, value: Any) -> None:
    said = f": {shown(value)}" if isinstance(value, str) else ""
    draft.lose(f"{name}{said}", WORDS[name])


_LEFTOVERS: Mapping[str, Callable[[Draft, str, Any], None]] = {
    "version_policy": _versions,
    "input": _tensors,
    "output": _tensors,
    "batch_input": _as_a_whole,
    "batch_output": _as_a_whole,
    "default_model_filename": _as_a_whole,
    "cc_model_filenames": _as_a_whole,
    "metric_tags": _as_a_whole,
    "model_warmup": _each_by_name,
    "model_operations": _operations,
    "model_transaction_policy": _transactions,
    "model_repository_agents": _agents,
    "response_cache": _response_cache,
    "runtime": _as_a_whole,
    "model_metrics": _as_a_whole,
}


def carry_leftovers(draft: Draft, config: ModelConfig) -> None:
    """A note for each that is there."""
    for descriptor, value in config.ListFields():
        if descriptor.name in _LEFTOVERS:
            _LEFTOVERS[descriptor.name](draft, descriptor.name, value)
