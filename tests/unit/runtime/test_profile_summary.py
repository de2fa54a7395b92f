"""Shares of operators' time."""

import pytest

from genai_runtime.profiling.summary import OperatorShare, OperatorTime, OperatorTotals, operator_shares

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def test_shares_are_by_kind_and_provider_costliest_first() -> None:
    operators = [("MatMul", CPU, 30), ("Add", CPU, 10), ("MatMul", CUDA, 40), ("MatMul", CPU, 20)]
    assert operator_shares(operators, 10) == [
        OperatorShare("MatMul", CPU, 2, 0.5, 50),
        OperatorShare("MatMul", CUDA, 1, 0.4, 40),
        OperatorShare("Add", CPU, 1, 0.1, 10),
    ]


def test_shares_are_of_all_operators_also_of_those_beyond_the_limit() -> None:
    shares = operator_shares([("A", CPU, 75), ("B", CPU, 25)], 1)
    assert [(share.op_type, share.share) for share in shares] == [("A", pytest.approx(0.75))]


def test_operators_too_quick_to_measure_have_no_share() -> None:
    assert operator_shares([("A", CPU, 0), ("B", CPU, 0), ("B", CPU, 0)], 5) == [
        OperatorShare("B", CPU, 2, 0.0),
        OperatorShare("A", CPU, 1, 0.0),
    ]


def test_nothing_has_no_shares() -> None:
    assert operator_shares([], 5) == []


def test_times_are_a_run_and_of_every_kind() -> None:
    totals = OperatorTotals()
    for op_type, provider, microseconds in [("MatMul", CPU, 30), ("Add", CPU, 10), ("MatMul", CPU, 20)]:
        totals.add(op_type, provider, microseconds)
    assert totals.per_run(4) == [OperatorTime("MatMul", CPU, 12.5, 2), OperatorTime("Add", CPU, 2.5, 1)]
