"""A thread for calls that must not take long: one at a time, in order, and one that overruns is given up.

A thread cannot be stopped, so a call that overruns keeps its thread until it returns, and a new thread takes the rest.
What the calls do is the caller's business; they should release the interpreter's lock.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Threads that were given up and still run, at most; above it every new call is refused until one has returned.
_MOST_LOST = 4


class Overrun(Exception):
    """A call took longer than it may, or was not begun because too many others do."""


@dataclass(slots=True, eq=False)
class Call(Generic[T]):
    """One call in a lane."""

    function: Callable[[], T]
    future: Future[T] = field(default_factory=Future)


class Lane:
    """Calls may be submitted and awaited from any thread."""

    def __init__(self, name: str, seconds: float, stack_bytes: int = 0) -> None:
        """`seconds`: how long one call may run. `stack_bytes` 0 is the system's default."""
        self._name = name
        self._seconds = seconds
        self._stack_bytes = stack_bytes
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Call[Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lost: list[threading.Thread] = []
        self._running: tuple[Call[Any], float] | None = None

    def submit(self, function: Callable[[], T]) -> Call[T]:
        """Run `function` when its turn comes."""
        call = Call(function)
        with self._lock:
            if self._thread is None:
                self._start()
        self._queue.put(call)
        return call

    def done(self, call: Call[T]) -> bool:
        """Whether `result` would return or raise at once. Gives up what has overrun meanwhile."""
        self._give_up_overrun()
        return call.future.done()

    def result(self, call: Call[T]) -> T:
        """What the call returned or raised, when it is there. Raises `Overrun`."""
        while True:
            try:
                return call.future.result(timeout=self._seconds / 4)
            except TimeoutError:
                if not self.done(call) and not self._usable():
                    raise Overrun(f"{_MOST_LOST} others still run after being given up") from None

    def close(self) -> None:
        """End the thread after the calls that were submitted."""
        self._queue.put(None)

    def _usable(self) -> bool:
        with self._lock:
            return self._thread is not None

    def _give_up_overrun(self) -> None:
        with self._lock:
            self._lost = [thread for thread in self._lost if thread.is_alive()]
            if self._thread is None:
                self._start()
            if self._running is None or time.monotonic() - self._running[1] < self._seconds:
                return
            call = self._running[0]
            if self._thread is not None:
                self._lost.append(self._thread)
            self._running = self._thread = None
            self._start()
        _settle(call, error=Overrun(f"it took longer than {self._seconds:g} seconds"))

    def _start(self) -> None:
        """Call it with the lock held. Starts nothing while too many threads are lost."""
        if len(self._lost) >= _MOST_LOST:
            return
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        before = threading.stack_size(self._stack_bytes)
        try:
            self._thread.start()
        finally:
            threading.stack_size(before)

    def _work(self) -> None:
        me = threading.current_thread()
        while (call := self._queue.get()) is not None:
            with self._lock:
                self._running = (call, time.monotonic())
            try:
                _settle(call, value=call.function())
            except BaseException as error:  # a panic of a Rust library is not an Exception
                _settle(call, error=error)
            with self._lock:
                if self._thread is not me:
                    return  # another has taken the rest
                self._running = None


def _settle(call: Call[T], value: Any = None, error: BaseException | None = None) -> None:
    with contextlib.suppress(InvalidStateError):  # given up before
        if error is None:
            call.future.set_result(value)
        else:
            call.future.set_exception(error)
