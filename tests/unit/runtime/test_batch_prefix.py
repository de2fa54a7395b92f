"""The prefix cache finds the longest beginning, forgets the least used, and never more than it may hold."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genai_runtime.engine.batch.prefix import BLOCK_TOKENS, PrefixCache


@dataclass(frozen=True)
class Block:
    name: str
    nbytes: int = 10


def tokens(count: int, seed: int = 0) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.random.default_rng(seed).integers(0, 1000, count)


def fill(cache: PrefixCache[Block], keys: list[bytes], name: str = "b") -> None:
    for number in range(len(keys)):
        cache.put(keys[: number + 1], Block(f"{name}{number}"))


def test_the_longest_beginning_is_found() -> None:
    cache: PrefixCache[Block] = PrefixCache(1000)
    known = tokens(5 * BLOCK_TOKENS + 3)
    keys = cache.keys(known, "")
    assert len(keys) == 5
    fill(cache, keys)
    other = known.copy()
    other[3 * BLOCK_TOKENS] += 1
    assert [block.name for block in cache.find(cache.keys(other, ""))] == ["b0", "b1", "b2"]
    assert cache.find(cache.keys(known[1:], "")) == []
    assert cache.tokens == 5 * BLOCK_TOKENS


def test_another_adapter_has_another_cache() -> None:
    cache: PrefixCache[Block] = PrefixCache(1000)
    fill(cache, cache.keys(tokens(64), "a"))
    assert cache.find(cache.keys(tokens(64), "")) == []
    assert len(cache.find(cache.keys(tokens(64), "a"))) == 4


def test_the_same_block_after_something_else_is_another_block() -> None:
    cache: PrefixCache[Block] = PrefixCache(1000)
    block = tokens(BLOCK_TOKENS)
    first, second = cache.keys(np.concatenate([block, block]), "")
    assert first != second


def test_ends_are_forgotten_before_beginnings_and_the_unused_before_the_used() -> None:
    cache: PrefixCache[Block] = PrefixCache(60)
    old, used = cache.keys(tokens(48, 1), ""), cache.keys(tokens(48, 2), "")
    fill(cache, old, "old")
    fill(cache, used, "used")
    cache.find(old)
    fill(cache, cache.keys(tokens(16, 3), ""), "new")
    assert [block.name for block in cache.find(old)] == ["old0", "old1", "old2"]
    assert [block.name for block in cache.find(used)] == ["used0", "used1"]
    assert cache.evictions == 1


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache: PrefixCache[Block] = PrefixCache(9)
    fill(cache, cache.keys(tokens(16), ""))
    assert (cache.nbytes, cache.tokens) == (0, 0)


def test_a_cache_that_is_off_costs_nothing() -> None:
    cache: PrefixCache[Block] = PrefixCache(0)
    assert cache.keys(tokens(1000), "") == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=30), st.integers(0, 120))
def test_the_cap_holds_and_what_is_found_is_unbroken(puts: list[tuple[int, int]], cap: int) -> None:
    cache: PrefixCache[Block] = PrefixCache(cap)
    for seed, blocks in puts:
        keys = cache.keys(tokens(blocks * BLOCK_TOKENS, seed), "")
        fill(cache, keys, f"{seed}-")
        assert cache.nbytes <= cap
        assert cache.nbytes == cache.tokens // BLOCK_TOKENS * 10
        found = [block.name for block in cache.find(keys)]
        assert found == [f"{seed}-{number}" for number in range(len(found))]
        assert len(found) == sum(cache.holds(key) for key in keys)
