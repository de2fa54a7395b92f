"""What the engine process tells the front, and when: at once what is waited for, the tokens in between gathered.

Every frame wakes the front on cores that the model is using: on two cores, telling every token of every step took a
tenth of the decode speed (docs/decisions/0006). Bytes are `frames.py`'s, the socket `worker.py`'s.
"""

from collections.abc import Callable, Iterable
from time import monotonic

from genai_runtime.engine import frames
from genai_runtime.generation import EngineEvent, Finished, Tokens, WindowProgress


class Outbox:
    """Holds tokens back for about `interval` seconds, as near as whole steps come to it; 0 holds nothing back.

    The next step is taken to be as long as the last one. A request's first tokens, its end and a window's progress are
    never held back, nor do they take other requests' tokens along, each of which would be a message more. A request's
    events keep their order.
    """

    def __init__(self, interval: float, clock: Callable[[], float] = monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._sent = 0.0
        self._looked = 0.0  # after the last step
        self._begun: set[str] = set()  # requests whose first tokens are on their way
        self._tokens: dict[str, Tokens] = {}
        self._finished: list[Finished] = []
        self._progress: list[WindowProgress] = []
        self._urgent: set[str] = set()  # requests whose tokens are not held back

    def add(self, events: Iterable[EngineEvent]) -> None:
        """Take what a step has made."""
        for event in events:
            match event:
                case Tokens(request_id):
                    self._add_tokens(request_id, event)
                case Finished(request_id):
                    self._finished.append(event)
                    self._begun.discard(request_id)
                    self._urgent.add(request_id)
                case WindowProgress():
                    self._progress.append(event)

    def take(self, *, hurry: bool) -> frames.Events | None:
        """What is to be sent after a step, if anything. `hurry`: nothing will follow soon, so nothing is held back."""
        now = self._clock()
        step, self._looked = now - self._looked, now
        if not (self._tokens or self._finished or self._progress):
            return None
        held = {}
        if not (hurry or now + step / 2 - self._sent >= self._interval):
            held = {id_: tokens for id_, tokens in self._tokens.items() if id_ not in self._urgent}
            if len(held) == len(self._tokens) and not (self._finished or self._progress):
                return None
        told = [tokens for id_, tokens in self._tokens.items() if id_ not in held]
        frame = frames.Events(told, self._finished, self._progress)
        self._tokens, self._finished, self._progress = held, [], []
        self._urgent.clear()
        if not held:
            self._sent = now
        return frame

    def _add_tokens(self, request_id: str, event: Tokens) -> None:
        held = self._tokens.get(request_id)
        if held is not None:  # nobody else has it
            held.ids.extend(event.ids)
            held.logprobs.extend(event.logprobs)
            return
        self._tokens[request_id] = event
        if request_id not in self._begun:
            self._begun.add(request_id)
            self._urgent.add(request_id)
