"""Reads the text format of a config.pbtxt into Triton's message. What the message means is `mapping.py`'s.

Protobuf's own parser decides what is right. It can skip fields that the message lacks, but does not tell which; so
where it skipped any, its tokenizer is walked once more for their names.
"""

from dataclasses import dataclass

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor

from genai_operator.convert.errors import CannotConvert
from genai_protocol.triton import model_config_pb2

# Triton's own largest examples have some 20 KB.
MAX_BYTES = 1024 * 1024
_MOST_WORDS = 300
_CLOSING = {"{": "}", "<": ">"}


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """`unknown`: paths of fields that the message lacks, in the file's order, each once."""

    message: model_config_pb2.ModelConfig
    unknown: tuple[str, ...] = ()


def parse_config(content: bytes, origin: str) -> ParsedConfig:
    """The message in a file; `origin` is what errors call it.

    Raises:
        CannotConvert: the content is no such text; the message has the line and the column.
    """
    if len(content) > MAX_BYTES:
        raise CannotConvert(f"{origin}: {len(content)} bytes; a config.pbtxt has {MAX_BYTES} at most")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        raise CannotConvert(f"{origin}:{line}:{column}: not UTF-8") from error
    try:
        return _parsed(text)
    except text_format.ParseError as error:
        raise CannotConvert(f"{origin}:{_explained(error)}") from error
    except RecursionError as error:
        raise CannotConvert(f"{origin}: messages are nested too deeply") from error


def _parsed(text: str) -> ParsedConfig:
    message = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as first:
        message = model_config_pb2.ModelConfig()
        try:
            text_format.Parse(text, message, allow_unknown_field=True)
        except text_format.ParseError as error:
            # Inside an unknown field the parser may not say where; the field's own place is near.
            if error.GetLine() is None:
                raise text_format.ParseError(str(error), first.GetLine(), first.GetColumn()) from error
            raise
        return ParsedConfig(message, tuple(dict.fromkeys(_unknown_fields(text))))
    return ParsedConfig(message)


def _explained(error: text_format.ParseError) -> str:
    """`LINE:COLUMN: what is wrong`; the parser's own words, without the whole line that it puts before them."""
    line, column = error.GetLine(), error.GetColumn()
    words = str(error)
    if line is None:
        return f" {words}"
    place = f"{line}:{column}" if column is not None else str(line)
    words = words.removeprefix(f"{place} : ")
    # 'the whole line': what is wrong
    if words.startswith("'") and (end := words.rfind("': ")) > 0:
        words = words[end + len("': ") :]
    words = words.replace(f"{model_config_pb2.DESCRIPTOR.package}.", "")
    return f"{place}: {words[:_MOST_WORDS]}{'…' if len(words) > _MOST_WORDS else ''}"


def _unknown_fields(text: str) -> list[str]:
    found: list[str] = []
    tokenizer = text_format.Tokenizer(text.split("\n"))
    while not tokenizer.AtEnd():
        _walk_field(tokenizer, model_config_pb2.ModelConfig.DESCRIPTOR, "", found)
    return found


def _walk_field(tokenizer: text_format.Tokenizer, message: Descriptor | None, prefix: str, found: list[str]) -> None:
    """One field, known to be well-formed. `message` None: inside an unknown field, whose own fields are not named."""
    name = _field_name(tokenizer)
    field = message.fields_by_name.get(name) if message is not None else None
    path = f"{prefix}{name}"
    if message is not None and field is None:
        found.append(path)
    tokenizer.TryConsume(":")
    _walk_value(tokenizer, field.message_type if field is not None else None, f"{path}.", found)
    if not tokenizer.TryConsume(","):
        tokenizer.TryConsume(";")


def _field_name(tokenizer: text_format.Tokenizer) -> str:
    if not tokenizer.TryConsume("["):
        return tokenizer.ConsumeIdentifierOrNumber()
    # An extension, or the type of an Any.
    parts = ["["]
    while not tokenizer.TryConsume("]"):
        parts.append(tokenizer.token)
        tokenizer.NextToken()
    return "".join([*parts, "]"])


def _walk_value(tokenizer: text_format.Tokenizer, message: Descriptor | None, prefix: str, found: list[str]) -> None:
    token = tokenizer.token
    if token in _CLOSING:
        tokenizer.NextToken()
        while not tokenizer.TryConsume(_CLOSING[token]):
            _walk_field(tokenizer, message, prefix, found)
    elif tokenizer.TryConsume("["):
        while not tokenizer.TryConsume("]"):
            _walk_value(tokenizer, message, prefix, found)
            tokenizer.TryConsume(",")
    else:
        quoted = token[:1] in ("'", '"')
        tokenizer.NextToken()
        # Adjacent texts are one.
        while quoted and tokenizer.token[:1] in ("'", '"'):
            tokenizer.NextToken()
