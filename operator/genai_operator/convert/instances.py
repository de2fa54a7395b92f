"""Instance groups as replicas. Where they run is `provider.py`'s.

An instance of Triton's is a session of its own in the server's process; here it is a pod of its own, whose engine runs
many requests at once.
"""

from genai_operator.api.pod_fields import Resources
from genai_operator.api.provider_spec import NVIDIA
from genai_operator.convert.draft import Draft, shown
from genai_operator.parameters.triton_config import WORDS
from genai_protocol.triton.model_config_pb2 import ModelConfig, ModelInstanceGroup

_GPU_COUNT = (
    "one pod a GPU: its engine runs many requests at once, and a second copy of the model on the same GPU would only "
    "take memory from its cache"
)
_GPU_CHOICE = "Kubernetes chooses the GPU; nodeSelector and resources say of which kind"
_ALL_GPUS = "Triton runs instances on every GPU of its machine where none is listed; here each GPU is a pod of its own"
_LIMITS = (
    "cpu and memory are the defaults, for a small model; a GPU may be a slice of one, such as nvidia.com/mig-1g.10gb"
)
_GPU = "nvidia.com/gpu"
_WORDS = {key.removeprefix("instance_group."): words for key, words in WORDS.items()}


def carry_instances(draft: Draft, config: ModelConfig) -> None:
    """`replicas`, and the GPU that each of them asks for."""
    total = 0
    origins: list[str] = []
    on_gpu = draft.spec.get("provider", "cpu") not in ("cpu", "openvino")
    for index, group in enumerate(config.instance_group):
        place = f"instance_group[{index}]"
        if on_gpu and group.kind == ModelInstanceGroup.KIND_CPU:
            draft.lose(f"{place}.kind: KIND_CPU", "a model's pods are alike; the other groups are on GPUs")
            continue
        pods = _pods(draft, group, place, on_gpu=on_gpu)
        if pods:
            total += pods
            origins.append(place)
        _rest(draft, group, place)
    if on_gpu and draft.spec["provider"] in NVIDIA:
        draft.carry("resources.limits", {**Resources().limits, _GPU: 1}, "one GPU a pod")
        draft.check("spec.resources.limits", _LIMITS)
    if origins:
        # The bound is the spec's; a sum of int32 may exceed what any field takes.
        draft.carry("replicas", total, ", ".join(origins[:4]) + (" and more" if len(origins) > 4 else ""))


def _pods(draft: Draft, group: ModelInstanceGroup, place: str, *, on_gpu: bool) -> int:
    """How many pods a group is; 0 where it does not say."""
    if group.HasField("count") and group.count < 1:
        draft.lose(f"{place}.count: {group.count}", "a group has one instance or more")
        return 0
    if not on_gpu:
        return group.count if group.HasField("count") else 0
    if group.count > 1:
        draft.lose(f"{place}.count: {group.count}", _GPU_COUNT)
    if group.gpus:
        draft.lose(f"{place}.gpus: {shown(list(group.gpus))}", _GPU_CHOICE)
        return len(set(group.gpus))
    draft.check("spec.replicas", _ALL_GPUS)
    return 1 if group.HasField("count") else 0


def _rest(draft: Draft, group: ModelInstanceGroup, place: str) -> None:
    if group.HasField("kind") and group.kind in (ModelInstanceGroup.KIND_AUTO, ModelInstanceGroup.KIND_MODEL):
        kind = ModelInstanceGroup.Kind.Name(group.kind)
        draft.lose(f"{place}.kind: {kind}", "a GenAIModel says where it runs: spec.provider")
    if group.HasField("name"):
        draft.lose(f"{place}.name: {shown(group.name)}", _WORDS["name"])
    if group.HasField("rate_limiter"):
        draft.lose(f"{place}.rate_limiter", _WORDS["rate_limiter"])
    if group.profile:
        draft.lose(f"{place}.profile: {shown(list(group.profile))}", _WORDS["profile"])
    if group.HasField("passive"):
        place_passive = f"{place}.passive: {shown(group.passive)}"
        if group.passive:
            draft.lose(place_passive, _WORDS["passive"])
        else:
            draft.same(place_passive, "every pod takes requests")
    if group.secondary_devices:
        draft.lose(f"{place}.secondary_devices", _WORDS["secondary_devices"])
    if group.HasField("host_policy"):
        draft.lose(f"{place}.host_policy: {shown(group.host_policy)}", _WORDS["host_policy"])
