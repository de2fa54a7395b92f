"""The order of a sweep, on a machine whose speeds are given: what is tried, what is kept, and when there is no time."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from genai_runtime.engine.protocol import ModelInfo
from genai_runtime.errors import InvalidSettings, ModelUnusable
from genai_runtime.tuning.choice import Figure
from genai_runtime.tuning.load import Visit
from genai_runtime.tuning.plan import Candidate, Load, Sweep
from genai_runtime.tuning.result import brief, result
from genai_runtime.tuning.sweep import Outcome, Task, run
from genai_runtime.tuning.variants import Quality, Variant

PRESENT = Candidate(threads=2, spinning=True, batch=4, prefill_chunk=0)
INFO = ModelInfo("qwen2", 64, 100, 64, [1], 0, "batch", "", "cpu", 2, "1", "1", prefill_chunk=64)
TASK = Task(PRESENT, Sweep(prefill_chunk=(), batch=()), Load((8,), 16, 16), cpus=2, seconds=1000.0)


class Machine:
    """Takes a second to start an engine, and as long as it is told to measure it."""

    def __init__(self, speeds: dict[Candidate, float], info: ModelInfo = INFO) -> None:
        self.speeds, self.info = speeds, info
        self.now = 0.0
        self.visited: list[Candidate] = []

    async def __call__(self, candidate: Candidate, seconds: float) -> Visit:
        self.visited.append(candidate)
        self.now += 1.0 + seconds
        if candidate not in self.speeds:
            raise ModelUnusable("OutOfMemory", "too large")
        return Visit(self.info, 1.0, (Figure(8, self.speeds[candidate], 5.0),))

    def tune(self, task: Task = TASK) -> Outcome:
        return asyncio.run(run(task, self, lambda: self.now))


def test_the_second_axis_goes_on_from_the_best_of_the_first() -> None:
    one = replace(PRESENT, threads=1)
    quiet = replace(one, spinning=False)
    machine = Machine({PRESENT: 10.0, one: 12.0, quiet: 13.0})
    found = machine.tune()
    assert found.best == quiet
    assert (found.unmeasured, found.failed) == ([], [])
    (gain,) = found.gains
    assert round(gain.percent, 6) == 30.0
    assert machine.visited[-6:].count(PRESENT) == 3  # side by side with the best at the end
    assert replace(PRESENT, spinning=False) not in machine.visited
    assert machine.now <= TASK.seconds
    assert found.measured == len(machine.visited)
    told = result(TASK, found)
    assert told["settings"] == {"intraOpThreads": 1, "spinning": "disabled"}
    assert told["baseline"] == {"intraOpThreads": 2, "spinning": "enabled", "prefillChunk": 64, "maxBatchSize": 4}


def test_settings_that_cannot_run_are_told_and_left_out() -> None:
    found = Machine({PRESENT: 10.0, replace(PRESENT, spinning=False): 10.1}).tune()
    assert found.best == PRESENT
    assert "too large" in found.failed[0]
    assert result(TASK, found)["settings"] == {}
    assert result(TASK, found)["figures"][0]["gainPercent"] == 0.0


def test_a_gain_that_does_not_last_is_told_and_not_recommended() -> None:
    one = replace(PRESENT, threads=1)

    class Fickle(Machine):
        async def __call__(self, candidate: Candidate, seconds: float) -> Visit:
            if len(self.visited) > 5:  # the axes are done
                self.speeds[one] = 10.1
            return await super().__call__(candidate, seconds)

    machine = Fickle({PRESENT: 10.0, one: 12.0})
    task = replace(TASK, sweep=Sweep(spinning=(), prefill_chunk=(), batch=()))
    found = machine.tune(task)
    assert (found.best, found.gains[0].percent) == (PRESENT, 0.0)
    told = result(task, found)
    assert (told["settings"], told["nearest"]) == ({}, {"settings": {"intraOpThreads": 1}, "gainPercent": [1.0]})


def test_present_settings_that_cannot_run_are_a_failure() -> None:
    with pytest.raises(ModelUnusable, match="too large"):
        Machine({}).tune()


def test_without_time_nothing_is_tried_and_it_is_said() -> None:
    machine = Machine({PRESENT: 10.0})
    found = machine.tune(replace(TASK, seconds=3.0))
    assert (found.best, found.unmeasured) == (PRESENT, ["threads", "spinning"])
    assert set(machine.visited) == {PRESENT}
    assert found.gains[0].present.tokens_per_second == 10.0


def test_chunks_are_refused_where_the_engine_has_none() -> None:
    machine = Machine({PRESENT: 10.0}, replace(INFO, engine="single", prefill_chunk=0))
    with pytest.raises(InvalidSettings, match="single reads no prompts in chunks"):
        machine.tune(replace(TASK, sweep=Sweep(prefill_chunk=(32,))))


def test_a_slot_that_is_given_is_kept() -> None:
    machine = Machine({PRESENT: 10.0, replace(PRESENT, threads=1): 9.0, replace(PRESENT, spinning=False): 9.0})
    machine.tune(replace(TASK, slot=0.5))
    assert machine.now == 1.5 * len(machine.visited)


SMALL = replace(PRESENT, variant="small")
MODELS = replace(
    TASK,
    present=replace(PRESENT, variant="fine"),
    sweep=Sweep(spinning=(), prefill_chunk=(), batch=(), variants=("fine", "small", "coarse")),
)


def speeds(**found: float) -> dict[Candidate, float]:
    """One thread is faster whatever the model, and each model has a speed."""
    return {
        replace(PRESENT, threads=threads, variant=name): speed * factor
        for name, speed in found.items()
        for threads, factor in ((2, 1.0), (1, 1.1))
    }


def test_variants_are_measured_with_the_best_settings_of_the_engine() -> None:
    machine = Machine(speeds(fine=10.0, small=15.0, coarse=20.0))
    found = machine.tune(replace(MODELS, refused=frozenset({"coarse"})))
    assert found.best == replace(PRESENT, threads=1, variant="small")
    assert {each.threads for each in machine.visited if each.variant != "fine"} == {1}
    told = {name: round(gains[0].percent, 6) for name, gains in found.variants.items()}
    assert told == {"fine": 0.0, "small": 50.0, "coarse": 100.0}  # refused, and shown
    assert round(found.gains[0].percent, 6) == 65.0  # the model and the thread together
    assert result(MODELS, found)["settings"] == {"intraOpThreads": 1, "variant": "small"}
    assert result(MODELS, found)["baseline"]["variant"] == "fine"
    assert machine.now <= MODELS.seconds


def test_a_present_model_that_lost_too_much_stays_where_nothing_better_is_permitted() -> None:
    everything = frozenset({"fine", "small", "coarse"})
    found = Machine(speeds(fine=10.0, small=15.0, coarse=20.0)).tune(replace(MODELS, refused=everything))
    assert found.best.variant == "fine"
    assert "variant" not in result(MODELS, found)["settings"]


def test_a_variant_that_cannot_run_is_told_and_the_others_are_compared() -> None:
    found = Machine(speeds(fine=10.0, small=15.0)).tune(MODELS)
    assert found.variants.keys() == {"fine", "small"}
    assert "coarse" in found.failed[0]


def test_time_for_variants_is_kept_before_that_for_other_settings() -> None:
    machine = Machine(speeds(fine=10.0, small=15.0, coarse=20.0))
    found = machine.tune(replace(MODELS, seconds=23.0))  # ten measurements of two seconds, and no more
    assert (found.unmeasured, found.best.variant) == (["threads"], "coarse")
    assert machine.now <= 23.0


def test_every_variant_is_told_and_what_the_operator_reads_fits_a_termination_log() -> None:
    names = [f"int4-{block}-4" for block in (16, 32, 64, 128, 256)] + ["fp32", "int8"]
    present = replace(PRESENT, variant="fp32")
    task = replace(MODELS, present=present, sweep=replace(MODELS.sweep, variants=tuple(names)))
    found = Machine(speeds(**dict.fromkeys(names[:-1], 123_456.7))).tune(task)
    every = [Variant(name, Path(name), 10**11, Quality(10_000.5, 9_999.25)) for name in names]
    refused = dict.fromkeys(names, "its perplexity is 5.1 % above fp32's; 5 % is permitted")
    told = result(task, found, every, refused)
    first, last = told["variants"][0], told["variants"][-1]
    assert first == {
        "name": "int4-16-4",
        "sizeBytes": 10**11,
        "perplexity": 10_000.5,
        "increasePercent": 0.01,
        "refused": refused["int4-16-4"],
        "figures": [{"clients": 8, "tokensPerSecond": 135802.4, "gainPercent": 0.0, "timeToFirstTokenMs": 5.0}],
    }
    assert "figures" not in last  # it could not run
    told["settings"] = {"intraOpThreads": 64, "spinning": "disabled", "prefillChunk": 256, "variant": names[0]}
    told["failed"] = ["x" * 200] * 3
    short = brief(told)
    columns = short["variants"]["columns"]
    assert dict(zip(columns, short["variants"]["rows"][0], strict=True)) == {
        **{name: first[name] for name in ("name", "sizeBytes", "perplexity", "increasePercent")},
        "refused": True,
        **{name: first["figures"][0][name] for name in ("tokensPerSecond", "gainPercent", "timeToFirstTokenMs")},
    }
    assert short["variants"]["rows"][-1][-3:] == [None, None, None]
    # Kubernetes keeps 12 KiB of a pod, in equal parts: what fetches, what builds each variant, and what measures.
    assert len(json.dumps(short, separators=(",", ":"))) < 12 * 1024 // (1 + len(names) + 1)
