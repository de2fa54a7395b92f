"""Goes through the plan within a given time: measures, keeps the best, and holds it against the present settings.

Each candidate is measured in a fresh engine process. One that cannot run, for memory, is left out and told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic

import structlog

from genai_runtime.engine.protocol import ModelInfo
from genai_runtime.errors import EngineFailure, InvalidSettings, ModelUnusable
from genai_runtime.tuning.choice import Figures, Gain, beside, gains, holds, winner
from genai_runtime.tuning.load import Measure, Visit
from genai_runtime.tuning.plan import CONFIRM_ROUNDS, Axis, AxisName, Candidate, Load, Pace, Sweep, axes, pace

_FIRST_SECONDS = 1.0  # of the visit that shows what a start costs
_log = structlog.get_logger("genai_runtime.tuning")


@dataclass
class Outcome:
    """What a sweep found. `best` is the present candidate where nothing is faster beyond the margin.

    `gains` has one entry for each number of clients. `nearest` seemed faster and was not beyond the margin when it ran
    beside the present one, with its gains there. `variants` are those of the model by name, each with its gains over
    the present one, both with the best settings of the engine. `unmeasured` are axes for which no time was left,
    `failed` why candidates could not run.
    """

    info: ModelInfo
    present: Candidate
    best: Candidate
    gains: list[Gain] = field(default_factory=list)
    nearest: tuple[Candidate, list[Gain]] | None = None
    variants: dict[str, list[Gain]] = field(default_factory=dict)
    measured: int = 0
    unmeasured: list[AxisName] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """What to find out: better settings than `present` for a load, on so many CPUs, within about so many seconds.

    `slot` is how long one measurement takes; None: what the time allows. `refused` are variants of the model that are
    measured and not to be recommended.
    """

    present: Candidate
    sweep: Sweep
    load: Load
    cpus: int
    seconds: float
    slot: float | None = None
    refused: frozenset[str] = frozenset()


async def run(task: Task, measure: Measure, clock: Callable[[], float] = monotonic) -> Outcome:
    """Carries it out. Raises what `measure` raises for the present candidate, and `InvalidSettings`."""
    began = clock()
    first = await measure(task.present, min(_FIRST_SECONDS, task.slot or task.seconds))
    if task.sweep.prefill_chunk and not first.info.prefill_chunk:
        raise InvalidSettings(f"the engine {first.info.engine} reads no prompts in chunks; leave prefillChunk out")
    every = axes(task.sweep, task.present, task.load, cpus=task.cpus, chunk=first.info.prefill_chunk)
    loads = len(task.load.clients)
    chosen = pace(every, task.seconds, first.start_seconds, loads)
    if task.slot is not None:
        chosen = replace(chosen, seconds=task.slot)
    cost = first.start_seconds + chosen.seconds * loads
    outcome = Outcome(first.info, task.present, task.present, measured=1)
    trying = _Trying(measure, chosen, outcome, task.refused)
    for axis in every:
        left = task.seconds - (clock() - began) - cost * (2 * CONFIRM_ROUNDS + _kept(every, axis, chosen))
        if left < cost * len(axis.values) * chosen.rounds:
            outcome.unmeasured.append(axis.name)
        else:
            await trying.along(axis)
    await trying.confirm()
    outcome.seconds = clock() - began
    return outcome


def _kept(every: Sequence[Axis], axis: Axis, chosen: Pace) -> int:
    """Measurements that an axis leaves time for: variants were asked for by name, and each was built for this."""
    return sum(len(each.values) * chosen.rounds for each in every if each.name == "variant" and each != axis)


@dataclass
class _Trying:
    """Measures candidates and keeps the books."""

    measure: Measure
    pace: Pace
    outcome: Outcome
    refused: frozenset[str]

    async def along(self, axis: Axis) -> None:
        """Every value of one axis, with the best so far for the rest."""
        best, rounds = self.outcome.best, list[dict[Candidate, Figures]]()
        candidates = axis.candidates(best)
        for number in range(self.pace.rounds):
            measured = {}
            for candidate in candidates if number % 2 == 0 else reversed(candidates):
                if (found := await self._visit(candidate)) is not None:
                    measured[candidate] = found.figures
            rounds.append(measured)
        if axis.name == "variant":
            self.outcome.variants = {each.variant: found for each, found in beside(rounds, best).items()}
        permitted = [{each: seen for each, seen in one.items() if self._may_win(each)} for one in rounds]
        self.outcome.best = winner(permitted, best)

    def _may_win(self, candidate: Candidate) -> bool:
        return candidate.variant == self.outcome.present.variant or candidate.variant not in self.refused

    async def confirm(self) -> None:
        """The best and the present in turn; without a difference that lasts, the present ones are the best."""
        outcome, ours, others = self.outcome, list[Figures](), list[Figures]()
        for number in range(CONFIRM_ROUNDS):
            pair = dict[Candidate, Figures]()
            # Neither always comes after the same neighbour.
            for candidate in (outcome.present, outcome.best) if number % 2 else (outcome.best, outcome.present):
                pair[candidate] = pair[candidate] if candidate in pair else (await self._must(candidate)).figures
            ours.append(pair[outcome.best])
            others.append(pair[outcome.present])
        outcome.gains = gains(ours, others)
        if outcome.best != outcome.present and not holds(outcome.gains):
            outcome.nearest = outcome.best, outcome.gains
            outcome.best, outcome.gains = outcome.present, gains(others, others)

    async def _visit(self, candidate: Candidate) -> Visit | None:
        try:
            return await self._must(candidate)
        except (ModelUnusable, EngineFailure) as error:
            if candidate == self.outcome.present:
                raise
            self.outcome.failed.append(f"{_named(candidate)}: {error.message}"[:300])
            _log.warning("this candidate cannot run", candidate=str(candidate), reason=error.message)
            return None

    async def _must(self, candidate: Candidate) -> Visit:
        found = await self.measure(candidate, self.pace.seconds)
        self.outcome.measured += 1
        rates = {each.clients: round(each.tokens_per_second, 1) for each in found.figures}
        _log.info("measured", **_shown(candidate), tokens_per_second=rates)
        return found


def _named(candidate: Candidate) -> str:
    """For example "int4-32-4, threads 2, spinning, batch 16, chunk auto"."""
    spinning = "spinning" if candidate.spinning else "not spinning"
    chunk = f"chunk {candidate.prefill_chunk or 'auto'}"
    parts = (candidate.variant, f"threads {candidate.threads}", spinning, f"batch {candidate.batch}", chunk)
    return ", ".join(filter(None, parts))


def _shown(candidate: Candidate) -> dict[str, object]:
    shown: dict[str, object] = {
        "threads": candidate.threads,
        "spinning": candidate.spinning,
        "batch": candidate.batch,
        "prefill_chunk": candidate.prefill_chunk or "auto",
    }
    return {**shown, "variant": candidate.variant} if candidate.variant else shown
