"""Where the model runs, by operators' time: `status.placement`, and whether a GPU that was asked for is used."""

from collections.abc import Iterable

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.status_model import ProviderPlacement
from genai_operator.status.effective import listed_before, reports
from genai_operator.status.live_plan import live_pods
from genai_operator.status.observed import ObservedModel

# Execution providers that are the device for a `spec.provider`; on cpu there is nothing to fall back from.
_ACCELERATORS = {
    "cuda": ("CUDAExecutionProvider", "NvTensorRTRTXExecutionProvider", "TensorrtExecutionProvider"),
    "trt-rtx": ("NvTensorRTRTXExecutionProvider", "CUDAExecutionProvider"),
    "openvino": ("OpenVINOExecutionProvider",),
    "webgpu": ("WebGpuExecutionProvider",),
    "dml": ("DmlExecutionProvider",),
    "qnn": ("QNNExecutionProvider",),
}
_SHOWN_OPERATORS = 3


def placement(model: GenAIModel, observed: ObservedModel) -> tuple[ProviderPlacement, ...]:
    """As the pod whose GPU does least sees it, the newest of equals; empty while it is not known."""
    seen = [served.placement for served in reversed(reports(observed)) if served.placement]
    if not seen:
        return listed_before(model.status, "placement", ProviderPlacement) if live_pods(observed) else ()
    return min(seen, key=lambda each: _share(model.spec.provider, each))


def fallen_back(model: GenAIModel, placed: Iterable[ProviderPlacement]) -> str:
    """What is wrong with this placement, with the remedy; empty when nothing is, or nothing is known."""
    seen, provider, limit = tuple(placed), model.spec.provider, model.spec.provider_limits.min_share_percent
    if provider not in _ACCELERATORS or not seen:
        return ""
    share = _share(provider, seen)
    if share >= limit:
        return ""
    others = [each for each in seen if each.provider not in _ACCELERATORS[provider]]
    where = "; ".join(f"{', '.join(each.operators[:_SHOWN_OPERATORS])} run on {each.provider}" for each in others)
    return (
        f"{share:.1f} % of the operators' time is spent on {provider}, and providerLimits.minSharePercent is {limit}: "
        f"{where}. Use a model that was built for {provider}, or lower the limit"
    )


def _share(provider: str, placed: Iterable[ProviderPlacement]) -> float:
    """Percent on the accelerator that was asked for; 100 where none was."""
    wanted = _ACCELERATORS.get(provider)
    return 100.0 if wanted is None else sum(each.share_percent for each in placed if each.provider in wanted)
