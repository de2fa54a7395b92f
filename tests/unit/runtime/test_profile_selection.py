"""Which runs a window captures: the text, and the decision run by run."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from genai_runtime.generation import GenerationRequest
from genai_runtime.profiling.selection import (
    LONGEST_RUNS,
    MOST_NAMES,
    MOST_PARTS,
    Chooser,
    InvalidSelection,
    Selection,
    check,
    hash_of,
    parse_runs,
)


def unasked() -> Mapping[str, int]:
    raise AssertionError("the decision asked for the run's requests without need")


def kept(chooser: Chooser, numbers: range) -> list[int]:
    """Which tokens (from 0) of one request have their decode run captured."""
    return [number - 1 for number in numbers if chooser.wants("decode", lambda: {"a": number})]  # noqa: B023


def test_nothing_said_is_everything_and_asks_nothing() -> None:
    chooser = Chooser(Selection())
    assert chooser.everything
    assert chooser.wants("prefill", unasked)
    assert chooser.wants("decode", unasked)
    assert Chooser(Selection(runs="every 1", sample_rate=1.0)).everything


def test_ranges_are_of_tokens_from_0_and_prefill_is_said() -> None:
    chooser = Chooser(Selection(runs="prefill,0-3,50-60,7"))
    assert chooser.wants("prefill", unasked)
    assert kept(chooser, range(1, 101)) == [0, 1, 2, 3, 7, *range(50, 61)]
    assert not Chooser(Selection(runs="0-3")).wants("prefill", unasked)


def test_only_prompts_asks_nothing_of_decode_runs() -> None:
    assert not Chooser(Selection(runs="prefill")).wants("decode", unasked)


def test_one_in_n_counts_runs_of_both_kinds_and_begins_with_the_first() -> None:
    chooser = Chooser(Selection(runs="every 3"))
    kinds = ["prefill", "decode", "decode", "decode", "prefill", "decode", "decode"]
    assert [chooser.wants(kind, unasked) for kind in kinds] == [True, False, False, True, False, False, True]


def test_one_in_n_counts_runs_of_chosen_requests_alone() -> None:
    chooser = Chooser(Selection(runs="every 2", request_ids=("b",)))
    runs = [{"a": 1}, {"a": 2, "b": 1}, {"b": 2}, {"a": 3}, {"b": 3}]
    assert [chooser.wants("decode", lambda: run) for run in runs] == [False, True, False, False, True]  # noqa: B023


def test_a_batch_is_captured_when_one_of_its_requests_makes_that_token() -> None:
    chooser = Chooser(Selection(runs="5", request_ids=("b",)))
    assert not chooser.wants("decode", lambda: {"a": 6, "b": 5})  # a makes token 5, but was not chosen
    assert chooser.wants("decode", lambda: {"a": 900, "b": 6})


def test_overlapping_ranges_are_one() -> None:
    rule = parse_runs("5-9,0-3,8-20,4,30")
    assert (list(rule.starts), list(rule.ends)) == ([0, 30], [20, 30])


@pytest.mark.parametrize("seed", range(5))
def test_ranges_agree_with_a_plain_look_at_each(seed: int) -> None:
    numbers = random.Random(seed)
    pairs = [sorted((numbers.randrange(200), numbers.randrange(200))) for _ in range(numbers.randrange(1, 12))]
    rule = parse_runs(",".join(f"{first}-{last}" for first, last in pairs))
    for token in range(220):
        assert rule.makes(token) == any(first <= token <= last for first, last in pairs)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ("prefill,50-6", "'50-6', which ends before it begins"),
        ("prefill,0 - 3", "'0 - 3'"),
        ("prefill,", "''"),
        ("0-3,decode", "'decode'"),
        ("every 0", "'every 0'"),
        ("every 1000000", "'every 1000000'"),
        ("every 5,3", "'every 5'"),
        ("-1", "'-1'"),
        ("1-2-3", "'1-2-3'"),
        ("12345678", "'12345678'"),
        ("\u0663", "\u0663"),
        ("../../etc/passwd", "'../../etc/passwd'"),
        ("0\n", r"'0\\n'"),
        ("x" * LONGEST_RUNS, "'" + "x" * 40 + "'"),
        ("x" * (LONGEST_RUNS + 1), f"{LONGEST_RUNS} are allowed"),
        (",".join("1" for _ in range(MOST_PARTS + 1)), f"{MOST_PARTS} are allowed"),
    ],
)
def test_what_cannot_be_read_is_named(runs: str, said: str) -> None:
    with pytest.raises(InvalidSelection, match=said) as error:
        check(Selection(runs=runs))
    assert error.value.field == "runs"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_rate", -0.1),
        ("sample_rate", 1.5),
        ("sample_rate", float("nan")),
        ("request_ids", ("ok", "no way")),
        ("request_ids", ("x" * 65,)),
        ("request_ids", ("",)),
        ("request_ids", ("../x",)),
        ("request_ids", ("a",) * (MOST_NAMES + 1)),
        ("clients", ("a b",)),
        ("clients", ("é",)),
        ("clients", ("",)),
        ("clients", ("x" * 254,)),
    ],
)
def test_bad_requests_are_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidSelection) as error:
        check(Selection(**{field: value}))
    assert error.value.field == field


def request(request_id: str, client: str = "", choice_of: str = "") -> GenerationRequest:
    return GenerationRequest(request_id, [1], 5, client=client, choice_of=choice_of)


def test_clients_and_ids_must_both_match() -> None:
    held = {each.request_id: each for each in (request("a", "alice"), request("b", "bob"), request("c", "alice"))}
    by_client = Chooser(Selection(clients=("alice", "10.0.0.7")), held.get)
    assert [name for name in held if by_client.wants("prefill", lambda: {name: 9})] == ["a", "c"]  # noqa: B023
    both = Chooser(Selection(clients=("alice",), request_ids=("b", "c")), held.get)
    assert [name for name in held if both.wants("decode", lambda: {name: 1})] == ["c"]  # noqa: B023


def test_an_id_that_comes_again_is_another_request() -> None:
    held = {"a": request("a", "alice")}
    chooser = Chooser(Selection(clients=("alice",)), held.get)
    assert chooser.wants("decode", lambda: {"a": 1})
    held["a"] = request("a", "bob")
    assert not chooser.wants("decode", lambda: {"a": 1})


def test_further_choices_go_with_their_request() -> None:
    held = {each.request_id: each for each in (request("a"), request("a-1", choice_of="a"), request("b-1"))}
    chooser = Chooser(Selection(request_ids=("a", "b")), held.get)
    assert [name for name in held if chooser.wants("decode", lambda: {name: 1})] == ["a", "a-1"]  # noqa: B023


def test_a_rate_chooses_its_share_and_always_the_same() -> None:
    names = [f"request-{number}" for number in range(20_000)]
    chooser = Chooser(Selection(sample_rate=0.1))
    chosen = [name for name in names if chooser.wants("decode", lambda: {name: 1})]  # noqa: B023
    assert abs(len(chosen) / len(names) - 0.1) < 0.01
    again = Chooser(Selection(sample_rate=0.1))
    assert [name for name in names if again.wants("prefill", lambda: {name: 5})] == chosen  # noqa: B023
    more = Chooser(Selection(sample_rate=0.5))
    assert all(more.wants("decode", lambda: {name: 1}) for name in chosen)  # noqa: B023


def test_hashes_are_the_same_in_every_release() -> None:
    assert hash_of("a") == 4681665781835383343
