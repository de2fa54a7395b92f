"""What measurements mean: ratios within a round decide, and a gain within the machine's noise is none."""

from genai_runtime.tuning.choice import Figure, Figures, Gain, gains, holds, ratio, winner
from genai_runtime.tuning.plan import Candidate

PRESENT, OTHER = Candidate(2, True, 16, 0), Candidate(1, False, 16, 0)


def rates(*found: float) -> Figures:
    return tuple(Figure(clients, rate, 1000 / rate if rate else 0.0) for clients, rate in enumerate(found, start=1))


def test_a_ratio_counts_all_numbers_of_clients_alike() -> None:
    assert ratio(rates(20, 50), rates(10, 100)) == 1.0
    assert ratio(rates(0, 50), rates(10, 100)) == 0.5


def test_a_faster_machine_in_one_round_is_no_faster_setting() -> None:
    rounds = [{PRESENT: rates(10), OTHER: rates(11)}, {PRESENT: rates(20), OTHER: rates(22)}]
    assert winner(rounds, PRESENT) == OTHER
    assert winner([{PRESENT: rates(20), OTHER: rates(20.1)}], PRESENT) == PRESENT


def test_what_failed_once_does_not_win() -> None:
    assert winner([{PRESENT: rates(1), OTHER: rates(9)}, {PRESENT: rates(1)}], PRESENT) == PRESENT
    assert winner([{OTHER: rates(9)}], PRESENT) == PRESENT
    assert winner([], PRESENT) == PRESENT


def test_gains_are_medians_over_rounds_side_by_side() -> None:
    best = [rates(11, 30), rates(22, 30), rates(90, 30)]
    present = [rates(10, 30), rates(20, 30), rates(10, 30)]
    first, second = gains(best, present)
    assert (first.clients, round(first.percent, 6), first.best.tokens_per_second) == (1, 10.0, 22)
    assert (second.percent, second.present.tokens_per_second) == (0.0, 30)


def test_a_gain_has_to_outlast_the_noise() -> None:
    assert not holds([Gain(1, *rates(1, 1), percent=1.9)])
    assert holds([Gain(1, *rates(1, 1), percent=2.1)])
    assert not holds([Gain(1, *rates(1, 1), percent=10.0), Gain(8, *rates(1, 1), percent=-10.0)])
    assert not holds([])
