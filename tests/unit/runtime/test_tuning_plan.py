"""What a sweep tries: values that make sense on this machine under this load, and no more than time allows."""

import pytest

from genai_runtime.tuning.plan import Axis, Candidate, Load, Sweep, axes, pace

PRESENT = Candidate(threads=4, spinning=True, batch=16, prefill_chunk=0)


def values(sweep: Sweep, *, present: Candidate = PRESENT, cpus: int = 4, clients: int = 8, chunk: int = 64) -> dict:  # type: ignore[type-arg]
    load = Load((1, clients), prompt_tokens=100, new_tokens=32)
    return {axis.name: axis.values for axis in axes(sweep, present, load, cpus=cpus, chunk=chunk)}


def test_the_present_value_comes_first_and_no_value_twice() -> None:
    assert values(Sweep()) == {
        "threads": (4, 3, 2, 1),
        "spinning": (True, False),
        "prefill_chunk": (0, 32, 128),  # one run reads the whole prompt at 128 as at 256
        "batch": (16, 4),  # rows beyond the clients are empty: 8 is as 16
    }


def test_what_changes_nothing_is_not_tried() -> None:
    assert values(Sweep(threads=(), spinning=(True,), batch=()), chunk=0) == {}
    assert "threads" not in values(Sweep(), present=Candidate(1, False, 16, 0), cpus=1)
    assert "batch" not in values(Sweep(), clients=1)
    assert values(Sweep(), present=Candidate(4, True, 4, 0))["batch"] == (4, 8)


def test_stated_values_are_tried_as_they_are() -> None:
    sweep = Sweep(threads=(2, 4, 2), spinning=(False,), batch=(1,), prefill_chunk=(512,))
    assert values(sweep) == {
        "threads": (4, 2),
        "spinning": (True, False),
        "prefill_chunk": (0, 512),
        "batch": (16, 1),
    }


def test_an_axis_varies_the_best_so_far() -> None:
    best = Candidate(2, False, 16, 0)
    assert Axis("batch", (16, 4)).candidates(best) == [best, Candidate(2, False, 4, 0)]
    assert Axis("batch", (8, 4)).candidates(best)[0] == best


@pytest.mark.parametrize(
    ("seconds", "rounds", "length"),
    [(10_000.0, 2, 10.0), (150.0, 2, 4.0), (56.0, 1, 1.55), (1.0, 1, 1.0)],
)
def test_the_pace_follows_the_time(seconds: float, rounds: int, length: float) -> None:
    every = [Axis("threads", (4, 2)), Axis("spinning", (True, False))]
    found = pace(every, seconds, start_seconds=2.0, loads=2)
    assert (found.rounds, round(found.seconds, 2)) == (rounds, length)


def test_variants_come_last_and_only_where_they_are_named() -> None:
    found = axes(Sweep(variants=("a", "b")), Candidate(4, True, 16, 0, "a"), Load((8,), 100, 32), cpus=4, chunk=64)
    assert found[-1] == Axis("variant", ("a", "b"))
    assert [each.name for each in axes(Sweep(), PRESENT, Load((8,), 100, 32), cpus=4, chunk=64)][-1] == "batch"
