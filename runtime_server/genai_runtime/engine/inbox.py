"""What the reader thread of an engine process hands to its main thread, and what it does itself at once.

No socket here: bytes are `worker.py`'s.
"""

import threading
from collections import deque

from genai_runtime.engine import frames
from genai_runtime.engine.protocol import Engine
from genai_runtime.generation import EngineEvent, Finished, FinishReason


class Inbox:
    """What the reader thread has received and the main thread has not yet taken, in order.

    A request waits here for milliseconds up to one step; a cancel or a halt of that time must not be lost.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._waiting: deque[frames.ToEngine] = deque()
        self._stopped: dict[str, FinishReason] = {}
        self._closed = False
        self.active: set[str] = set()  # in the engine, for all the main thread knows; only it may touch this

    @property
    def closed(self) -> bool:
        """Whether the front is gone."""
        return self._closed

    def put(self, message: frames.ToEngine) -> None:
        """From the reader thread."""
        with self._changed:
            match message:
                case frames.Cancel(request_id, reason):
                    if request_id in self._submitted():
                        self._stopped.setdefault(request_id, reason)
                    self._engine.cancel(request_id, reason)
                case frames.Halt():
                    for request_id in self._submitted():
                        self._stopped.setdefault(request_id, FinishReason.TERMINATED)
                    self._engine.halt()
                case frames.Resume():
                    self._engine.resume()
                case _:
                    self._waiting.append(message)
            self._changed.notify()

    def close(self) -> None:
        """The front is gone: nothing is worth finishing."""
        with self._changed:
            self._closed = True
            self._engine.halt()
            self._changed.notify()

    def wait(self, seconds: float) -> None:
        """Until there is something to take."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closed, seconds)

    def take(self) -> tuple[list[frames.ToEngine], list[EngineEvent]]:
        """Submit the requests that came; return all else that came, and the ends of requests that were stopped here.

        Under the lock, so that a cancel finds a request either here or in the engine.
        """
        others: list[frames.ToEngine] = []
        ends: list[EngineEvent] = []
        with self._changed:
            while self._waiting:
                message = self._waiting.popleft()
                if not isinstance(message, frames.Submit):
                    others.append(message)
                    continue
                request = message.request
                reason = self._stopped.pop(request.request_id, None)
                if reason is None:
                    self.active.add(request.request_id)
                    self._engine.submit(request)
                else:
                    ends.append(Finished(request.request_id, reason, len(request.prompt), 0))
        return others, ends

    def _submitted(self) -> list[str]:
        return [each.request.request_id for each in self._waiting if isinstance(each, frames.Submit)]
