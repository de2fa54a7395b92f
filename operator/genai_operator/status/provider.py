"""Whether the provider that was asked for is there, and can be. How much it does is `placement.py`'s."""

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.provider_spec import NVIDIA
from genai_operator.api.spec import GenAIModelSpec
from genai_operator.status.effective import reports
from genai_operator.status.observed import ObservedModel

# nvidia.com/gpu, nvidia.com/gpu.shared, nvidia.com/mig-1g.10gb…
_GPU_PREFIX = "nvidia.com/"


def replaced_provider(model: GenAIModel, observed: ObservedModel) -> str:
    """What is wrong where pods run on another provider than `spec.provider`, which the spec allows; else empty."""
    wanted = model.spec.provider
    others = [served for served in reports(observed) if served.provider != wanted and served.provider_reason]
    if not others:
        return ""
    newest, pods = others[-1], f"{len(others)} of {len(reports(observed))} ready pods run"
    return (
        f"{pods} on {newest.provider} instead of {wanted}, as providerFallback Allow permits: {newest.provider_reason}"
    )


def accepted(spec: GenAIModelSpec) -> str:
    """What condition Accepted says of a good spec: a GPU may be had without asking for one, but seldom is."""
    if spec.provider in NVIDIA and not any(name.startswith(_GPU_PREFIX) for name in spec.resources.limits):
        return (
            f"the spec is good, but provider {spec.provider} needs a GPU, and resources.limits asks for none: most "
            f"clusters show a pod the GPUs that it asks for, for example {_GPU_PREFIX}gpu: 1"
        )
    return "the spec is good"
