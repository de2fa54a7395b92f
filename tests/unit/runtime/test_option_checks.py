"""Every option of a request: in its range, or refused by name; what the engine cannot do is refused with its reason."""

import math
from dataclasses import fields, replace
from typing import Any

import pytest

from genai_runtime.engine.protocol import FEATURES, ModelInfo
from genai_runtime.errors import InvalidRequest, ModelNotFound
from genai_runtime.front.served_model import ServedModel
from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.front.validation import Call, Limits, Options, check_choices
from genai_runtime.generation import Guidance
from support.tiny_tokenizer import byte_level

INFO = ModelInfo(
    *("llama", 64, 320, 32, [2], 0, "batch", "it fits", "cpu", 1, "1", "1"),
    features=sorted(FEATURES),
    adapters=["fr", "de"],
)
MODEL = ServedModel("hello", INFO, TextTokenizer(byte_level()), None, Limits(8, 16))
SCHEMA = Guidance("json_schema", '{"type": "object"}')
# Each option with a value that is not its neutral one.
USED: dict[str, Any] = {
    "min_p": 0.1,
    "presence_penalty": 1.0,
    "frequency_penalty": -1.0,
    "logit_bias": {5: 1.0},
    "stop_token_ids": [5],
    "min_tokens": 1,
    "ignore_eos": True,
    "logprobs": 0,
    "guidance": SCHEMA,
}


async def prepare(model: ServedModel = MODEL, **options: Any) -> Any:
    return await model.prepare(Call(ids=[5], options=Options(**options)), "r")


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("top_k", -1, "0 .off. to 320"),
        ("min_p", -0.1, "0 to 1"),
        ("min_p", 1.1, "0 to 1"),
        ("min_p", math.nan, "nan"),
        ("presence_penalty", 2.1, "-2 to 2"),
        ("presence_penalty", math.nan, "nan"),
        ("frequency_penalty", -math.inf, "-2 to 2"),
        ("seed", -1, "0 to 18446744073709551615"),
        ("seed", 2**64, "0 to 18446744073709551615"),
        ("logit_bias", {320: 1.0}, "id 320"),
        ("logit_bias", {-1: 1.0}, "id -1"),
        ("logit_bias", {5: 100.5}, "-100 to 100"),
        ("logit_bias", {5: math.nan}, "nan for id 5"),
        ("logit_bias", dict.fromkeys(range(1025), 1.0), "1025 entries; 1024"),
        ("stop", ["x"] * 17, "17 strings; 16"),
        ("stop", [""], "0 characters"),
        ("stop", ["x" * 257], "257 characters"),
        ("stop", ["\ud800"], "half a character"),
        ("stop_token_ids", [5] * 65, "65 ids; 64"),
        ("stop_token_ids", [320], "id 320"),
        ("min_tokens", -1, "0 to 8"),
        ("min_tokens", 9, "0 to 8"),
        ("logprobs", -1, "0 to 20"),
        ("logprobs", 21, "0 to 20"),
        ("priority", 101, "-100 to 100"),
        ("priority", -101, "-100 to 100"),
        ("guidance", Guidance("json_schema", ""), "empty"),
        ("guidance", Guidance("json_schema", "{"), "not JSON"),
        ("guidance", Guidance("json_schema", "3"), "not a JSON object"),
        ("guidance", Guidance("json_schema", "[" * 100_000), "bytes; 65536"),
        ("guidance", Guidance("json_schema", "[" * 1000), "deep"),
        ("guidance", Guidance("regex", "(" * 1000), "deep"),
        ("guidance", Guidance("regex", "a" * 5000), "5000 bytes; 4096"),
        ("guidance", Guidance("json_object", "{}"), "2 bytes; 0"),
        ("guidance", Guidance("bnf", "x"), "kind 'bnf'"),  # type: ignore[arg-type]  # what a protocol may hand over
        ("guidance", Guidance("lark", "\udfff"), "half a character"),
    ],
)
async def test_what_is_out_of_range_is_named(option: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^options\.{option}: .*{says}"):
        await prepare(**{option: value})


@pytest.mark.parametrize("option", USED)
async def test_what_the_engine_cannot_do_is_refused_with_its_reason(option: str) -> None:
    info = replace(INFO, engine="single", engine_reason="no known shape", features=sorted(FEATURES - {option}))
    with pytest.raises(InvalidRequest, match=rf"^options\.{option}: .*'single' can do \(no known shape\)"):
        await prepare(replace(MODEL, info=info), **{option: USED[option]})
    await prepare(**{option: USED[option]})


async def test_neutral_values_ask_nothing_of_the_engine() -> None:
    plain = replace(MODEL, info=replace(INFO, features=[], adapters=[]))
    neutral = Options(
        min_p=0.0, presence_penalty=0.0, frequency_penalty=0.0, min_tokens=0, logit_bias={}, stop_token_ids=[]
    )
    request = await plain.prepare(Call(ids=[5], options=neutral), "r")
    assert request == await plain.prepare(Call(ids=[5]), "r")


async def test_every_option_reaches_the_engine() -> None:
    values = {**USED, "temperature": 0.5, "top_k": 7, "top_p": 0.5, "repetition_penalty": 1.5, "seed": 3}
    values |= {"max_tokens": 4, "adapter": "fr", "priority": -5}
    assert {field.name for field in fields(Options)} == {*values, "n", "stop"}  # which are the front's own
    request = await prepare(**values)
    sampling = request.sampling
    for name, value in values.items():
        assert getattr(request, name, getattr(sampling, name, None)) == value, name


async def test_adapters_go_by_their_name_or_as_models() -> None:
    assert (await prepare()).adapter == ""
    assert (await prepare(adapter="fr")).adapter == "fr"
    assert (await MODEL.prepare(Call(ids=[5], model="de"), "r")).adapter == "de"
    with pytest.raises(ModelNotFound, match="adapter 'it' is not served here; 'hello' has 'fr', 'de'"):
        await prepare(adapter="it")
    with pytest.raises(InvalidRequest, match=r"^options\.adapter: is 'fr'.*'de'"):
        await MODEL.prepare(Call(ids=[5], model="de", options=Options(adapter="fr")), "r")


async def test_the_servers_own_limit_of_a_prompt() -> None:
    model = replace(MODEL, limits=Limits(8, 0, 3))
    with pytest.raises(InvalidRequest, match="token_ids: has 4 tokens; this server takes 3 at most"):
        await model.prepare(Call(ids=[5] * 4), "r")
    assert len((await model.prepare(Call(ids=[5] * 3), "r")).prompt) == 3


@pytest.mark.parametrize("choices", [0, -1, 9, 2**40])
def test_the_number_of_choices_is_bounded(choices: int) -> None:
    with pytest.raises(InvalidRequest, match=r"^options\.n: is .*1 to 8"):
        check_choices(choices, 8)
    assert check_choices(8, 8) == 8


@pytest.mark.parametrize("text", ["\ud800", "ok \udc00"])
async def test_half_a_character_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^prompt: has half a character"):
        await MODEL.prepare(Call(text=text), "r")
    with pytest.raises(InvalidRequest, match=r"^text: has half a character"):
        await MODEL.tokenize(text, add_special_tokens=True)


async def test_texts_and_ids_are_translated_for_whoever_asks() -> None:
    ids = await MODEL.tokenize("Paris", add_special_tokens=False)
    assert await MODEL.detokenize(ids) == "Paris"
    with pytest.raises(InvalidRequest, match="token_ids: holds id 320"):
        await MODEL.detokenize([320])
    with pytest.raises(InvalidRequest, match="token_ids: has 65 ids"):
        await MODEL.detokenize([5] * 65)
    with pytest.raises(InvalidRequest, match="text: has 100000 characters"):
        await MODEL.tokenize("a" * 100_000, add_special_tokens=True)
