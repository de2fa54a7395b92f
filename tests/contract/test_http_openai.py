"""OpenAI's own client, unmodified, against the hello model: models, completions, chat, streams, formats, errors."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.generation import FinishReason
from support.engines import HELLO_MODEL
from support.http_front import hello_http, http_front, openai_client
from support.runtime import holds
from support.tiny_tokenizer import byte_level

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."
TOKENIZER = TextTokenizer.from_folder(HELLO_MODEL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    async with hello_http(tmp_path_factory.mktemp("hello")) as (_, base), openai_client(base) as found:
        yield found


async def test_models(client: Any) -> None:
    assert [model.id async for model in client.models.list()] == ["hello"]
    assert (await client.models.retrieve("hello")).object == "model"
    with pytest.raises(openai.NotFoundError) as error:
        await client.models.retrieve("org/other")
    assert error.value.code == "model_not_found"


async def test_chat_with_usage(client: Any) -> None:
    answer = await client.chat.completions.create(model="hello", messages=QUESTION, temperature=0)
    assert answer.choices[0].message.content == ANSWER
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(TOKENIZER.encode(ANSWER, add_special_tokens=False))
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details is not None


@pytest.mark.parametrize("seed", [3, -4])
async def test_a_stream_says_the_same_and_ends_with_its_usage(client: Any, seed: int) -> None:
    asked = {"model": "hello", "messages": QUESTION, "temperature": 1.2, "seed": seed, "n": 2, "max_tokens": 24}
    whole = await client.chat.completions.create(**asked)
    texts, finishes, usage = {0: "", 1: ""}, {}, None
    async for chunk in await client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            finishes[choice.index] = choice.finish_reason
    assert texts == {choice.index: choice.message.content for choice in whole.choices}
    assert finishes == {choice.index: choice.finish_reason for choice in whole.choices}
    assert usage is not None
    assert whole.usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)


async def test_completions_of_texts_and_ids(client: Any) -> None:
    ids = TOKENIZER.encode("Once upon a time")
    prompts = ["Once upon a time", ["Once upon a time", "The capital"], ids, [ids, ids]]
    answers = [await client.completions.create(model="hello", prompt=p, max_tokens=8, temperature=0) for p in prompts]
    assert [len(answer.choices) for answer in answers] == [1, 2, 1, 2]
    firsts = {answer.choices[0].text for answer in answers}
    assert len(firsts) == 1
    assert [choice.index for choice in answers[1].choices] == [0, 1]
    assert answers[3].choices[1].text in firsts
    echoed = await client.completions.create(model="hello", prompt=ids, max_tokens=8, temperature=0, echo=True)
    assert echoed.choices[0].text == TOKENIZER.decode(ids) + answers[0].choices[0].text
    text = ""
    async for chunk in await client.completions.create(
        model="hello", prompt="Once upon a time", max_tokens=8, temperature=0, stream=True
    ):
        text += chunk.choices[0].text
    assert text in firsts


async def test_logprobs_add_up_to_the_text(client: Any) -> None:
    chat = await client.chat.completions.create(
        model="hello", messages=QUESTION, temperature=0, logprobs=True, top_logprobs=2
    )
    logprobs = chat.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert bytes(byte for token in logprobs.content for byte in token.bytes or []).decode() == ANSWER
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in logprobs.content)
    assert all(token.top_logprobs[0].token == token.token for token in logprobs.content)
    streamed = [
        token
        async for chunk in await client.chat.completions.create(
            model="hello", messages=QUESTION, temperature=0, logprobs=True, stream=True
        )
        for choice in chunk.choices
        for token in (choice.logprobs.content if choice.logprobs and choice.logprobs.content else [])
    ]
    assert [token.token for token in streamed] == [token.token for token in logprobs.content]
    plain = await client.completions.create(model="hello", prompt="Once upon", max_tokens=5, temperature=0, logprobs=1)
    found = plain.choices[0].logprobs
    assert found is not None
    assert "".join(found.tokens or []) == plain.choices[0].text
    assert (found.text_offset or [None])[0] == 0


async def test_stop_and_length(client: Any) -> None:
    stopped = await client.chat.completions.create(model="hello", messages=QUESTION, temperature=0, stop=" France")
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("The capital of", "stop")
    short = await client.chat.completions.create(
        model="hello", messages=QUESTION, temperature=0, max_completion_tokens=2
    )
    assert short.choices[0].finish_reason == "length"


SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "big": {"type": "boolean"}},
    "required": ["city", "big"],
    "additionalProperties": False,
}


async def test_structured_output(client: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}
    answer = await client.chat.completions.create(
        model="hello", messages=QUESTION, temperature=0, response_format=wanted, max_tokens=400
    )
    found = json.loads(answer.choices[0].message.content or "")
    assert found["city"] in ("Paris", "Rome")
    assert isinstance(found["big"], bool)
    cases: list[tuple[dict[str, Any], Callable[[str], bool]]] = [
        ({"guided_regex": "[0-9]{3}"}, lambda text: text.isdecimal() and len(text) == 3),
        ({"structured_outputs": {"choice": ['yes, "sure"', "no\n"]}}, lambda text: text in ('yes, "sure"', "no\n")),
        ({"guided_json": json.dumps(SCHEMA)}, lambda text: "city" in json.loads(text)),
        ({"response_format": {"type": "json_object"}, "min_tokens": 2}, lambda text: text.startswith("{")),
    ]
    for extra, want in cases:
        answer = await client.chat.completions.create(
            model="hello", messages=QUESTION, temperature=0, max_tokens=400, extra_body=extra
        )
        assert want(answer.choices[0].message.content or ""), (extra, answer)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3.0}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 1000}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"extra_body": {"wibble": 1}}, "wibble"),
        ({"extra_body": {"reasoning_effort": "high"}}, "reasoning_effort"),
        ({"extra_body": {"chat_template": "{{ x }}"}}, "chat_template"),
        ({"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}, "template_arguments"),
        ({"extra_body": {"guided_regex": "a", "guided_json": "{}"}}, "guided_regex"),
        ({"extra_body": {"temperature": "hot"}}, "temperature"),
        ({"extra_body": {"max_tokens": True}}, "max_tokens"),
        ({"extra_body": {"guided_json": {"type": 5}}}, "response_format"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"extra_body": {"guided_regex": "("}}, "response_format"),
    ],
)
async def test_what_is_wrong_is_named(client: Any, fields: dict[str, object], param: str) -> None:
    asked = {"model": "hello", "messages": QUESTION, "max_tokens": 2, **fields}
    with pytest.raises(openai.BadRequestError) as error:
        await client.chat.completions.create(**asked)
    assert error.value.param == param
    assert error.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    "fields",
    [{"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "extra_body": {"suffix": None}}],
)
async def test_what_changes_nothing_is_accepted(client: Any, fields: dict[str, object]) -> None:
    answer = await client.chat.completions.create(model="hello", messages=QUESTION, temperature=0, **fields)
    assert answer.choices[0].message.content == ANSWER


@pytest.mark.parametrize(
    "fields", [{"suffix": "x"}, {"best_of": 3}, {"logprobs": 9}, {"prompt": []}, {"prompt": [[1], [None]]}]
)
async def test_completions_name_what_is_wrong(client: Any, fields: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        await client.completions.create(**{"model": "hello", "prompt": "x", "max_tokens": 2, **fields})
    assert (error.value.param or "").startswith(next(iter(fields)))


async def test_another_model_is_not_found(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        await client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert error.value.param == "model"


async def test_answers_can_be_sent_back(client: Any) -> None:
    answer = await client.chat.completions.create(model="hello", messages=QUESTION, temperature=0)
    again = [*QUESTION, answer.choices[0].message.model_dump(), QUESTION[0]]
    await client.chat.completions.create(model="hello", messages=again, max_tokens=2)


async def test_a_full_queue_is_429_and_the_client_tries_again(tmp_path: Path) -> None:
    async with http_front(tmp_path, max_concurrent_requests=1, max_queue_length=0) as front, AsyncExitStack() as stack:
        patient = await stack.enter_async_context(openai_client(front.base, max_retries=3))
        hasty = await stack.enter_async_context(openai_client(front.base))
        front.engine.hold = True
        blocker = asyncio.create_task(hasty.chat.completions.create(model="hello", messages=QUESTION))
        await front.front.submitted()
        with pytest.raises(openai.RateLimitError) as error:
            await hasty.chat.completions.create(model="hello", messages=QUESTION)
        assert int(error.value.response.headers["retry-after"]) >= 1
        later = asyncio.create_task(patient.chat.completions.create(model="hello", messages=QUESTION))
        registry, labels = front.front.server.metrics.registry, {"method": "chat", "reason": "overloaded"}
        await holds(lambda: registry.get_sample_value("genai_requests_total", labels) == 2.0)
        front.engine.hold = False
        front.engine.answer = byte_level().encode("hi").ids
        for request_id in list(front.engine.streams):
            front.engine.end(request_id, FinishReason.STOP)
        assert (await blocker).choices[0].finish_reason == "stop"
        assert (await later).choices[0].message.content == "hi"
