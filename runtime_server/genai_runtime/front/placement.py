"""Where the model really runs: operators' time by execution provider. Pure arithmetic; timing is `own_windows.py`'s."""

from collections.abc import Iterable
from dataclasses import dataclass

from genai_runtime.profiling.summary import OperatorTime

SHOWN_OPERATORS = 5
CPU = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class ProviderShare:
    """`share` (0 to 1) of all operators' time was spent on `provider`; `operators`: its costliest kinds."""

    provider: str
    share: float
    operators: tuple[str, ...]


def placement(operators: Iterable[OperatorTime]) -> tuple[ProviderShare, ...]:
    """The providers by their share, the largest first; empty where no time was measured.

    A device's own kernels carry no provider in ONNX Runtime's profile: they are the device provider's time.
    """
    timed = [each for each in operators if each.microseconds_per_run > 0]
    device = next((each.provider for each in timed if each.provider not in ("", CPU)), "")
    kinds: dict[str, dict[str, float]] = {}
    for each in timed:
        of = kinds.setdefault(each.provider or device, {})
        of[each.op_type] = of.get(each.op_type, 0.0) + each.microseconds_per_run
    total = sum(sum(of.values()) for of in kinds.values())
    shares = [
        ProviderShare(provider, sum(of.values()) / total, tuple(sorted(of, key=lambda kind: (-of[kind], kind))))
        for provider, of in kinds.items()
    ]
    return tuple(
        ProviderShare(each.provider, each.share, each.operators[:SHOWN_OPERATORS])
        for each in sorted(shares, key=lambda each: (-each.share, each.provider))
    )
