"""Which provider a configuration means, and its accelerators' options. How many pods there are is `instances.py`'s.

Triton decides by the machine where a configuration leaves it open; a GenAIModel says it.
"""

from collections.abc import Mapping, Sequence

from genai_operator.convert.draft import Draft, shown
from genai_operator.convert.options import carry_options
from genai_operator.parameters.row import Section
from genai_operator.parameters.triton import CUDA, CUDA_PARAMETERS, OPENVINO
from genai_operator.parameters.triton_tensorrt import TENSORRT
from genai_protocol.triton.model_config_pb2 import ModelConfig, ModelInstanceGroup, ModelOptimizationPolicy

_Accelerator = ModelOptimizationPolicy.ExecutionAccelerators.Accelerator
_ON_GPU: Mapping[str, tuple[str, Section]] = {"cuda": ("cuda", CUDA), "tensorrt": ("trt-rtx", TENSORRT)}
_ON_CPU: Mapping[str, tuple[str, Section]] = {"openvino": ("openvino", OPENVINO)}
_PLACE = "optimization.execution_accelerators"


def carry_provider(draft: Draft, config: ModelConfig) -> None:
    """`provider` and `providerOptions`."""
    accelerators = config.optimization.execution_accelerators
    kind, origin = _kind(config)
    if kind == "GPU":
        used, idle, known = accelerators.gpu_execution_accelerator, accelerators.cpu_execution_accelerator, _ON_GPU
    else:
        used, idle, known = accelerators.cpu_execution_accelerator, accelerators.gpu_execution_accelerator, _ON_CPU
    # The order is Triton's order of preference: TensorRT leaves to CUDA what it cannot run.
    first = next((each.name for each in used if each.name in known), "")
    provider = known[first][0] if first else {"GPU": "cuda"}.get(kind, "cpu")
    if first or origin:
        draft.carry("provider", provider, f"{_PLACE}: {first}" if first else origin)
    else:
        draft.check(
            "spec.provider",
            "no instance group says GPU or CPU, so Triton takes the GPUs that a machine has. Here it is the CPU; "
            "for GPUs write provider: cuda.",
        )
    _carry_used(draft, used, known)
    for each in idle:
        reason = f"Triton asks it for instances on {'CPUs' if kind == 'GPU' else 'GPUs'} only, and there are none"
        draft.lose(f"{_PLACE}: {shown(each.name)}", reason)


def _carry_used(draft: Draft, used: Sequence[_Accelerator], known: Mapping[str, tuple[str, Section]]) -> None:
    chosen = draft.spec.get("provider")
    for each in used:
        place = f"{_PLACE}: {shown(each.name)}"
        if each.name not in known:
            draft.lose(place, f"the accelerators known here are {', '.join(sorted({*_ON_GPU, *_ON_CPU}))}")
        elif known[each.name][0] != chosen:
            draft.lose(place, f"a model has one provider, and this one's is {chosen or 'cpu'}")
        else:
            carry_options(draft, known[each.name][1], each.parameters)


def _kind(config: ModelConfig) -> tuple[str, str]:
    """GPU, CPU or nothing, and what says so, which is nothing where it is only to be guessed."""
    kinds = {group.kind for group in config.instance_group if group.HasField("kind")}
    if ModelInstanceGroup.KIND_GPU in kinds:
        return "GPU", "instance_group.kind"
    if ModelInstanceGroup.KIND_CPU in kinds:
        return "CPU", "instance_group.kind"
    if any(group.gpus for group in config.instance_group):
        return "GPU", "instance_group.gpus"
    if config.optimization.execution_accelerators.gpu_execution_accelerator:
        return "GPU", f"{_PLACE}.gpu_execution_accelerator"
    keys = {row.key for row in CUDA_PARAMETERS.rows} & set(config.parameters)
    if keys:
        return "GPU", f"parameters.{min(keys)}"
    return "", ""
