"""Shares of operators' time by execution provider."""

import pytest

from genai_runtime.front.placement import ProviderShare, placement
from genai_runtime.profiling.summary import OperatorTime

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def test_providers_come_by_their_share_with_their_costliest_operators() -> None:
    times = [OperatorTime("MatMul", CUDA, 60.0), OperatorTime("Gather", CPU, 5.0), OperatorTime("Shape", CPU, 35.0)]
    assert placement(times) == (
        ProviderShare(CUDA, pytest.approx(0.6), ("MatMul",)),
        ProviderShare(CPU, pytest.approx(0.4), ("Shape", "Gather")),
    )


def test_kernels_without_a_provider_are_the_devices() -> None:
    times = [OperatorTime("Kernel", "", 80.0), OperatorTime("MatMul", CUDA, 10.0), OperatorTime("Add", CPU, 10.0)]
    assert [(each.provider, round(each.share, 3)) for each in placement(times)] == [(CUDA, 0.9), (CPU, 0.1)]


def test_few_operators_are_named() -> None:
    times = [OperatorTime(f"Op{number}", CPU, 100.0 - number) for number in range(9)]
    assert placement(times) == (ProviderShare(CPU, pytest.approx(1.0), ("Op0", "Op1", "Op2", "Op3", "Op4")),)


def test_nothing_measured_is_no_placement() -> None:
    assert placement([]) == ()
    assert placement([OperatorTime("Add", CPU, 0.0)]) == ()
