"""How the serving benchmark computes: rates from streams, ratios from rows, and every check of the goals."""

from typing import Any

import pytest

from bench.serving.arena import ENGINE, GENERATOR, LLAMA, OURS, OURS_128, OURS_HTTP
from bench.serving.loads import Planned, closed, play, poisson
from bench.serving.shape import SPECIAL
from bench.serving.streams import Stream, decode_rate, from_json, to_json, whole_rate
from bench.serving.verdicts import checks, ratio

IDS = [
    *(f"grpc_vs_generator_n{n}" for n in (1, 4, 8, 16)),
    *(f"grpc_vs_llama_n{n}" for n in (1, 4, 8, 16)),
    *(f"grpc_vs_llama_b128_n{n}" for n in (1, 2, 4, 8, 16)),
    *(f"http_vs_llama_n{n}" for n in (1, 2, 4, 8)),
    *("front_us_per_token", "poisson6_ttft_vs_engine", "poisson6_tok_vs_engine", "join_gap_ms", "prefix_ttft_ratio"),
    *("health_p99_ms", "engine_kill_end_ms", "cancel_free_ms"),
    *("cancel_leaked_rows", "cancel_leaked_streams", "cancel_rss_growth_pct"),
]


def closed_row(number: int, contestant: str, speed: float, n: int = 4) -> dict[str, Any]:
    row = {"round": number, "section": "closed", "contestant": contestant, "n": n, "tokens_per_second": speed}
    return row | ({"front_us_per_token": 160.0 / n, "tokens": 100 * n} if contestant == OURS else {})


def test_every_check_is_there_and_what_was_not_measured_does_not_hold() -> None:
    found = checks([])
    assert [each.id for each in found] == IDS
    assert not any(each.holds for each in found)


def test_a_ratio_is_taken_within_a_round() -> None:
    """The machine was twice as slow in the second round; a ratio of medians over all would not be 1.5."""
    rows = [closed_row(0, OURS, 600), closed_row(0, LLAMA, 400), closed_row(1, OURS, 300), closed_row(1, LLAMA, 200)]
    rows += [closed_row(2, OURS, 1200), closed_row(3, LLAMA, 100)]  # rounds without the other
    assert ratio(rows, "closed", "tokens_per_second", OURS, LLAMA, n=4) == 1.5
    assert ratio(rows, "closed", "tokens_per_second", OURS, LLAMA, n=8) is None


def test_more_is_better_for_speeds_and_less_for_times() -> None:
    rows = [closed_row(0, OURS, 480), closed_row(0, LLAMA, 400), closed_row(0, OURS_HTTP, 399)]
    rows += [closed_row(0, OURS_128, 519)]
    rows += [
        {"round": 0, "section": "poisson", "contestant": name, "rate": 6, **figures}
        for name, figures in (
            (OURS, {"tokens_per_second": 300, "first_token_p50_ms": 70}),
            (ENGINE, {"tokens_per_second": 250, "first_token_p50_ms": 100}),
        )
    ]
    rows += [
        {"round": 0, "section": "decode", "contestant": name, "n": 4, "decode_tokens_per_second": speed}
        for name, speed in ((OURS, 89), (GENERATOR, 100))
    ]
    found = {each.id: each for each in checks(rows)}
    assert found["grpc_vs_llama_n4"].value == pytest.approx(1.2)
    assert found["grpc_vs_llama_n4"].holds
    assert not found["http_vs_llama_n4"].holds
    assert not found["grpc_vs_llama_b128_n4"].holds
    assert not found["grpc_vs_generator_n4"].holds
    assert found["front_us_per_token"].value == 40
    several = {each.id: each for each in checks([*rows, closed_row(0, OURS, 100, n=1)])}
    assert several["front_us_per_token"].value == (40 * 400 + 160 * 100) / 500
    assert found["poisson6_ttft_vs_engine"].holds
    assert found["poisson6_tok_vs_engine"].holds


def test_a_freed_row_is_judged_by_its_slowest_ending() -> None:
    row = {"round": 0, "section": "freed", "contestant": OURS, "state": "decode", "run_ms": 10.0}
    rows = [row | {"ending": "cancel", "freed_ms": 20.0}, row | {"ending": "deadline", "freed_ms": 61.0}]
    found = {each.id: each for each in checks(rows)}["cancel_free_ms"]
    assert (found.value, found.goal, found.holds) == (61.0, 60.0, False)


def test_rates_of_streams() -> None:
    early = Stream(0.0, [(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1)])
    late = Stream(0.5, [(2.0, 1), (3.0, 2), (5.0, 1)])
    assert whole_rate([early, late]) == 8 / 5.0
    # from 2.0, when both decode, to 4.0, when one ends: tokens at 3.0 and 4.0
    assert decode_rate([early, late]) == 4 / 2.0
    assert late.longest_gap(2.5, 3.5) == 2.0
    assert early.first_token_seconds == 1.0
    assert from_json(to_json([early, late])) == [early, late]


def test_plans_are_the_same_for_everybody_and_never_repeat_a_prompt() -> None:
    plan = poisson(7, 6.0, 40, (32, 400), 64)
    assert plan == poisson(7, 6.0, 40, (32, 400), 64)
    assert [each.at for each in plan] == sorted(each.at for each in plan)
    assert 2 < plan[-1].at < 20
    assert all(32 <= len(each.prompt) <= 400 and min(each.prompt) >= len(SPECIAL) for each in plan)
    prompts = [tuple(each.prompt) for each in (*closed(1, 4, 3, 32, 96), *closed(2, 4, 3, 32, 96))]
    assert len(set(prompts)) == len(prompts)


async def test_a_closed_loop_asks_again_only_after_an_answer() -> None:
    running, most, order = 0, 0, list[int]()

    class Answers:
        async def stream(self, prompt: list[int], count: int) -> Stream:
            nonlocal running, most
            running += 1
            most = max(most, running)
            order.append(prompt[0])
            running -= 1
            return Stream(0.0, [(1.0, count)])

    plan = [Planned([number], 1, after=number - 2 if number >= 2 else -1) for number in range(6)]
    found = await play(Answers(), plan)
    assert len(found) == 6
    assert sorted(order[:2]) == [0, 1]
    assert order.index(4) > order.index(2) > order.index(0)
