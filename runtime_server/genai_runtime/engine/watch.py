"""Notices an engine process that hangs, and asks every live one for its counts about once a second.

A long silence alone is no sign: the prefill of a long prompt may take minutes. What a living engine does at any time is
answer a ping (a thread of its own does) and end a request that it was told to end, in the middle of a run if need be.
"""

import asyncio
from collections.abc import Awaitable, Callable

from genai_runtime.engine.protocol import EngineStats
from genai_runtime.errors import EngineFailure

_POLL_SECONDS = 1.0


class EndingRequests:
    """When the engine was told to end which requests; those that have ended are forgotten."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def told(self, request_id: str) -> None:
        """Now; a second word does not count."""
        self._since.setdefault(request_id, asyncio.get_running_loop().time())

    def ended(self, request_id: str) -> None:
        """It has had its `Finished`."""
        self._since.pop(request_id, None)

    def clear(self) -> None:
        """The engine is gone."""
        self._since.clear()

    def longest(self) -> float:
        """Seconds that the oldest of them has been waiting for its end; 0 for none."""
        oldest = min(self._since.values(), default=None)
        return 0.0 if oldest is None else asyncio.get_running_loop().time() - oldest


async def watch(
    ask: Callable[[], Awaitable[EngineStats]],
    ending: EndingRequests,
    silence_seconds: float,
    tell: Callable[[EngineStats], None],
) -> str:
    """`tell` hears the counts until the engine hangs; then why it counts as hanging is returned.

    Returns only then, or when the engine is gone (`ask` raises `EngineFailure`): an empty reason. 0 seconds: never.
    """
    while True:
        try:
            async with asyncio.timeout(silence_seconds or None):
                tell(await ask())
        except TimeoutError:
            return f"it answered nothing for {silence_seconds:g} s"
        except EngineFailure:
            return ""
        if silence_seconds and ending.longest() > silence_seconds:
            return f"it did not end a request within {silence_seconds:g} s of being told to"
        await asyncio.sleep(min(_POLL_SECONDS, silence_seconds or _POLL_SECONDS))
