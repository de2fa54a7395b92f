"""A gRPC client of a model, run inside a pod of the runtime image: `python client.py COMMAND ADDRESS …`.

Prints one JSON object a line; `at` is the wall clock in seconds, so lines can be compared with what happened
elsewhere on the same machine. It knows nothing of Kubernetes and needs only the runtime image's own packages.
"""

import argparse
import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator

import grpc

from genai_protocol.v1 import inference_pb2 as pb
from genai_protocol.v1 import inference_pb2_grpc as rpc

RETRY_SECONDS = 0.005


def emit(event: str, **fields: object) -> None:
    """One line of output."""
    print(json.dumps({"at": time.time(), "event": event, **fields}), flush=True)


def finish_fields(finish: pb.Finish) -> dict[str, object]:
    """The last message of a stream, as plain values."""
    return {
        "reason": pb.FinishReason.Name(finish.reason).removeprefix("FINISH_REASON_"),
        "prompt_tokens": finish.usage.prompt_tokens,
        "completion_tokens": finish.usage.completion_tokens,
        "tokens_per_second": finish.timings.tokens_per_second,
        "message": finish.message,
    }


async def follow(call: AsyncIterator[pb.GenerateResponse], request_id: str, *, shown: int | None = None) -> str:
    """Prints what a stream brings (of its text the first `shown` tokens), its end and its status; returns that.

    Whoever times the end of a long stream shows little of it: what is printed waits for the reader of this output.
    """
    code, details, received = "OK", "", 0
    try:
        async for response in call:
            if response.WhichOneof("event") == "chunk":
                show = shown is None or received < shown
                received += len(response.chunk.token_ids)
                if show:
                    emit("chunk", id=request_id, text=response.chunk.text, tokens=len(response.chunk.token_ids))
            else:
                emit("finish", id=request_id, **finish_fields(response.finish))
    except grpc.aio.AioRpcError as error:
        code, details = error.code().name, error.details() or ""
    emit("status", id=request_id, code=code, details=details, received=received)
    return code


def question(text: str, max_tokens: int) -> pb.ChatRequest:
    """A conversation of one question; greedy, so that the answer is always the same."""
    options = pb.GenerationOptions(max_tokens=max_tokens, temperature=0.0)
    return pb.ChatRequest(messages=[pb.ChatMessage(role="user", content=text)], options=options)


async def ask(stub: rpc.GenAIServiceStub, arguments: argparse.Namespace) -> None:
    """Asks one question, `parallel` times at once."""

    async def once(label: str) -> None:
        emit("sent", id=label)
        await follow(stub.Chat(question(arguments.text, arguments.max_tokens)), label, shown=arguments.shown)

    await asyncio.gather(*(once(f"ask-{number}") for number in range(arguments.parallel)))


async def until_served(stub: rpc.GenAIServiceStub, arguments: argparse.Namespace) -> None:
    """Asks again and again until a stream is served; prints only the one that was."""
    deadline = time.monotonic() + arguments.seconds
    emit("refused", id="served")  # so that a reader knows that the client has started
    while time.monotonic() < deadline:
        call = stub.Chat(question(arguments.text, arguments.max_tokens))
        try:
            first = await call.read()
        except grpc.aio.AioRpcError:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if first is grpc.aio.EOF or first.WhichOneof("event") != "chunk":
            await asyncio.sleep(RETRY_SECONDS)
            continue
        emit("chunk", id="served", text=first.chunk.text, tokens=len(first.chunk.token_ids))
        await follow(call, "served")
        return


async def load(stub: rpc.GenAIServiceStub, arguments: argparse.Namespace) -> None:
    """Keeps `parallel` questions running for a while; prints the counts."""
    deadline = time.monotonic() + arguments.seconds
    counts = {"requests": 0, "tokens": 0, "failed": 0}

    async def one_after_another() -> None:
        while time.monotonic() < deadline:
            counts["requests"] += 1
            try:
                async for response in stub.Chat(question(arguments.text, arguments.max_tokens)):
                    counts["tokens"] += len(response.chunk.token_ids)
            except grpc.aio.AioRpcError:
                counts["failed"] += 1
                await asyncio.sleep(RETRY_SECONDS)

    emit("sent", id="load")
    await asyncio.gather(*(one_after_another() for _ in range(arguments.parallel)))
    emit("load", **counts)


async def prefill(stub: rpc.GenAIServiceStub, arguments: argparse.Namespace) -> None:
    """Sends long prompts that ask for one token, so that the engine mostly prefills, until one is not served.

    No two prompts begin the same, or the second one's beginning would be in the prefix cache.
    """
    vocabulary = (await stub.GetModel(pb.GetModelRequest())).vocabulary_size
    options = pb.GenerationOptions(max_tokens=1, temperature=0.0)
    deadline = time.monotonic() + arguments.seconds

    def request() -> pb.GenerateRequest:
        ids = random.choices(range(vocabulary // 2, 3 * vocabulary // 4), k=arguments.tokens)
        return pb.GenerateRequest(token_ids=pb.TokenIds(ids=ids), options=options)

    async def until_ended(label: str) -> None:
        code = "OK"
        while code == "OK" and time.monotonic() < deadline:
            emit("sent", id=label)
            code = await follow(stub.Generate(request()), label)

    await asyncio.gather(*(until_ended(f"prefill-{number}") for number in range(arguments.parallel)))


COMMANDS = {"ask": ask, "until-served": until_served, "load": load, "prefill": prefill}


class _ApiKey(grpc.aio.UnaryStreamClientInterceptor):
    """Sends a key with every stream."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def intercept_unary_stream(self, continuation, details, request):  # type: ignore[no-untyped-def]
        metadata = grpc.aio.Metadata(*(details.metadata or ()), ("authorization", f"Bearer {self._key}"))
        return await continuation(details._replace(metadata=metadata), request)


def connect(arguments: argparse.Namespace) -> grpc.aio.Channel:
    """A channel as the options say: in plain text, or TLS with or without a certificate of this client's own."""
    interceptors = [_ApiKey(arguments.key)] if arguments.key else []
    if not arguments.authority:
        return grpc.aio.insecure_channel(arguments.address, interceptors=interceptors)
    pem = [base64.b64decode(each) if each else None for each in (arguments.authority, arguments.private_key)]
    certificate = base64.b64decode(arguments.certificate) if arguments.certificate else None
    credentials = grpc.ssl_channel_credentials(pem[0], pem[1], certificate)
    return grpc.aio.secure_channel(arguments.address, credentials, interceptors=interceptors)


async def run(arguments: argparse.Namespace) -> None:
    """Runs one command on one connection."""
    async with connect(arguments) as channel:
        try:
            await asyncio.wait_for(channel.channel_ready(), timeout=arguments.connect_seconds)
        except TimeoutError:
            emit("status", id="", code="UNCONNECTED", details=f"no connection to {arguments.address}", received=0)
            return
        await COMMANDS[arguments.command](rpc.GenAIServiceStub(channel), arguments)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("address", help="host:port")
    parser.add_argument("--text", default="What is the capital of France?")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--shown", type=int, help="of `ask`: print only so many tokens of the text")
    parser.add_argument("--tokens", type=int, default=1000, help="prompt length of `prefill`")
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connect-seconds", type=float, default=30.0)
    parser.add_argument("--key", help="API key")
    parser.add_argument("--authority", help="whom to trust, base64 of PEM; absent: plain text")
    parser.add_argument("--certificate", help="this client's own, base64 of PEM")
    parser.add_argument("--private-key", help="its key, base64 of PEM")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
