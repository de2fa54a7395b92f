"""What a window costs: ratios within rounds, slices of a real server, blocks of a real engine."""

import pytest

from bench.runtime_options.cost import Slice, cpu_costs, rate_costs, server_cost
from bench.runtime_options.engine_cost import KINDS, Block, engine_cost, percents, spread


def made(number: int, kind: str, tokens: int, cpu_ms: int) -> Slice:
    return Slice(number, kind, 1.0, tokens, 0, cpu_ms * 1_000_000, 0)


def test_ratios_are_of_the_same_round() -> None:
    slices = [
        *(
            made(0, "none", 100, 100),
            made(0, "1 in 100", 90, 90),
            made(0, "1 in 100", 90, 108),
            made(0, "none", 100, 100),
        ),
        *(
            made(1, "none", 10, 100),
            made(1, "1 in 100", 10, 110),
            made(1, "1 in 100", 10, 110),
            made(1, "none", 10, 100),
        ),
    ]
    assert cpu_costs(slices, "1 in 100") == pytest.approx([10, 10])
    assert rate_costs(slices, "1 in 100") == pytest.approx([10, 0])
    without = [Block(100, 100), Block(100, 100), Block(10, 10), Block(10, 10)]
    within = [Block(100, 200), Block(100, 200), Block(11, 11), Block(10, 10)]
    assert percents(without, within) == pytest.approx([1, 5])
    assert spread([3, 1, 2]) == {"median": 2, "lower_quartile": 1, "upper_quartile": 3}
    assert spread([7])["upper_quartile"] == 7


@pytest.mark.model
def test_blocks_of_an_engine_are_measured() -> None:
    found = engine_cost(1)
    assert {kind: len(blocks) for kind, blocks in found["blocks"].items()} == dict.fromkeys(KINDS, 2)
    assert min(time for blocks in found["blocks"].values() for block in blocks for time in block) > 0
    assert set(found["percent"]) == set(KINDS) - {"none"}


@pytest.mark.model
async def test_slices_of_a_server_are_measured() -> None:
    found = await server_cost(1, 0.3)
    assert [each["kind"] for each in found["slices"]] == [*KINDS, *reversed(KINDS)]
    for each in found["slices"]:
        assert min(each["tokens"], each["front_cpu_ns"], each["engine_cpu_ns"]) > 0
        assert bool(each["captured_runs"]) == (each["kind"] == "1 in 100")
