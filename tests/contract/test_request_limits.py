"""What `spec.generation` gives a request that does not say, and what it refuses, in every protocol, on the hello model.

A request beyond a limit gets an error that names the limit and what to do; it is never made smaller in silence.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
import pytest_asyncio

from genai_protocol.oip import inference_pb2 as oip
from genai_protocol.oip import inference_pb2_grpc as oip_grpc
from genai_protocol.v1 import inference_pb2 as pb
from support.hello_server import HelloServer
from support.http_front import hello_http
from support.runtime import collect

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]
PROMPT = "Once upon"
DEFAULTS = {"temperature": 1.3, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.4}
NEUTRAL = {"temperature": 0.0, "top_k": 1, "top_p": 0.05, "repetition_penalty": 1.0}
TOKENS, SEEDS = 9, range(8)
LIMITS = {"limit_max_tokens": 12, "limit_prompt_tokens": 20, "limit_choices": 2, "limit_guidance_bytes": 40}
Ask = Callable[..., Awaitable[str]]


class Refused(Exception):
    """The words of an error."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[HelloServer, str]]:
    folder: Path = tmp_path_factory.mktemp("limits")
    async with hello_http(folder, default_max_tokens=TOKENS, **DEFAULTS, **LIMITS) as (server, base):
        yield server, base


async def native(served: tuple[HelloServer, str], prompt: str, **options: Any) -> str:
    fields = dict(options)
    if "regex" in fields:
        fields["guidance"] = {"regex": fields.pop("regex")}
    request = pb.GenerateRequest(prompt=prompt, options=pb.GenerationOptions(**fields))
    messages, error = await collect(served[0].genai.Generate(request))
    if error is not None:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        raise Refused(error.details())
    return "".join(each.chunk.text for each in messages)


async def infer(served: tuple[HelloServer, str], prompt: str, **options: Any) -> str:
    request = oip.ModelInferRequest(model_name="hello")
    tensor = request.inputs.add(name="text_input", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(prompt.encode())
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    for name, value in options.items():
        setattr(request.parameters[name], kinds[type(value)], value)
    try:
        answer = await oip_grpc.GRPCInferenceServiceStub(served[0].channel).ModelInfer(request)
    except grpc.aio.AioRpcError as error:
        raise Refused(f"{error.code().name}: {error.details()}") from None
    return str(answer.outputs[0].contents.bytes_contents[0].decode())


async def openai(served: tuple[HelloServer, str], prompt: str, **options: Any) -> str:
    fields = dict(options)
    if "regex" in fields:
        fields["structured_outputs"] = {"regex": fields.pop("regex")}
    answer = await _post(served[1], "/v1/completions", {"model": "hello", "prompt": prompt, **fields})
    return str(answer["choices"][0]["text"])


async def rest(served: tuple[HelloServer, str], prompt: str, **options: Any) -> str:
    answer = await _post(served[1], "/v2/models/hello/generate", {"text_input": prompt, "parameters": options})
    return str(answer["text_output"])


async def _post(base: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=base, timeout=60) as web:
        answer = await web.post(path, json=body)
    if answer.status_code != 200:
        assert answer.status_code == 400
        raise Refused(answer.text)
    found: dict[str, Any] = answer.json()
    return found


PROTOCOLS: dict[str, Ask] = {"genai.v1": native, "OIP": infer, "OpenAI": openai, "OIP over HTTP": rest}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_request_that_does_not_say_gets_the_defaults(served: tuple[HelloServer, str], protocol: str) -> None:
    """The same text as one that says the same, and as in every protocol, with as many tokens as the default."""
    ask = PROTOCOLS[protocol]
    text = await ask(served, PROMPT, seed=3, ignore_eos=True)
    assert text == await ask(served, PROMPT, seed=3, ignore_eos=True, max_tokens=TOKENS, **DEFAULTS)
    assert text == await native(served, PROMPT, seed=3, ignore_eos=True)
    assert text != await ask(served, PROMPT, seed=3, ignore_eos=True, max_tokens=TOKENS + 3)


@pytest.mark.parametrize("option", DEFAULTS)
async def test_each_default_is_in_the_tokens(served: tuple[HelloServer, str], option: str) -> None:
    by_default = [await native(served, PROMPT, seed=seed, ignore_eos=True) for seed in SEEDS]
    other = {option: NEUTRAL[option]}
    assert by_default != [await native(served, PROMPT, seed=seed, ignore_eos=True, **other) for seed in SEEDS]


BEYOND: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "tokens": (PROMPT, {"max_tokens": 13}, "is 13; this server generates 12 at most", "generation.maxTokensLimit"),
    "prompt": ("a b " * 20, {}, "this server takes 20 at most", "generation.promptTokensLimit"),
    "choices": (PROMPT, {"n": 3}, "is 3; it must be 1 to 2", "generation.choicesLimit"),
    "guidance": (PROMPT, {"regex": "a" * 41}, "has a regex of 41 bytes", "generation.guidanceBytesLimit"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("limit", BEYOND)
async def test_a_request_beyond_a_limit_is_told_which_and_what_to_do(
    served: tuple[HelloServer, str], protocol: str, limit: str
) -> None:
    prompt, options, said, field = BEYOND[limit]
    with pytest.raises(Refused) as refused:
        await PROTOCOLS[protocol](served, prompt, **options)
    for words in (said, field, ": "):
        assert words in str(refused.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_request_at_the_limits_is_served(served: tuple[HelloServer, str], protocol: str) -> None:
    assert await PROTOCOLS[protocol](served, PROMPT, max_tokens=12, regex="[a-z]{12}") != ""


async def test_a_server_can_take_no_guidance_at_all(tmp_path: Path) -> None:
    async with hello_http(tmp_path, limit_guidance_bytes=0) as found:
        with pytest.raises(Refused, match=r"generation\.guidanceBytesLimit is 0"):
            await openai(found, PROMPT, response_format={"type": "json_object"})
