"""Uses KServe's InferenceGRPCClient as its documentation does; prints one JSON object. Not one of our imports."""

import asyncio
import json
import sys
from typing import Any

import grpc
import numpy as np
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient

QUESTION = "The capital of France is"


def request(*, raw: bool, **parameters: Any) -> Any:
    text = InferInput("text_input", [1], "BYTES")
    if raw:
        text.set_data_from_numpy(np.array([QUESTION.encode()], dtype=np.object_), binary_data=True)
    else:
        text.data = [QUESTION.encode()]
    return InferRequest("hello", [text], parameters=parameters)


async def refusal(call: Any) -> dict[str, str]:
    try:
        await call
    except grpc.RpcError as error:
        return {"status": error.code().name, "message": error.details()}
    raise AssertionError("this should have been refused")


def text_of(response: Any) -> str:
    parts = response.get_output_by_name("text_output").as_numpy().tolist()
    return "".join(part.decode() if isinstance(part, bytes) else part for part in parts)


async def main() -> None:
    async with InferenceGRPCClient(sys.argv[1], timeout=60) as client:
        raw = await client.infer(request(raw=True, max_tokens=12))
        typed = await client.infer(request(raw=False, max_tokens=12, temperature="0"))
        stopped = await client.infer(request(raw=True, max_tokens=12, stop="."))
        found = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model_ready": await client.is_model_ready("hello"),
            "unknown": await refusal(client.is_model_ready("other")),
            "raw": text_of(raw),
            "typed": text_of(typed),
            "stopped": text_of(stopped),
            "wrong": await refusal(client.infer(request(raw=True, temperature="hot"))),
        }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
