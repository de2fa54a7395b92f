"""Clients that keep one pod busy, and remember when its streams brought tokens and when they ended. No Kubernetes here.

They run in the benchmark's own process and speak to the pod's address: a client in a pod would print what it saw
through the API server, and that would be timed as well.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc

from genai_protocol.v1 import inference_pb2 as pb
from genai_protocol.v1 import inference_pb2_grpc as rpc

PROMPT_TOKENS = 1000
_STORY = "Tell me an endless story."
_STORY_TOKENS = 1500
_RETRY_SECONDS = 0.01


@dataclass
class PodLoad:
    """Streams to one pod, one after the other in each of `parallel` lanes, until `stop`. Times are Unix seconds."""

    name: str
    address: str
    answer_tokens: int = _STORY_TOKENS
    tokens: int = 0
    terminated: list[float] = field(default_factory=list)  # when a stream's last message said TERMINATED
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _channel: grpc.aio.Channel | None = None

    async def start(self, parallel: int, *, prompts: bool = False) -> None:
        """Begin. `prompts`: instead of stories, prompts of `PROMPT_TOKENS` tokens that are answered by one."""
        self._channel = grpc.aio.insecure_channel(self.address)
        await asyncio.wait_for(self._channel.channel_ready(), timeout=30)
        stub = rpc.GenAIServiceStub(self._channel)
        vocabulary = (await stub.GetModel(pb.GetModelRequest())).vocabulary_size
        self._tasks = [asyncio.create_task(self._lane(stub, vocabulary if prompts else 0)) for _ in range(parallel)]

    async def stop(self) -> None:
        """End all streams."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()

    async def served(self) -> None:
        """Wait until a token has come from now on."""
        before = self.tokens
        async with asyncio.timeout(30):
            while self.tokens == before:  # noqa: ASYNC110 - the lanes count
                await asyncio.sleep(0.01)

    async def _lane(self, stub: rpc.GenAIServiceStub, vocabulary: int) -> None:
        while True:
            try:
                async for response in self._call(stub, vocabulary):
                    self.tokens += len(response.chunk.token_ids)
                    if response.finish.reason == pb.FINISH_REASON_TERMINATED:
                        self.terminated.append(time.time())
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE):
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    def _call(self, stub: rpc.GenAIServiceStub, vocabulary: int) -> AsyncIterator[pb.GenerateResponse]:
        """A story; or, with a vocabulary, a prompt whose beginning is in no cache."""
        if not vocabulary:
            greedy = pb.GenerationOptions(max_tokens=self.answer_tokens, temperature=0.0)
            message = pb.ChatMessage(role="user", content=_STORY)
            return stub.Chat(pb.ChatRequest(messages=[message], options=greedy))  # type: ignore[no-any-return]
        ids = random.choices(range(vocabulary // 2, 3 * vocabulary // 4), k=PROMPT_TOKENS)
        options = pb.GenerationOptions(max_tokens=1, temperature=0.0)
        return stub.Generate(pb.GenerateRequest(token_ids=pb.TokenIds(ids=ids), options=options))  # type: ignore[no-any-return]


async def rate(loads: list[PodLoad], seconds: float) -> float:
    """Tokens a second of all of them together, from now on."""
    before, began = sum(load.tokens for load in loads), time.perf_counter()
    await asyncio.sleep(seconds)
    return (sum(load.tokens for load in loads) - before) / (time.perf_counter() - began)
