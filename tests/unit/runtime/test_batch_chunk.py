"""How long a joining prompt's runs are: by what the machine needs for one."""

from collections.abc import Callable

import pytest

from genai_runtime.engine.batch.chunk import CHOICES, MOST_SECONDS, fitting_chunk


def machine(seconds: Callable[[int, int], float]) -> tuple[Callable[[int], None], Callable[[], float], list[int]]:
    """A prefill that takes `seconds(tokens, number of the run)`, its clock, and what was run."""
    now, runs = [0.0], []

    def prefill(count: int) -> None:
        runs.append(count)
        now[0] += seconds(count, len(runs))

    return prefill, lambda: now[0], runs


@pytest.mark.parametrize(
    ("milliseconds_a_token", "chunk"),
    [(0.1, 64), (0.51, 64), (0.52, 48), (0.68, 48), (0.69, 32), (1.03, 32), (1.04, 24), (50.0, 24)],
)
def test_the_largest_that_a_machine_reads_in_time(milliseconds_a_token: float, chunk: int) -> None:
    prefill, clock, _ = machine(lambda count, _: count * milliseconds_a_token / 1000)
    assert fitting_chunk(prefill, clock) == chunk


def test_neither_the_first_run_nor_company_counts() -> None:
    slow = {1, 2, 4}
    prefill, clock, runs = machine(lambda count, number: MOST_SECONDS * (5.0 if number in slow else 0.9))
    assert fitting_chunk(prefill, clock) == CHOICES[0]
    assert runs == [CHOICES[0]] * 4
