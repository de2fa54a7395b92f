"""Raw onnxruntime-genai, in a process of its own: `python -m bench.serving.raw generator|engine FOLDER THREADS`.

Reads one JSON request a line and answers with one line. `generator` runs one `og.Generator` with a batch of prompts of
equal length: as fast as GenAI goes when nothing joins or leaves. `engine` plays a plan of `loads.py` through
`og.Engine`'s dynamic batching. There is no server and no detokenising in either.
"""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime_genai as og

from bench.serving import loads, streams
from bench.serving.loads import Planned
from bench.serving.streams import Stream

_TOKEN = 1  # of an event's flags
_EVENTS = 64


def load(folder: str, threads: int) -> Any:
    """The model with so many threads."""
    config = og.Config(folder)
    options = {"intra_op_num_threads": threads}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
    return og.Model(config)


def generate(model: Any, prompts: Sequence[Sequence[int]], count: int) -> list[Stream]:
    """One batch, greedily; a token of every row arrives at the same moment."""
    parameters = og.GeneratorParams(model)
    length = len(prompts[0]) + count
    parameters.set_search_options(max_length=length, min_length=length, batch_size=len(prompts))
    began = time.perf_counter()
    generator = og.Generator(model, parameters)
    generator.append_tokens(np.array(prompts, np.int32))
    times = []
    for _ in range(count):
        generator.generate_next_token()
        times.append(time.perf_counter())
    return [Stream(began, [(at, 1) for at in times]) for _ in prompts]


class Engine:
    """`og.Engine` and the requests it holds."""

    def __init__(self, model: Any) -> None:
        self._engine = og.Engine(model)
        self._events = self._engine.create_event_buffer(_EVENTS)
        self._running: dict[int, tuple[int, Any]] = {}  # number in the plan and handle, by the handle's identity

    def play(self, plan: Sequence[Planned]) -> list[Stream]:
        """Every request when it is due."""
        began = time.perf_counter()
        found = [Stream(0.0) for _ in plan]
        waiting = list(range(len(plan)))
        while waiting or self._running:
            now = time.perf_counter()
            for number in [each for each in waiting if _due(plan, found, each, now - began)]:
                waiting.remove(number)
                # A late engine does not make a request any younger.
                found[number].sent = max(began + plan[number].at, _ended(plan, found, number))
                self._begin(number, plan[number])
            if self._running:
                self._step(plan, found)
            else:
                time.sleep(0.0005)
        return found

    def _begin(self, number: int, planned: Planned) -> None:
        request = self._engine.create_request()
        options = og.TurnOptions(request)
        options.set_max_generated_tokens(planned.count)
        options.set_min_generated_tokens(planned.count)
        request.begin_turn(np.array(planned.prompt, np.int32), options)
        self._running[id(request)] = (number, request)

    def _step(self, plan: Sequence[Planned], found: list[Stream]) -> None:
        self._engine.run(self._events)
        now = time.perf_counter()
        for index in range(len(self._events)):
            event = self._events[index]
            if not int(event.flags) & _TOKEN:
                continue
            number, request = self._running[id(event.request)]
            found[number].arrivals.append((now, 1))
            if len(found[number].arrivals) == plan[number].count:
                del self._running[id(request)]
                request.close()


def _due(plan: Sequence[Planned], found: list[Stream], number: int, now: float) -> bool:
    after = plan[number].after
    if after >= 0 and len(found[after].arrivals) < plan[after].count:
        return False
    return plan[number].at <= now


def _ended(plan: Sequence[Planned], found: list[Stream], number: int) -> float:
    after = plan[number].after
    return found[after].last if after >= 0 else 0.0


def main() -> None:
    kind, folder, threads = sys.argv[1:]
    model = load(folder, int(threads))
    engine = Engine(model) if kind == "engine" else None
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if engine is not None:
            found = engine.play(loads.from_json(asked["plan"]))
        else:
            found = generate(model, asked["prompts"], asked["count"])
        print(json.dumps(streams.to_json(found)), flush=True)


if __name__ == "__main__":
    main()
