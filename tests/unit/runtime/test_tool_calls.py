"""Tool calls are read out of an answer, the same however it is cut into chunks."""

import json

import pytest

from genai_runtime.front.tool_calls import Arguments, CallStarted, Part, ToolCallReader, ToolFormat

WEATHER = '{"name": "weather", "arguments": {"city": "Zü}r{ich \\"x\\"", "days": [1, 2]}}'
ARGUMENTS = '{"city": "Zü}r{ich \\"x\\"", "days": [1, 2]}'


def read(format_: ToolFormat, text: str, size: int) -> tuple[str, list[tuple[str, str]]]:
    """(content, calls) when `text` comes in chunks of `size` characters."""
    reader = ToolCallReader(format_, {"weather", "time"})
    parts: list[Part] = []
    for start in range(0, len(text), size):
        parts += reader.push(text[start : start + size])
    parts += reader.flush()
    names = [part.name for part in parts if isinstance(part, CallStarted)]
    assert [part.index for part in parts if isinstance(part, CallStarted)] == list(range(len(names)))
    arguments = ["".join(p.text for p in parts if isinstance(p, Arguments) and p.index == i) for i in range(len(names))]
    return "".join(part for part in parts if isinstance(part, str)), list(zip(names, arguments, strict=True))


CASES = {
    "text alone": (ToolFormat.MARKED, "It is < 5 <tool", "It is < 5 <tool", []),
    "a call": (ToolFormat.MARKED, f"<tool_call>\n{WEATHER}\n</tool_call>", "", [("weather", ARGUMENTS)]),
    "text and two calls": (
        ToolFormat.MARKED,
        f'Let me see.\n<tool_call>{WEATHER}</tool_call>\n<tool_call>{{"name":"time","arguments":{{}}}}</tool_call>',
        "Let me see.",
        [("weather", ARGUMENTS), ("time", "{}")],
    ),
    "the other order": (
        ToolFormat.MARKED,
        '<tool_call>{"arguments": {"a": 1}, "name": "time"}</tool_call>ok',
        "ok",
        [("time", '{"a": 1}')],
    ),
    "arguments as text": (
        ToolFormat.MARKED,
        '<tool_call>{"name": "time", "arguments": "{\\"a\\": 1}"}</tool_call>',
        "",
        [("time", '{"a": 1}')],
    ),
    "no JSON": (ToolFormat.MARKED, "<tool_call>weather()</tool_call> x", "<tool_call>weather()</tool_call> x", []),
    "cut in the head": (ToolFormat.MARKED, 'a <tool_call>{"name": "we', 'a<tool_call>{"name": "we', []),
    "cut in the arguments": (
        ToolFormat.MARKED,
        '<tool_call>{"name": "time", "arguments": {"a": "b',
        "",
        [("time", '{"a": "b')],
    ),
    "bare": (ToolFormat.BARE, ' {"name": "time", "parameters": {"a": 1}}', "", [("time", '{"a": 1}')]),
    "bare behind its tag": (
        ToolFormat.BARE,
        '<|python_tag|>{"type": "function", "name": "time", "parameters": {}}; {"name": "weather", "parameters": {}}',
        "",
        [("time", "{}"), ("weather", "{}")],
    ),
    "bare JSON that is data": (ToolFormat.BARE, '{"name": "Bob", "age": 5} x', '{"name": "Bob", "age": 5} x', []),
    "bare text": (ToolFormat.BARE, ' Hello {"name": 1}', ' Hello {"name": 1}', []),
    "bare, cut": (ToolFormat.BARE, '{"name": "ti', '{"name": "ti', []),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_parts_do_not_depend_on_chunks(case: str, size: int) -> None:
    format_, text, content, calls = CASES[case]
    assert read(format_, text, size) == (content, calls)


def test_arguments_stream_while_they_are_written() -> None:
    reader = ToolCallReader(ToolFormat.MARKED, {"weather"})
    assert reader.push('<tool_call>{"name": "weather", ') == []
    started, arguments = reader.push('"arguments": {"city": ')
    assert isinstance(started, CallStarted)
    assert arguments == Arguments(0, '{"city": ')
    assert reader.push('"Bern"') == [Arguments(0, '"Bern"')]
    assert reader.push("}}") == [Arguments(0, "}")]


def test_ids_are_unique() -> None:
    ids = set()
    for _ in range(50):
        parts = ToolCallReader(ToolFormat.MARKED, ()).push(f"<tool_call>{WEATHER}</tool_call>")
        ids |= {part.id for part in parts if isinstance(part, CallStarted)}
    assert len(ids) == 50


@pytest.mark.parametrize(
    ("source", "want"),
    [
        ("{{ '<tool_call>' }}", ToolFormat.MARKED),
        ('{"name": function name, "parameters": dictionary}', ToolFormat.BARE),
        ("[TOOL_CALLS]", None),
    ],
)
def test_the_template_tells_the_form(source: str, want: ToolFormat | None) -> None:
    assert ToolFormat.of_template(source) is want


def test_deep_json_in_a_call_is_content() -> None:
    text = "<tool_call>" + '{"a":' * 100_000 + "</tool_call>"
    reader = ToolCallReader(ToolFormat.MARKED, ())
    assert [*reader.push(text), *reader.flush()] == [text]
    assert json.loads(ARGUMENTS)["days"] == [1, 2]
