"""Any text, any configuration: an error that names the place, or a document that is a GenAIModel; never a traceback."""

from typing import Any

import pytest
from google.protobuf import text_encoding
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_operator.convert.errors import CannotConvert
from genai_operator.convert.parse import MAX_BYTES, parse_config
from genai_operator.parameters import triton, triton_tensorrt
from genai_protocol.triton.model_config_pb2 import ModelConfig
from support.triton import documents, printed

BAD = {
    "half a brace": ('name: "a"\noptimization {', "2:14: Expected"),
    "a brace too many": (
        'name: "a"\nparameters { key: "a" value: { string_value: "0" } }}',
        "2:53: Expected identifier",
    ),
    "a value of another type": ('max_batch_size: "many"', '1:17: Couldn\'t parse integer: "many"'),
    "a number beyond the field": ("\n\nmax_batch_size: 99999999999", "3:17: "),
    "a kind that does not exist": ("instance_group [ { kind: KIND_TPU } ]", "1:26: Enum type"),
    "a field that is there twice": ('name: "a"\nname: "b"', '2:7: Message type "ModelConfig" should not have multiple'),
    "two schedulers": ("dynamic_batching { }\nsequence_batching { }", "2:1: Field"),
    "a text without an end": ('name: "a', "1:7: String missing ending quote"),
    "a text that is none": (b'name: "ok"\nruntime: "\xff"', "2:11: not UTF-8"),
    "bytes that are no text": ('name: "\\377"', "1:13: Couldn't parse string"),
    "an extension": ("[a.b]: 1", "1:4: "),
    "JSON": ('{"name": "a"}', "1:1: "),
    "YAML": ("name: a\nmax_batch_size: 8", "1:7: Expected string"),
    "a deep nest": ("a { " * 5000, "nested too deeply"),
    "a bad value of a field that is not known": ("a: @", "1:1: Invalid field value: @"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_error_names_the_line_and_the_column(case: str) -> None:
    text, want = BAD[case]
    with pytest.raises(CannotConvert) as failed:
        parse_config(text if isinstance(text, bytes) else text.encode(), "x/config.pbtxt")
    said = str(failed.value)
    assert said.startswith("x/config.pbtxt:")
    assert want in said
    assert len(said) < 500


def test_a_file_that_is_no_configuration_by_its_size_is_refused() -> None:
    with pytest.raises(CannotConvert, match="1048576 at most"):
        parse_config(b"#" * (MAX_BYTES + 1), "x")


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a: 1 b { c: 2 d < e: 3 > }", ("a", "b")),
        ('a: "x" "y" \'z\' max_batch_size: 1', ("a",)),
        (
            "optimization { a: [ 1, { b: 2 } ]; graph { level: 1, c: -inf } }",
            ("optimization.a", "optimization.graph.c"),
        ),
        ("instance_group [ { a: 1 }, { a: 2 } ]", ("instance_group.a",)),
        ('parameters { key: "k" value { string_value: "v" a { b: 1 } } }', ("parameters.value.a",)),
        ("max_batch_size: 1", ()),
    ],
)
def test_fields_that_are_not_known_are_named_by_their_paths(text: str, unknown: tuple[str, ...]) -> None:
    assert parse_config(text.encode(), "x").unknown == unknown


def never_a_traceback(content: bytes) -> None:
    try:
        said = printed(content)
    except CannotConvert:
        return
    assert len(documents(said)) == 1


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes(content: bytes) -> None:
    never_a_traceback(content)


TOKENS = st.sampled_from(
    [
        *("name", "optimization", "graph", "level", "parameters", "key", "value", "instance_group", "KIND_GPU", "a"),
        *("{", "}", "<", ">", "[", "]", "[a.b]", ":", ",", ";", "1", "-1", "1.5", "1e9", "inf", "true"),
        *('"x"', "'y'", '"', "#", "\n"),
    ]
)


@given(st.lists(TOKENS, max_size=30))
@settings(max_examples=400, deadline=None)
def test_anything_that_looks_like_the_text_format(tokens: list[str]) -> None:
    never_a_traceback(" ".join(tokens).encode())


TEXTS = st.text(max_size=12)
NUMBERS = st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 9)
SECTIONS = (triton_tensorrt.TENSORRT, triton.CUDA, triton.OPTIONS, triton.OPENVINO)
KEYS = st.sampled_from([row.key for section in SECTIONS for row in section.rows])
VALUES = st.sampled_from(
    ["0", "1", "-1", "true", "FP16", "FP8", "", "cpu:0", "gpu:0", "9" * 20, "9" * 40, "EXHAUSTIVE"]
)
PROVIDERS = st.sampled_from(["tensorrt", "cuda", "openvino", "tpu"])


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Values of a field as JSON-like Python."""
    if field.enum_type is not None:
        return st.sampled_from([each.number for each in field.enum_type.values])
    return {
        FieldDescriptor.CPPTYPE_STRING: TEXTS,
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32, allow_nan=False),
        FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
        FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1) | st.integers(0, 9),
        FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1) | st.integers(0, 9),
    }.get(field.cpp_type, NUMBERS)


def written(value: Any) -> str:
    if isinstance(value, str):
        return f'"{text_encoding.CEscape(value, as_utf8=False)}"'
    return str(value).lower()


@st.composite
def fields(draw: st.DrawFn, message: Descriptor, depth: int = 0) -> str:
    """Some fields of a message in the text format, each valid."""
    known = list(message.fields)
    if not known:
        return ""
    parts = []
    oneofs: set[str] = set()
    for field in draw(st.lists(st.sampled_from(known), max_size=3 if depth else 6, unique_by=lambda each: each.name)):
        group = field.containing_oneof
        if group is not None and group.name in oneofs:
            continue
        oneofs |= {group.name} if group is not None else set()
        repeated = draw(st.integers(1, 3)) if field.is_repeated else 1
        parts += [draw(one_field(message, field, depth)) for _ in range(repeated)]
    return "\n".join(parts)


@st.composite
def one_field(draw: st.DrawFn, message: Descriptor, field: FieldDescriptor, depth: int) -> str:
    inner = field.message_type
    if inner is not None:
        return f"{field.name} {{ {draw(fields(inner, depth + 1))} }}"
    if message.GetOptions().map_entry and field.name == "key" and field.cpp_type == field.CPPTYPE_STRING:
        return f"key: {written(draw(KEYS | TEXTS))}"
    if field.name in ("string_value", "value"):
        return f"{field.name}: {written(draw(VALUES | TEXTS))}"
    if message.name == "Accelerator" and field.name == "name":
        return f"name: {written(draw(PROVIDERS | TEXTS))}"
    return f"{field.name}: {written(draw(scalar(field)))}"


@given(fields(ModelConfig.DESCRIPTOR))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_configuration(text: str) -> None:
    parsed = parse_config(text.encode(), "x")
    assert not parsed.unknown
    never_a_traceback(text.encode())
