"""How much the cache may take and who holds how much of it; and what the pod's limit is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_runtime.engine.batch.memory import (
    BLOCK_TOKENS,
    FRONT_BYTES,
    KvMemory,
    blocks,
    kv_budget,
    prefix_budget,
    resident_bytes,
)
from genai_runtime.engine.batch.slots import Move
from genai_runtime.errors import ModelUnusable
from genai_runtime.memory_limit import memory_limit

GIB = 1 << 30


def test_the_budget_is_what_the_limit_leaves() -> None:
    assert kv_budget(0, GIB, 300 << 20, 10 * GIB) == int(GIB * 0.95) - (300 << 20) - FRONT_BYTES
    assert kv_budget(0, 64 * GIB, GIB, GIB) == GIB
    assert kv_budget(5 << 20, GIB, 300 << 20, 10 * GIB) == 5 << 20


def test_more_than_there_is_is_refused_in_words() -> None:
    with pytest.raises(ModelUnusable, match="KV cache of 1073741824 bytes was asked for") as caught:
        kv_budget(GIB, GIB, 300 << 20, 10 * GIB)
    assert caught.value.reason == "OutOfMemory"
    with pytest.raises(ModelUnusable, match="nothing of the memory limit"):
        kv_budget(0, GIB, GIB, 10 * GIB)
    with pytest.raises(ModelUnusable, match="does not hold 64 tokens"):
        KvMemory(63 * 1000, 1000, 4)


def test_prefixes_get_a_share() -> None:
    assert (prefix_budget(-1, 400), prefix_budget(0, 400), prefix_budget(900, 400)) == (100, 0, 400)


def test_what_the_process_holds_is_read(tmp_path: Path) -> None:
    assert 10 << 20 < resident_bytes() < 1 << 40
    (tmp_path / "status").write_text("Name: x\nVmRSS:\t  2048 kB\n")
    assert resident_bytes(tmp_path / "status") == 2 << 20
    (tmp_path / "status").write_text("Name: x\n")
    with pytest.raises(OSError, match="does not tell"):
        resident_bytes(tmp_path / "status")


def test_growth_is_counted_in_blocks() -> None:
    memory = KvMemory(1000 * BLOCK_TOKENS, 1, 4)
    memory.hold(0, 64)
    memory.hold(1, 65)
    assert memory.used == 64 + 128
    lengths = [63, 127]
    assert memory.growth(lengths) == 0
    lengths = [64, 128]
    assert memory.growth(lengths) == 128
    memory.grow(lengths)
    assert memory.used == 128 + 192
    memory.drop(0)
    assert (memory.used, memory.free) == (192, memory.total - 192)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300)), max_size=20))
def test_pages_are_given_back_when_they_are_needed(holds: list[tuple[int, int]]) -> None:
    memory = KvMemory(320, 1, 4)
    written = [0] * 4
    for row, positions in holds:
        if blocks(positions) > memory.free + memory.held(row):
            memory.drop(row)
            continue
        memory.hold(row, positions)
        written[row] = max(written[row], memory.held(row))
        for stale, start in memory.give_back(0):
            assert start == memory.held(stale)
            written[stale] = start
        assert sum(written) <= memory.total


def test_a_move_takes_what_is_held_along() -> None:
    memory = KvMemory(1024, 1, 4)
    memory.hold(3, 100)
    memory.move(Move(3, 0))
    assert (memory.held(0), memory.held(3), memory.used) == (128, 0, 128)


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({"memory.max": "max\n"}, "0::/\n", 4 << 20),
        ({"memory.max": "1000000\n"}, "0::/\n", 1_000_000),
        ({"memory.max": "max\n", "pod/memory.max": "2000000\n"}, "0::/pod/app\n", 2_000_000),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, "5:memory:/\n", 4 << 20),
        ({"memory/pod/memory.limit_in_bytes": "3000000\n"}, "5:memory:/pod\n", 3_000_000),
        ({}, "", 4 << 20),
    ],
)
def test_the_limit_is_the_cgroups_or_the_machines(
    tmp_path: Path, files: dict[str, str], own: str, expected: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    (tmp_path / "meminfo").write_text("MemTotal:  4096 kB\nMemFree: 1 kB\n")
    assert memory_limit(tmp_path, tmp_path / "own", tmp_path / "meminfo") == expected
