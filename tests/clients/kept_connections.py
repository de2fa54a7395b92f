"""Clients that keep their connections, and ask one question after the other: gRPC with its defaults, HTTP kept alive.

Runs until its input ends; each line of input is answered by one line of counts. A script of its own, so that it runs in
a pod of the runtime image as well: it needs that image's packages and nothing else.
"""

import argparse
import asyncio
import http.client
import json
import sys
import threading

import grpc

from genai_protocol.v1 import inference_pb2 as pb
from genai_protocol.v1 import inference_pb2_grpc as rpc

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


class Client:
    """What all kinds have in common: how many calls were made, and what went wrong."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.failed: list[str] = []

    def note(self, wrong: str) -> None:
        """One call is over; what was wrong with it, if anything."""
        self.calls += 1
        if wrong:
            self.failed.append(f"call {self.calls}: {wrong}")


class GrpcClient(Client):
    """One channel; a unary call, a stream, and so on."""

    def __init__(self, target: str, policy: str) -> None:
        super().__init__(f"{policy} {target}")
        # Without an own pool all channels of this process that look alike would share connections. Names are looked up
        # again after a second instead of 30, which a client that is spread needs when all pods are replaced at once.
        options: list[tuple[str, int | str]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.dns_min_time_between_resolutions_ms", 1000),
            ("grpc.lb_policy_name", policy),
        ]
        self._channel = grpc.aio.insecure_channel(target, options=options)
        self._stub = rpc.GenAIServiceStub(self._channel)

    async def run(self, over: threading.Event) -> None:
        """Until it is over."""
        async with self._channel:
            while not over.is_set():
                try:
                    self.note(await (self._stream() if self.calls % 2 else self._unary()))
                except grpc.aio.AioRpcError as error:
                    self.note(f"{error.code().name}: {error.details()}")

    async def _unary(self) -> str:
        found = await self._stub.GetModel(pb.GetModelRequest(), timeout=120)
        return "" if found.name else "no name"

    async def _stream(self) -> str:
        messages = [pb.ChatMessage(role="user", content=QUESTION)]
        request = pb.ChatRequest(messages=messages, options=pb.GenerationOptions(max_tokens=64, temperature=0.0))
        answer = "".join([each.chunk.text async for each in self._stub.Chat(request, timeout=120)])
        return "" if answer == ANSWER else repr(answer)


class HttpClient(Client):
    """One connection, which `http.client` makes anew after an answer that says `Connection: close`."""

    def __init__(self, address: str, model: str) -> None:
        super().__init__(f"http {address}")
        self._connection = http.client.HTTPConnection(address, timeout=120)
        self._model = model

    async def run(self, over: threading.Event) -> None:
        """Until it is over."""
        while not over.is_set():
            try:
                self.note(await asyncio.to_thread(self._ask))
            except (OSError, http.client.HTTPException) as error:
                self.note(f"{type(error).__name__}: {error}")
                self._connection.close()
        self._connection.close()

    def _ask(self) -> str:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": QUESTION}],
            "temperature": 0,
            "stream": self.calls % 2 == 0,
        }
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read().decode()
        complete = text.endswith("data: [DONE]\n\n") if body["stream"] else ANSWER in text
        return "" if answer.status == http.client.OK and complete else f"{answer.status} {text[-300:]}"


async def run(arguments: argparse.Namespace) -> None:
    """All clients at once, until the input ends."""
    clients: list[GrpcClient | HttpClient] = []
    for _ in range(arguments.each):
        clients += [GrpcClient(target, "pick_first") for target in arguments.one]
        clients += [GrpcClient(target, "round_robin") for target in arguments.spread]
        clients += [HttpClient(address, arguments.model) for address in arguments.http]
    over = threading.Event()
    running = [asyncio.create_task(client.run(over)) for client in clients]
    while await asyncio.to_thread(sys.stdin.readline):
        show(clients)
    over.set()
    await asyncio.gather(*running)
    show(clients)


def show(clients: list[GrpcClient | HttpClient]) -> None:
    """One line of output."""
    failed = [f"{client.name}: {each}" for client in clients for each in client.failed]
    print(json.dumps({"calls": [client.calls for client in clients], "failed": failed}), flush=True)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", action="append", default=[], help="gRPC target of clients that use one address")
    parser.add_argument("--spread", action="append", default=[], help="gRPC target of clients that use all addresses")
    parser.add_argument("--http", action="append", default=[], help="host:port")
    parser.add_argument("--model", default="hello")
    parser.add_argument("--each", type=int, default=2, help="clients of each kind and target")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
