"""Pure: what a sweep tries. A candidate is four settings of the engine and a variant of the model; an axis is one of
them with its values.

A sweep goes along one axis after the other, each time with the best that was found so far for the rest, so that the
number of engine starts grows with the sum of the values and not with their product. Variants come last: each is
measured once, with engine settings that are known to be good by then. How candidates are measured is `load.py`'s, and
which of them is best `choice.py`'s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

AxisName = Literal["threads", "spinning", "prefill_chunk", "batch", "variant"]
CHUNKS = (32, 64, 128, 256)
CONFIRM_ROUNDS = 3  # the best and the present settings, side by side at the end
_ROUNDS = 2
_SHORTEST, _LONGEST = 1.0, 10.0  # seconds of one measurement
_PROMPT_MARGIN = 2  # a chunk beyond this many prompts reads nothing more at once


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings to try. `prefill_chunk` 0 is the engine's own choice; `batch` is how many requests it holds at once.

    `variant` names the model's files; empty where there is one model alone.
    """

    threads: int
    spinning: bool
    batch: int
    prefill_chunk: int
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """Each of so many clients asks for one answer after the other; lengths are tokens."""

    clients: tuple[int, ...]
    prompt_tokens: int
    new_tokens: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """Which values to try besides the present ones. None: those that make sense here; empty: leave it as it is."""

    threads: tuple[int, ...] | None = None
    spinning: tuple[bool, ...] | None = None
    batch: tuple[int, ...] | None = None
    prefill_chunk: tuple[int, ...] | None = None
    variants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """One setting and the values to try, the present one first."""

    name: AxisName
    values: tuple[Any, ...]

    def candidates(self, best: Candidate) -> list[Candidate]:
        """`best` with each value in turn, `best` itself first."""
        found = [replace(best, **{self.name: value}) for value in self.values]
        return list(dict.fromkeys([best, *found]))


def axes(sweep: Sweep, present: Candidate, load: Load, *, cpus: int, chunk: int) -> list[Axis]:
    """The axes with more than one value. `chunk` is what the engine took for the present candidate; 0: it has none."""
    threads = _thread_counts(cpus) if sweep.threads is None else sweep.threads
    spinning = (True, False) if sweep.spinning is None else sweep.spinning
    chunks: Iterable[int] = sweep.prefill_chunk or ()
    if sweep.prefill_chunk is None and chunk:
        chunks = _chunks(chunk, load.prompt_tokens)
    batch = _batches(present.batch, max(load.clients)) if sweep.batch is None else sweep.batch
    found = [
        Axis("threads", _distinct(present.threads, threads)),
        Axis("spinning", _distinct(present.spinning, spinning)),
        Axis("prefill_chunk", _distinct(present.prefill_chunk, chunks)),
        Axis("batch", _distinct(present.batch, batch)),
        Axis("variant", _distinct(present.variant, sweep.variants)),
    ]
    return [each for each in found if len(each.values) > 1]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often each value of an axis is measured, and for how many seconds under each load."""

    rounds: int
    seconds: float


def pace(every: Sequence[Axis], seconds: float, start_seconds: float, loads: int) -> Pace:
    """So that the sweep takes about `seconds`: two rounds where they leave a measurement long enough, else one.

    `start_seconds` is what a start of an engine costs, `loads` how many numbers of clients are measured at each.
    """
    values = sum(len(axis.values) for axis in every)
    for rounds in (_ROUNDS, 1):
        each = seconds / (1 + rounds * values + 2 * CONFIRM_ROUNDS)
        length = (each - start_seconds) / loads
        if length >= _SHORTEST:
            return Pace(rounds, min(_LONGEST, length))
    return Pace(1, _SHORTEST)


def _thread_counts(cpus: int) -> list[int]:
    return [max(1, cpus * quarters // 4) for quarters in (4, 3, 2, 1)]


def _chunks(present: int, prompt_tokens: int) -> list[int]:
    """No two of them read such a prompt in one run alike."""
    return [each for each in CHUNKS if each != present and each < _PROMPT_MARGIN * max(prompt_tokens, present)]


def _batches(present: int, clients: int) -> list[int]:
    """Rows beyond the clients stay empty; fewer rows than clients are smaller runs, and requests that wait."""
    more, fewer = [clients] if clients > present else [], clients // 2
    return [*more, fewer] if 0 < fewer < present else more


def _distinct(present: Any, others: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys([present, *others]))
