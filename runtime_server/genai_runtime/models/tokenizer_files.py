"""The tokenizer's and the chat template's files: sizes, the vocabulary against the model's, what libraries break on.

Whether the tokenizer's library can make one of it, and whether a template compiles, is found where they are loaded
(`front/tokenizer.py`, `front/template_sandbox.py`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genai_runtime.models.defects import Code, Findings, Unusable, shown
from genai_runtime.models.genai_config import walk
from genai_runtime.models.limits import Limits
from genai_runtime.models.strict_json import read_bytes

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"


def check_tokenizer(tokenizer: dict[str, Any], vocabulary_size: int, limits: Limits, findings: Findings) -> None:
    """The content of tokenizer.json. Raises `Unusable` where it has not the shape of a tokenizer."""
    highest, longest = -1, ""
    for count, (token, id_) in enumerate(_tokens(tokenizer)):
        if count >= limits.vocabulary:
            raise Unusable(Code.TOKENIZER_VOCABULARY, f"{TOKENIZER_FILE} has more than {limits.vocabulary} tokens")
        if not token or id_ < 0:
            raise Unusable(Code.TOKENIZER_INVALID, f"{TOKENIZER_FILE} has the token {shown(token)} with the id {id_}")
        highest = max(highest, id_)
        longest = max(longest, token, key=len)
    if highest < 0:
        raise Unusable(Code.TOKENIZER_INVALID, f"{TOKENIZER_FILE} has no tokens")
    if highest >= vocabulary_size:
        said = f"{TOKENIZER_FILE} has the id {highest}, and the model's vocabulary ends at {vocabulary_size - 1}"
        findings.add(Code.TOKENIZER_VOCABULARY, said)
    if len(longest.encode(errors="surrogatepass")) > limits.token_bytes:
        said = f"{TOKENIZER_FILE} has the token {shown(longest)} of {len(longest)} characters"
        findings.add(Code.TOKEN_TOO_LONG, f"{said}, and {limits.token_bytes} bytes are allowed")
    for where in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        for _, key, value in walk(tokenizer.get(where)):
            if key == "Regex" and isinstance(value, str) and len(value.encode()) > limits.pattern_bytes:
                said = f"{TOKENIZER_FILE}: {where} has a pattern of more than {limits.pattern_bytes} bytes"
                findings.add(Code.TOKENIZER_INVALID, said)


def _tokens(tokenizer: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """(token, id) of all: a vocabulary is an object, or a list in the order of the ids."""
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        for token, id_ in vocabulary.items():
            yield token, _id(id_)
    elif isinstance(vocabulary, list):
        for id_, entry in enumerate(vocabulary):
            token = entry[0] if isinstance(entry, list) and entry else None
            if not isinstance(token, str):
                raise Unusable(Code.TOKENIZER_INVALID, f"{TOKENIZER_FILE}: model.vocab[{id_}] is no token")
            yield token, id_
    else:
        raise Unusable(Code.TOKENIZER_INVALID, f"{TOKENIZER_FILE} has no vocabulary (model.vocab)")
    added = tokenizer.get("added_tokens") or []
    if not isinstance(added, list) or not all(isinstance(each, dict) for each in added):
        raise Unusable(Code.TOKENIZER_INVALID, f"{TOKENIZER_FILE}: added_tokens is not a list of objects")
    for each in added:
        token = each.get("content")
        if not isinstance(token, str):
            raise Unusable(Code.TOKENIZER_INVALID, f"{TOKENIZER_FILE}: an added token has no content")
        yield token, _id(each.get("id"))


def _id(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unusable(Code.TOKENIZER_INVALID, f"{TOKENIZER_FILE}: a token's id is {shown(value)}")
    return value


def check_template_file(path: Path, limits: Limits) -> None:
    """chat_template.jinja. Raises `Unusable`."""
    raw = read_bytes(path, TEMPLATE_FILE, limits.template_bytes, Code.TEMPLATE_TOO_LARGE)
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise Unusable(Code.NOT_UTF8, f"{TEMPLATE_FILE} is not UTF-8 at byte {error.start}") from None


def check_templates(config: dict[str, Any], limits: Limits, findings: Findings) -> None:
    """The chat templates in tokenizer_config.json: one text, or a list of objects with a name and a text each."""
    found = config.get("chat_template")
    if found is None:
        return
    entries = found if isinstance(found, list) else [{"name": "default", "template": found}]
    texts = [each.get("template") if isinstance(each, dict) else None for each in entries]
    for text in texts:
        if not isinstance(text, str):
            findings.add(Code.TEMPLATE_INVALID, f"{TOKENIZER_CONFIG_FILE}: chat_template is {shown(text)}, not a text")
        elif len(text) > limits.template_bytes:
            said = f"{TOKENIZER_CONFIG_FILE}: chat_template is longer than {limits.template_bytes} characters"
            findings.add(Code.TEMPLATE_TOO_LARGE, said)
