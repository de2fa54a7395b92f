"""Batching, queues and sequences. Pods batch continuously: a request joins the running batch at the next token."""

from genai_operator.convert.draft import Draft, shown
from genai_operator.parameters.triton_config import WORDS
from genai_protocol.triton.model_config_pb2 import (
    ModelConfig,
    ModelDynamicBatching,
    ModelQueuePolicy,
    ModelSequenceBatching,
)

_PER_SECOND = 1_000_000
_WORDS = {key.removeprefix("dynamic_batching."): words for key, words in WORDS.items()}
# Of Triton's clients (docs/grpc.md); 0, which is no priority, is the middle.
_LEVELS = 9


def carry_batch_size(draft: Draft, config: ModelConfig, default: int | None) -> None:
    """`engine.maxBatchSize`. `default`: the backend's default-max-batch-size, where it was given."""
    if config.max_batch_size > 0:
        draft.carry("engine.maxBatchSize", config.max_batch_size, "max_batch_size", config.max_batch_size)
        if default is not None:
            draft.same(f"backend-config.default-max-batch-size: {default}", "max_batch_size is said")
        return
    if config.max_batch_size < 0:
        draft.lose(f"max_batch_size: {config.max_batch_size}", "a batch has no negative size")
    elif config.HasField("max_batch_size"):
        draft.lose(
            "max_batch_size: 0",
            "without a batch dimension Triton runs one request at a time; here requests run together, and no "
            "request's tokens depend on the others. engine.maxBatchSize: 1 runs one at a time.",
        )
    if default is not None:
        draft.carry("engine.maxBatchSize", default, "backend-config.default-max-batch-size", default)


def carry_scheduling(draft: Draft, config: ModelConfig) -> None:
    """`server.maxQueueLength` and `server.maxQueueSeconds`."""
    if config.HasField("dynamic_batching"):
        _dynamic(draft, config.dynamic_batching)
    if config.HasField("sequence_batching"):
        _sequences(draft, config.sequence_batching)


def _dynamic(draft: Draft, batching: ModelDynamicBatching) -> None:
    place = "dynamic_batching"
    draft.same(place, WORDS[place])
    if batching.preferred_batch_size:
        sizes = shown(list(batching.preferred_batch_size))
        draft.lose(f"{place}.preferred_batch_size: {sizes}", _WORDS["preferred_batch_size"])
    if batching.HasField("max_queue_delay_microseconds"):
        draft.lose(
            f"{place}.max_queue_delay_microseconds: {batching.max_queue_delay_microseconds}",
            _WORDS["max_queue_delay_microseconds"],
        )
    if batching.HasField("preserve_ordering"):
        draft.lose(
            f"{place}.preserve_ordering: {shown(batching.preserve_ordering)}",
            _WORDS["preserve_ordering"],
        )
    if batching.HasField("priority_levels"):
        said = f"{place}.priority_levels: {batching.priority_levels}"
        if batching.priority_levels <= _LEVELS:
            draft.same(said, f"a request's priority is 1 (first) to {_LEVELS}")
        else:
            draft.lose(said, f"a request's priority is 1 (first) to {_LEVELS}")
    if batching.HasField("default_priority_level"):
        said = f"{place}.default_priority_level: {batching.default_priority_level}"
        draft.lose(said, _WORDS["default_priority_level"])
    for level in sorted(batching.priority_queue_policy):
        draft.lose(f"{place}.priority_queue_policy[{level}]", _WORDS["priority_queue_policy"])
    if batching.HasField("default_queue_policy"):
        _queue(draft, batching.default_queue_policy, f"{place}.default_queue_policy")


def _queue(draft: Draft, policy: ModelQueuePolicy, place: str) -> None:
    if policy.HasField("max_queue_size"):
        if policy.max_queue_size:
            draft.carry(
                "server.maxQueueLength", policy.max_queue_size, f"{place}.max_queue_size", policy.max_queue_size
            )
        else:
            draft.lose(f"{place}.max_queue_size: 0", "a queue without a bound is not to be had: server.maxQueueLength")
    if policy.HasField("default_timeout_microseconds"):
        _timeout(draft, policy.default_timeout_microseconds, f"{place}.default_timeout_microseconds")
    if policy.HasField("timeout_action"):
        said = f"{place}.timeout_action: {ModelQueuePolicy.TimeoutAction.Name(policy.timeout_action)}"
        if policy.timeout_action == ModelQueuePolicy.REJECT:
            draft.same(said, "a request that waited too long is refused")
        else:
            draft.lose(said, _WORDS["default_queue_policy.timeout_action"])
    if policy.HasField("allow_timeout_override"):
        said = f"{place}.allow_timeout_override: {shown(policy.allow_timeout_override)}"
        draft.lose(said, _WORDS["default_queue_policy.allow_timeout_override"])


def _timeout(draft: Draft, microseconds: int, place: str) -> None:
    if not microseconds:
        draft.lose(f"{place}: 0", "waiting without a bound is not to be had: server.maxQueueSeconds")
        return
    seconds = -(-microseconds // _PER_SECOND)
    if draft.carry("server.maxQueueSeconds", seconds, place, microseconds) and seconds * _PER_SECOND != microseconds:
        draft.check("spec.server.maxQueueSeconds", f"{microseconds} microseconds, rounded up to whole seconds")


def _sequences(draft: Draft, batching: ModelSequenceBatching) -> None:
    for field, _ in batching.ListFields():
        draft.lose(f"sequence_batching.{field.name}", WORDS["sequence_batching"])
    if not batching.ListFields():
        draft.lose("sequence_batching", WORDS["sequence_batching"])
