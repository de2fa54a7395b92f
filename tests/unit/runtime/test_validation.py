"""What a request may hold; every refusal names its field."""

import math
from dataclasses import replace

import pytest

from genai_runtime.engine.protocol import ModelInfo
from genai_runtime.errors import InvalidRequest, ModelNotFound
from genai_runtime.front.chat import ChatTemplate, Message
from genai_runtime.front.served_model import ServedModel
from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.front.validation import Call, Limits, Options, check_request_id
from genai_runtime.generation import Sampling
from support.tiny_tokenizer import CHAT_TEMPLATE, byte_level

INFO = ModelInfo("llama", 64, 320, 32, [2], 0, "single", "", "cpu", 1, "1", "1")
MODEL = ServedModel("hello", INFO, TextTokenizer(byte_level()), ChatTemplate(CHAT_TEMPLATE, {}), Limits(8, 16))


@pytest.mark.parametrize(
    ("call", "field", "says"),
    [
        (Call(), "input", "missing"),
        (Call(text=""), "prompt", "empty"),
        (Call(ids=[]), "token_ids", "no tokens"),
        (Call(messages=[]), "messages", "empty"),
        (Call(messages=[Message("root", "x")]), r"messages\[0\].role", "'system', 'user', 'assistant', 'tool'"),
        (Call(messages=[Message("user", "x"), Message("", "x")]), r"messages\[1\].role", "must be one of"),
        (Call(ids=[5] * 32), "token_ids", "32 tokens.*maximum sequence length of 32"),
        (Call(ids=[5] * 5000), "token_ids", "5000 tokens.*maximum sequence length of 32"),
        (Call(text="\x01" * 40), "prompt", "40 tokens.*maximum sequence length of 32"),
        (Call(text="\x01" * 100_000), "prompt", "100000 characters.*32 tokens"),
        (Call(messages=[Message("user", "\x01" * 100_000)]), "messages", "1000.. characters.*32 tokens"),
        (Call(ids=[320]), "token_ids", "id 320; this model's ids are 0 to 319"),
        (Call(ids=[4, 2**32 - 1]), "token_ids", "id 4294967295"),
        (Call(ids=[0]), "token_ids", "padding"),
        (Call(ids=[0, 0, 0]), "token_ids", "padding"),
        (Call(text="<|pad|><|pad|>"), "prompt", "padding"),
        (Call(ids=[5], options=Options(max_tokens=0)), "options.max_tokens", "1 or more"),
        (Call(ids=[5], options=Options(temperature=-0.1)), "options.temperature", "0 to 2"),
        (Call(ids=[5], options=Options(temperature=2.1)), "options.temperature", "0 to 2"),
        (Call(ids=[5], options=Options(temperature=math.nan)), "options.temperature", "nan"),
        (Call(ids=[5], options=Options(temperature=math.inf)), "options.temperature", "inf"),
        (Call(ids=[5], options=Options(top_p=0.0)), "options.top_p", "above 0"),
        (Call(ids=[5], options=Options(top_p=1.5)), "options.top_p", "above 0, to 1"),
        (Call(ids=[5], options=Options(repetition_penalty=0.0)), "options.repetition_penalty", "above 0"),
        (Call(ids=[5], options=Options(top_k=321)), "options.top_k", "0 .off. to 320"),
    ],
)
async def test_refusals(call: Call, field: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{field}: .*{says}"):
        await MODEL.prepare(call, "r")


async def test_other_models_are_not_found() -> None:
    with pytest.raises(ModelNotFound, match="'other' is not served here; this server serves 'hello'"):
        await MODEL.prepare(Call(model="other", ids=[5]), "r")
    assert (await MODEL.prepare(Call(model="hello", ids=[5]), "r")).prompt == [5]


async def test_a_model_without_template_says_what_to_use() -> None:
    with pytest.raises(InvalidRequest, match="no chat template; use Generate"):
        await replace(MODEL, template=None).prepare(Call(messages=[Message("user", "x")]), "r")


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "👍", "<|im_end|>"])
async def test_any_character_may_be_in_a_prompt(text: str) -> None:
    request = await MODEL.prepare(Call(text=text), "r")
    assert request.prompt == MODEL.tokenizer.encode(text)


@pytest.mark.parametrize(
    ("asked", "prompt_tokens", "expected"), [(None, 1, 8), (3, 1, 3), (16, 1, 16), (16, 30, 2), (None, 31, 1)]
)
async def test_new_tokens_are_bounded(asked: int | None, prompt_tokens: int, expected: int) -> None:
    request = await MODEL.prepare(Call(ids=[5] * prompt_tokens, options=Options(max_tokens=asked)), "r")
    assert request.max_tokens == expected


async def test_options_that_are_absent_take_the_defaults() -> None:
    model = replace(MODEL, limits=Limits(8, 0, 0, Sampling(0.7, 500, 0.9, 1.1)))
    request = await model.prepare(Call(ids=[5]), "r")
    assert request.sampling == Sampling(0.7, 320, 0.9, 1.1, None)
    request = await model.prepare(Call(ids=[5], options=Options(None, 0.0, 0, 1.0, 1.0, 2**64 - 1)), "r")
    assert request.sampling == Sampling(0.0, 0, 1.0, 1.0, 2**64 - 1)


async def test_a_temperature_that_would_overflow_is_greedy() -> None:
    request = await MODEL.prepare(Call(ids=[5], options=Options(temperature=1e-30)), "r")
    assert request.sampling.temperature == 0.0


@pytest.mark.parametrize("request_id", ["../x", "a b", "é", "x" * 65, "a\n", "a/b"])
def test_request_ids_are_of_a_closed_alphabet(request_id: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^request_id: "):
        check_request_id(request_id)


def test_request_ids_are_made_when_absent() -> None:
    assert check_request_id("") != check_request_id("")
    assert check_request_id("a-B_9.x") == "a-B_9.x"
