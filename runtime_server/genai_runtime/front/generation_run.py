"""One accepted request while the engine generates it: events in, chunks and endings out, and every way it can end.

Who may generate is `admission.py`'s, what a token becomes is `choices.py`'s business.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from genai_runtime.errors import EngineFailure, InvalidRequest
from genai_runtime.front.choices import Choice, TextChunk
from genai_runtime.front.detokenizing import make_detokenizer
from genai_runtime.front.ports import EngineLink, EngineStream
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.generation import Finished, FinishReason, GenerationRequest, Tokens

# A stream ends this long before its client's deadline (a tenth of its time at most): its last message still arrives.
_DEADLINE_MARGIN = 0.25
# How long the engine may take to end a request that it was told to end; then the front ends it alone.
_END_PATIENCE = 2.0
_GOOD = (FinishReason.STOP, FinishReason.LENGTH)


@dataclass(frozen=True, slots=True)
class Ending:
    """The last event of one choice; the stream ends after the last choice's, whose `record` holds the sums.

    `engine_lost`: the engine died under it. `stop`: the stop string or the token id that ended it, if one did.
    """

    reason: FinishReason
    record: RequestRecord
    message: str = ""
    engine_lost: bool = False
    index: int = 0
    stop: str | int | None = None


class GenerationRun:
    """For one reader. `running` is false once every choice has had its `Ending`."""

    def __init__(
        self, engine: EngineLink, stream: EngineStream, requests: Sequence[GenerationRequest], record: RequestRecord
    ) -> None:
        """`requests` have been submitted, one a choice, and `stream` carries their events."""
        self._engine = engine
        self._stream = stream
        self._requests = requests
        self._record = record
        self._choices: dict[str, Choice] = {}
        self.running = True  # whether more events will come
        self._timer: asyncio.TimerHandle | None = None
        self._message = ""
        self._bad_end: FinishReason | None = None

    def prepare_text(self, tokenizer: TextTokenizer, stops: Sequence[str]) -> None:
        """How ids become text, and where text ends."""
        for index, request in enumerate(self._requests):
            detokenizer = make_detokenizer(tokenizer, request.prompt)
            choice = Choice(index, self._record.request_id, detokenizer, stops)
            self._choices[request.request_id] = choice

    def limit(self, deadline: float | None, max_seconds: float) -> None:
        """End it at the client's deadline (on the loop's clock) or after the server's own limit, 0 for none."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        limit = now + max_seconds if max_seconds else math.inf
        client = math.inf if deadline is None else deadline - min(_DEADLINE_MARGIN, max(0.0, deadline - now) / 10)
        until = min(limit, client)
        if math.isinf(until):
            return
        why = "the client's deadline passed" if client <= limit else f"the server's {max_seconds:g} s are over"
        self._timer = loop.call_at(until, self.end, FinishReason.DEADLINE, why)

    async def next(self) -> list[TextChunk | Ending]:
        """What has happened since the last call; may be empty while the last character is incomplete.

        Raises `InvalidRequest`, before any event, for what only the engine can see of a request: a grammar, say.
        """
        record = self._record
        if record.writing:
            record.written()
        try:
            events = await self._stream.next_events()
        except EngineFailure as error:
            return self._lost(error.message)
        for event in events:
            choice = self._choices.get(event.request_id)
            if choice is None or choice.end is not None:
                continue
            if isinstance(event, Tokens):
                choice.add(event)
            elif event.invalid_field:
                raise InvalidRequest(event.invalid_field, event.message.removeprefix(f"{event.invalid_field}: "))
            else:
                choice.finish(event)
        told: list[TextChunk | Ending] = []
        began = record.timeline.now() if record.timeline.recording else 0
        for id_, choice in [*self._choices.items()]:
            if choice.touched:
                self._tell(id_, choice, told)
        if began and told:
            record.detokenised(began)
        return told

    def end(self, reason: FinishReason, message: str = "") -> None:
        """Have the engine end what is still running; if it does not in a while, it counts as ended all the same."""
        self._message = self._message or message
        self._stop_timer()
        for request_id in self._choices:
            self._engine.cancel(request_id, reason)
        self._timer = asyncio.get_running_loop().call_later(_END_PATIENCE, self._give_up, reason)

    def close(self) -> None:
        """The reader is done; what is still running is of no use to anybody."""
        self._record.written()
        self._stop_timer()
        for request_id in self._choices:
            self._engine.cancel(request_id, FinishReason.CANCELLED)
        self._choices.clear()
        self.running = False

    def _tell(self, request_id: str, choice: Choice, told: list[TextChunk | Ending]) -> None:
        """One choice's news, added to `told`."""
        chunk = choice.chunk()
        if chunk is not None:
            self._record.tokens(len(chunk.ids), choice.index)
            told.append(chunk)
        if choice.stop is not None:
            if choice.end is None:
                self._engine.cancel(request_id, FinishReason.STOP)
            told.append(self._ending(request_id, FinishReason.STOP, stop=choice.stop))
        elif choice.end is not None:
            told.append(self._ended(request_id, choice.end))

    def _ended(self, request_id: str, end: Finished) -> Ending:
        message = end.message or self._message
        if end.reason is FinishReason.CANCELLED and self._stream.overflowed:
            message = "the client left too much of its answer unread"
        stop = end.stop_token_id if end.stop_token_id in self._requests[0].stop_token_ids else None
        return self._ending(request_id, end.reason, message or _MESSAGES.get(end.reason, ""), stop=stop)

    def _lost(self, why: str) -> list[TextChunk | Ending]:
        """The engine died: every choice ends."""
        told: list[TextChunk | Ending] = []
        for request_id, choice in list(self._choices.items()):
            choice.finish(Finished(request_id, FinishReason.ERROR, 0, 0, message=why))
            if (chunk := choice.chunk()) is not None:
                self._record.tokens(len(chunk.ids), choice.index)
                told.append(chunk)
            told.append(self._ending(request_id, FinishReason.ERROR, why, engine_lost=True))
        return told

    def _ending(
        self,
        request_id: str,
        reason: FinishReason,
        message: str = "",
        *,
        engine_lost: bool = False,
        stop: str | int | None = None,
    ) -> Ending:
        choice = self._choices.pop(request_id)
        if choice.end is not None:
            self._record.choice_finished(choice.end)
        if reason not in _GOOD:
            self._bad_end = self._bad_end or reason
        if not self._choices:
            self.running = False
            self._stop_timer()
            self._record.finished(self._bad_end or reason)
        return Ending(reason, self._record, message, engine_lost, choice.index, stop)

    def _give_up(self, reason: FinishReason) -> None:
        for request_id in self._choices:
            self._stream.put(Finished(request_id, reason, 0, 0))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_MESSAGES = {
    FinishReason.TERMINATED: "ended by the runtime option terminate-session",
    FinishReason.SHUTDOWN: "the server is shutting down; another one will answer",
    FinishReason.ERROR: "the engine could not finish this generation",
}
