"""What the server can do at this moment, in one place; readiness, metrics and refusals all follow from it.

Holds facts (loaded, halted, draining, engine up) and tells listeners when the state that follows has changed.
Draining is this server's end, or asked for by the runtime option drain, which can be taken back. A server that ends is
first `leaving`: not ready, so that clients go elsewhere, and serving those that have not heard of it; then `draining`.
"""

import time
from collections.abc import Callable
from enum import StrEnum

from genai_runtime.errors import NotServing


class ServingState(StrEnum):
    """Mirrors genai.v1.ServingState."""

    LOADING = "loading"
    SERVING = "serving"
    HALTED = "halted"
    DRAINING = "draining"
    ENGINE_DOWN = "engine_down"


# (what a refused caller is told, after how many seconds a new try makes sense)
_REFUSALS = {
    ServingState.LOADING: ("the model is being loaded", 2.0),
    ServingState.HALTED: ("generation is halted by the runtime option terminate-session, until that is 0", 5.0),
    ServingState.DRAINING: ("this server is shutting down; another one will answer", 1.0),
    ServingState.ENGINE_DOWN: ("the engine process ended and is being restarted", 2.0),
}


_DRAINED = "new requests are refused by the runtime option drain, until it is taken away; other servers may answer"
_SHORTEST_DRAIN_RETRY, _DRAINED_RETRY = 1.0, 5.0


class StateHolder:
    """Used from the event loop only."""

    def __init__(self) -> None:
        self.warmed_up = False
        self.engine_up = False
        self.halted = False
        self.leaving = False
        self.draining = False
        self._drain_until: float | None = None
        self._listeners: list[Callable[[ServingState], None]] = []
        self._told = self.state

    @property
    def state(self) -> ServingState:
        """The first of these that holds: ending, loading, drained by its option, engine down, halted, serving."""
        return ServingState.DRAINING if self.leaving else self._towards_requests

    @property
    def _towards_requests(self) -> ServingState:
        """What new requests meet, who are served by a server that is only leaving."""
        if self.draining:
            return ServingState.DRAINING
        if not self.warmed_up:
            return ServingState.LOADING
        if self._drain_until is not None:
            return ServingState.DRAINING
        if not self.engine_up:
            return ServingState.ENGINE_DOWN
        return ServingState.HALTED if self.halted else ServingState.SERVING

    @property
    def ready(self) -> bool:
        """Whether clients should be sent here: while halted, too, for they get a typed answer."""
        return self.state in (ServingState.SERVING, ServingState.HALTED)

    def listen(self, listener: Callable[[ServingState], None]) -> None:
        """`listener` is called with the present state at once, and after each change."""
        self._listeners.append(listener)
        listener(self.state)

    def update(
        self,
        *,
        warmed_up: bool | None = None,
        engine_up: bool | None = None,
        halted: bool | None = None,
        leaving: bool | None = None,
        draining: bool | None = None,
    ) -> None:
        """Change facts; listeners hear of it when the state differs."""
        self.warmed_up = self.warmed_up if warmed_up is None else warmed_up
        self.engine_up = self.engine_up if engine_up is None else engine_up
        self.halted = self.halted if halted is None else halted
        self.leaving = self.leaving if leaving is None else leaving
        self.draining = self.draining if draining is None else draining
        self._tell()

    def drain_until(self, deadline: float | None) -> None:
        """The runtime option drain, on the monotonic clock; None: no drain."""
        self._drain_until = deadline
        self._tell()

    def refusal(self, *, accepted: bool = False) -> NotServing | None:
        """Why new requests are refused now; None when they are welcome.

        `accepted`: for one that came before a drain, which may still begin until the drain's deadline.
        """
        state = self._towards_requests
        if state is ServingState.DRAINING and self._drain_until is not None and not self.draining:
            left = self._drain_until - time.monotonic()
            if accepted and left > 0:
                return None
            return NotServing(_DRAINED, max(_SHORTEST_DRAIN_RETRY, left) if left > 0 else _DRAINED_RETRY)
        if state is ServingState.DRAINING and accepted:
            return None
        found = _REFUSALS.get(state)
        return None if found is None else NotServing(*found)

    def _tell(self) -> None:
        if self.state != self._told:
            self._told = self.state
            for listener in self._listeners:
                listener(self._told)
