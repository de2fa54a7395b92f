"""The `optimization` block but for its accelerators, and the map of `parameters`. Accelerators are `provider.py`'s."""

from genai_operator.convert.backend import Backend, ignored_by
from genai_operator.convert.draft import Draft, shown
from genai_operator.convert.options import carry_option, carry_options
from genai_operator.parameters.triton import CUDA_PARAMETERS, OPTIONS
from genai_operator.parameters.triton_config import LEVEL, WORDS
from genai_protocol.triton.model_config_pb2 import ModelConfig, ModelOptimizationPolicy


def carry_optimization(draft: Draft, policy: ModelOptimizationPolicy) -> None:
    """`session.graphOptimizationLevel`."""
    if policy.graph.HasField("level"):
        carry_option(draft, "", LEVEL, str(policy.graph.level))
    for name in ("priority", "gather_kernel_buffer_threshold", "eager_batching"):
        if policy.HasField(name):
            draft.lose(f"optimization.{name}: {shown(getattr(policy, name))}", WORDS[f"optimization.{name}"])
    for field, _ in policy.cuda.ListFields():
        draft.lose(f"optimization.cuda.{field.name}", WORDS["optimization.cuda"])
    for name in ("input_pinned_memory", "output_pinned_memory"):
        if policy.HasField(name):  # type: ignore[arg-type]
            enabled = shown(getattr(policy, name).enable)
            draft.lose(f"optimization.{name}.enable: {enabled}", WORDS[f"optimization.{name}"])


def carry_parameters(draft: Draft, config: ModelConfig, backend: Backend) -> None:
    """What `parameters` says of the session, its threads and memory, and of CUDA in its older form."""
    ignored = ignored_by(backend)
    older = {row.key for row in CUDA_PARAMETERS.rows}
    texts = {key: config.parameters[key].string_value for key in config.parameters}
    for key in sorted(ignored):
        if key in texts:
            draft.lose(f"parameters.{key}: {shown(texts[key])}", ignored[key])
    rest = {key: text for key, text in texts.items() if key not in ignored}
    carry_options(draft, OPTIONS, {key: text for key, text in rest.items() if key not in older})
    cuda = {key: text for key, text in rest.items() if key in older}
    if draft.spec.get("provider") == "cuda":
        carry_options(draft, CUDA_PARAMETERS, cuda)
        return
    for key in sorted(cuda):
        draft.lose(f"parameters.{key}: {shown(cuda[key])}", "an option of CUDA, which this model does not run on")
