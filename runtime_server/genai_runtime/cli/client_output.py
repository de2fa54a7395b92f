"""How the client shows a stream: as text for people, or as JSON lines with the wall clock's milliseconds."""

import json
import time
from typing import Any, Protocol

from genai_protocol.v1 import inference_pb2 as pb


class Printer(Protocol):
    """Hears of a stream from its start to its end."""

    def started(self) -> None: ...

    def event(self, response: pb.GenerateResponse) -> None: ...

    def ended(self, status: str, message: str) -> None: ...


class TextPrinter:
    """The text alone; choices after the first follow it, each on a line of its own."""

    def __init__(self) -> None:
        self._others: dict[int, list[str]] = {}

    def started(self) -> None:
        """Nothing to say."""

    def event(self, response: pb.GenerateResponse) -> None:
        chunk = response.chunk
        if chunk.index:
            self._others.setdefault(chunk.index, []).append(chunk.text)
        else:
            print(chunk.text, end="", flush=True)

    def ended(self, status: str, message: str) -> None:  # noqa: ARG002 - as the other printer
        print(flush=True)
        for _, parts in sorted(self._others.items()):
            print("".join(parts), flush=True)


class JsonPrinter:
    """{"event": "start"}, chunks, "finish" for each choice, and "end" with the whole text and the status.

    `text` and `token_ids` of the end are the first choice's; where there are several, `choices` has all texts.
    """

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._first_token_s: float | None = None
        self._texts: dict[int, list[str]] = {0: []}
        self._ids: list[int] = []
        self._finish: dict[str, Any] | None = None

    def started(self) -> None:
        self._print("start")

    def event(self, response: pb.GenerateResponse) -> None:
        if response.HasField("finish"):
            self._finish = _finish(response)
            self._print("finish", **self._finish)
            return
        if self._first_token_s is None:
            self._first_token_s = round(time.monotonic() - self._begun, 6)
        chunk = response.chunk
        self._texts.setdefault(chunk.index, []).append(chunk.text)
        if not chunk.index:
            self._ids += chunk.token_ids
        more = {"logprobs": [_logprob(found) for found in chunk.logprobs]} if chunk.logprobs else {}
        self._print("chunk", index=chunk.index, text=chunk.text, token_ids=list(chunk.token_ids), **more)

    def ended(self, status: str, message: str) -> None:
        texts = ["".join(parts) for _, parts in sorted(self._texts.items())]
        self._print(
            "end",
            status=status,
            message=message,
            text=texts[0],
            token_ids=self._ids,
            first_token_s=self._first_token_s,
            total_s=round(time.monotonic() - self._begun, 6),
            finish=self._finish,
            **({"choices": texts} if len(texts) > 1 else {}),
        )

    def _print(self, event: str, **fields: object) -> None:
        line = {"event": event, "unix_ms": round(time.time() * 1000, 3), **fields}
        print(json.dumps(line, ensure_ascii=False), flush=True)


def _finish(response: pb.GenerateResponse) -> dict[str, Any]:
    finish = response.finish
    stopped_by = finish.WhichOneof("stopped_by")
    return {
        "request_id": response.request_id,
        "index": finish.index,
        "reason": pb.FinishReason.Name(finish.reason).removeprefix("FINISH_REASON_"),
        "message": finish.message,
        **({stopped_by: getattr(finish, stopped_by)} if stopped_by else {}),
        "prompt_tokens": finish.usage.prompt_tokens,
        "cached_prompt_tokens": finish.usage.cached_prompt_tokens,
        "completion_tokens": finish.usage.completion_tokens,
        "queue_seconds": finish.timings.queue_seconds,
        "time_to_first_token_seconds": finish.timings.time_to_first_token_seconds,
        "total_seconds": finish.timings.total_seconds,
        "tokens_per_second": finish.timings.tokens_per_second,
    }


def _logprob(found: pb.TokenLogprob) -> dict[str, Any]:
    top = [{"token_id": other.token_id, "logprob": round(other.logprob, 6)} for other in found.top]
    return {"token_id": found.token_id, "logprob": round(found.logprob, 6), **({"top": top} if top else {})}
