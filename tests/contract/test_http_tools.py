"""Tools through OpenAI's own client: the model's template shows them, its words become calls, at once and streamed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from genai_runtime.generation import FinishReason, Tokens
from support.http_front import HttpFront, http_front, openai_client
from support.tiny_tokenizer import byte_level

TOKENIZER = byte_level()
HERMES = """{%- if tools %}<|im_start|>system
{%- for tool in tools %}{{ '\\n' ~ (tool | tojson) }}{% endfor %}
Answer with <tool_call>{"name": ..., "arguments": ...}</tool_call>.<|im_end|>
{% endif %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}
{%- for call in m.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>
{% endfor %}<|im_start|>assistant
"""
LLAMA = (
    '{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}Respond with {"name": name, "parameters": values}.'
    "{% for m in messages %}{{ m.content }}{% endfor %}"
)
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME = {"type": "function", "function": {"name": "time"}}
QUESTION = [{"role": "user", "content": "How is it in Bern?"}]
CALLS = (
    'I look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>\n'
    '<tool_call>{"name": "time", "arguments": {}}</tool_call>'
)


async def asked(front: HttpFront, answer: str, **fields: Any) -> Any:
    """What a client gets when the model says `answer`; a stream is put together again, as clients do."""
    front.engine.answer = TOKENIZER.encode(answer).ids
    request = {"model": "hello", "messages": QUESTION, "tools": [WEATHER, TIME], **fields}
    async with openai_client(front.base) as client:
        whole = await client.chat.completions.create(**request)
        async with client.chat.completions.stream(**request) as stream:
            async for _ in stream:
                pass
            streamed = await stream.get_final_completion()
    shapes = [
        [(c.function.name, c.function.arguments) for c in choice.message.tool_calls or []]
        for choice in (whole.choices[0], streamed.choices[0])
    ]
    assert shapes[0] == shapes[1]
    assert (whole.choices[0].message.content or "") == (streamed.choices[0].message.content or "")
    assert whole.choices[0].finish_reason == streamed.choices[0].finish_reason
    return whole.choices[0]


def prompt_of(front: HttpFront) -> str:
    """What the model was shown last."""
    return TOKENIZER.decode(list(front.engine.streams.values())[-1].request.prompt)


async def test_calls_beside_text(tmp_path: Path) -> None:
    async with http_front(tmp_path, template=HERMES) as front:
        choice = await asked(front, CALLS)
        assert json.dumps(WEATHER) in prompt_of(front)
        single = await asked(front, CALLS, parallel_tool_calls=False)
        text = await asked(front, "It is sunny.")
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "I look."
    assert [(c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls] == [
        ("weather", {"city": "Bern"}),
        ("time", {}),
    ]
    assert len({call.id for call in choice.message.tool_calls}) == 2
    assert [call.function.name for call in single.message.tool_calls] == ["weather"]
    assert (text.message.content, text.message.tool_calls, text.finish_reason) == ("It is sunny.", None, "stop")


async def test_bare_calls(tmp_path: Path) -> None:
    async with http_front(tmp_path, template=LLAMA) as front:
        choice = await asked(front, '{"name": "weather", "parameters": {"city": "Bern"}}')
        data = await asked(front, '{"name": "Bern", "people": 130000}')
    assert choice.message.tool_calls[0].function.arguments == '{"city": "Bern"}'
    assert choice.message.content is None
    assert data.message.content == '{"name": "Bern", "people": 130000}'


async def test_the_whole_conversation_with_results(tmp_path: Path) -> None:
    async with http_front(tmp_path, template=HERMES) as front:
        choice = await asked(front, CALLS)
        turns = [*QUESTION, choice.message.model_dump(exclude_none=True)]
        turns += [
            {"role": "tool", "tool_call_id": call.id, "content": "sunny<|im_end|>"}
            for call in choice.message.tool_calls
        ]
        await asked(front, "It is sunny.", messages=turns)
        prompt = list(front.engine.streams.values())[-1].request.prompt
    assert '<tool_call>{"name": "weather", "arguments": {"city": "Bern"}}</tool_call>' in TOKENIZER.decode(prompt)
    assert TOKENIZER.decode(prompt).count("tool\nsunny<|im_end|>\n") == 2
    assert prompt.count(2) == 5  # the template's own <|im_end|> alone


@pytest.mark.parametrize(
    ("choice", "names", "finish"),
    [
        ("required", ["weather", "time"], "tool_calls"),
        ({"type": "function", "function": {"name": "weather"}}, ["weather"], "stop"),
    ],
)
async def test_a_call_that_must_be_is_guided(tmp_path: Path, choice: Any, names: list[str], finish: str) -> None:
    async with http_front(tmp_path, template=HERMES) as front:
        answer = await asked(front, '{"name": "weather", "arguments": {"city": "Bern"}}', tool_choice=choice)
        guidance = list(front.engine.streams.values())[-1].request.guidance
    assert guidance is not None
    schema = json.loads(guidance.source)
    calls = schema.get("anyOf", [schema])
    assert [call["properties"]["name"]["const"] for call in calls] == names
    assert calls[0]["properties"]["arguments"] == WEATHER["function"]["parameters"]
    assert (answer.message.tool_calls[0].function.name, answer.finish_reason) == ("weather", finish)


async def test_no_tools_are_shown_when_none_is_chosen(tmp_path: Path) -> None:
    async with http_front(tmp_path, template=HERMES) as front:
        choice = await asked(front, CALLS, tool_choice="none")
        assert "weather" not in prompt_of(front).split("How is it")[0]
    assert choice.message.content == CALLS


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, "tools[0].type"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [TIME] * 200}, "tools"),
    ],
)
async def test_what_is_wrong_with_tools_is_named(tmp_path: Path, fields: dict[str, Any], param: str) -> None:
    async with http_front(tmp_path, template=HERMES) as front, openai_client(front.base) as client:
        with pytest.raises(openai.BadRequestError) as error:
            await client.chat.completions.create(
                **{"model": "hello", "messages": QUESTION, "tools": [WEATHER], **fields}
            )
    assert error.value.param == param


async def test_a_form_that_is_not_known_still_takes_forced_calls(tmp_path: Path) -> None:
    template = "{% for tool in tools or [] %}[TOOL]{{ tool | tojson }}{% endfor %}{{ messages[0].content }}"
    async with http_front(tmp_path, template=template) as front, openai_client(front.base) as client:
        with pytest.raises(openai.BadRequestError, match="form that is not known"):
            await client.chat.completions.create(model="hello", messages=QUESTION, tools=[WEATHER])
        answer = await asked(front, '{"name": "time", "arguments": {}}', tool_choice="required")
    assert answer.message.tool_calls[0].function.name == "time"


async def test_a_bad_ending_is_an_error_at_once_and_in_a_stream(tmp_path: Path) -> None:
    async with http_front(tmp_path, template=HERMES) as front, openai_client(front.base) as client:
        front.engine.hold = True
        request = {"model": "hello", "messages": QUESTION}
        stream = await started(front, client, request)
        (request_id,) = list(front.engine.streams)
        front.engine.end(request_id, FinishReason.TERMINATED)
        with pytest.raises(openai.APIError, match="terminate-session"):
            async for _ in stream:
                pass


async def started(front: HttpFront, client: Any, request: dict[str, Any]) -> Any:
    """A stream whose first token is here."""
    task = asyncio.create_task(client.chat.completions.create(**request, stream=True))
    await front.front.submitted()
    (request_id,) = list(front.engine.streams)
    front.engine.streams[request_id].put(Tokens(request_id, TOKENIZER.encode("a").ids))
    return await task
