"""What must match a grammar, as somebody who means harm asks for it: each ends in words of its own, and the 15 streams
that run beside them get the tokens that they get alone.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_protocol.v1 import inference_pb2 as pb
from support.hello_server import HelloServer, hello_server
from support.runtime import collect

pytestmark = pytest.mark.model
STREAMS = 15
# What a request asks for, and what its refusal says.
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "a schema of 70 kB": ({"json_schema": json.dumps({"const": "x" * 70_000})}, "65536 are allowed"),
    "an expression of 5 kB": ({"regex": "a" * 5000}, "4096 are allowed"),
    "a grammar of 17 kB": ({"lark": "start: " + '"a" ' * 4500}, "16384 are allowed"),
    "nested 40 deep": ({"json_schema": '{"not":' * 40 + "{}" + "}" * 40}, "nested more than 32 deep"),
    "no schema": ({"json_schema": "[1, 2"}, "is not JSON"),
    "a reference elsewhere": ({"json_schema": '{"$ref":"http://127.0.0.1:1/x.json"}'}, "not present in a registry"),
    "a circle": ({"json_schema": '{"$ref":"#"}'}, "matches no text"),
    "doubling tokens": (
        {"lark": "start: R0\n" + "\n".join(f"R{n}: R{n + 1} R{n + 1}" for n in range(60)) + '\nR60: "y"'},
        "too big",
    ),
    "intersections": (
        {"lark": "start: A\nA: /.*a.{30}/ & /.*b.{40}/ & /.*c.{50}/ & ~/.*d.{60}/"},
        "fuel exhausted",
    ),
}
# Accepted, for they can be compiled; what their masks then take is bounded.
AMBIGUOUS: dict[str, dict[str, str]] = {
    "two ways": {"lark": 'start: s\ns: "a" | "b" | s s'},
    "three ways": {"lark": "start: s\ns: L | s s | s s s | s s s s\nL: /[^x]/"},
    "long counts": {"regex": "((a{1000}){1000}){1000}"},
    "states": {"regex": "(.*a.{12}|.*b.{12})*"},
}


async def ask(server: HelloServer, number: int, **more: Any) -> tuple[list[int], str]:
    """The tokens, and how it ended: the finish's reason and message, or the error's code and words."""
    fields = {"max_tokens": 120, "ignore_eos": True, "temperature": 1.0, "seed": number, **more}
    request = pb.GenerateRequest(prompt=f"Story {number}", options=pb.GenerationOptions(**fields))
    messages, error = await collect(server.genai.Generate(request))
    ids = [id_ for each in messages for id_ in each.chunk.token_ids]
    if isinstance(error, grpc.aio.AioRpcError):
        return ids, f"{error.code().name} {error.details()}"
    finish = messages[-1].finish
    return ids, f"{pb.FinishReason.Name(finish.reason)} {finish.message}"


async def test_hostile_guidance_ends_alone(tmp_path: Path) -> None:
    async with hello_server(tmp_path, rows=STREAMS + 1) as server:
        alone = [await ask(server, number) for number in range(STREAMS)]
        streams = [asyncio.create_task(ask(server, number)) for number in range(STREAMS)]
        refused = {name: (await ask(server, 99, guidance=asked))[1] for name, (asked, _) in REFUSED.items()}
        ended = {name: (await ask(server, 99, guidance=asked))[1] for name, asked in AMBIGUOUS.items()}
        assert await asyncio.gather(*streams) == alone
    for name, (_, words) in REFUSED.items():
        assert refused[name].startswith(("INVALID_ARGUMENT options.guidance: ", "FINISH_REASON_ERROR options.")), name
        assert words in refused[name], name
    assert len(set(refused.values())) == len(refused)
    for name, said in ended.items():
        good = said.startswith(("FINISH_REASON_STOP", "FINISH_REASON_LENGTH"))
        assert good or "the output cannot follow the guidance any further" in said or "cannot be compiled" in said, name
