"""What a model folder may be like beside the plain one, and that looking at any folder ends, with a code or without."""

import contextlib
import copy
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_runtime.engine.genai_capi import Config, GenAIError, Model
from genai_runtime.errors import ModelUnusable
from genai_runtime.front.chat import ChatTemplate
from genai_runtime.front.defaults import read_limits
from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.models.defects import REMEDIES, Code
from genai_runtime.models.genai_config import TYPES
from genai_runtime.models.inspect import find_defects
from genai_runtime.models.limits import Rules
from genai_runtime.settings import Settings
from support.engines import HELLO_MODEL
from support.malicious_folders import KINDS

RULES = Rules(provider="cpu", on_cpu=True)
PAGE = Path(__file__).parents[3] / "docs" / "model-folder.md"
# The weights are never read: what is changed in them is nobody's to find here.
FILES = sorted(path.name for path in HELLO_MODEL.iterdir() if path.name != "model.onnx.data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HELLO_MODEL, tmp_path / "model"))


def codes(folder: Path, rules: Rules = RULES) -> set[str]:
    return {defect.code.value for defect in find_defects(folder, rules)[1]}


def _as_a_config_map(folder: Path) -> None:
    """As the kubelet mounts one: a folder of its own for the content, and links over links."""
    hidden = folder / "..2026_03_01"
    hidden.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(hidden / path.name)
        path.symlink_to(f"..data/{path.name}")
    (folder / "..data").symlink_to(hidden.name)


def _with_more(folder: Path) -> None:
    for name in ("README.md", ".gitattributes", "original/config.json", "a folder/b.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")


def _config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "genai_config.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return apply


def _in_a_folder_of_its_own(folder: Path) -> None:
    (folder / "onnx").mkdir()
    for name in ("model.onnx", "model.onnx.data"):
        (folder / name).rename(folder / "onnx" / name)
    _config(lambda config: config["model"]["decoder"].update(filename="onnx/model.onnx"))(folder)


def _one_file_under_two_names(folder: Path) -> None:
    os.link(folder / "model.onnx.data", folder / "copy.data")


def _hub_tokenizer_config(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "model_max_length": int(1e30), "auto_map": None}))


GOOD: dict[str, Callable[[Path], object]] = {
    "plain": lambda folder: None,
    "ConfigMap": _as_a_config_map,
    "other files": _with_more,
    "graph below": _in_a_folder_of_its_own,
    "two names inside": _one_file_under_two_names,
    "no limit, as the hub writes it": _hub_tokenizer_config,
    "options that do nothing": _config(
        lambda config: config["model"]["decoder"]["session_options"].update({"session.intra_op.allow_spinning": "0"})
    ),
    "the provider's own options": _config(
        lambda config: config["model"]["decoder"]["session_options"].update(provider_options=[{"cpu": {}}])
    ),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_folder_has_no_defects(folder: Path, kind: str) -> None:
    GOOD[kind](folder)
    model, defects = find_defects(folder, RULES)
    assert defects == []
    assert model is not None
    assert model.size_bytes == sum((HELLO_MODEL / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))


def test_a_folder_that_is_a_link_is_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder.name)
    assert codes(tmp_path / "link") == set()


def test_all_defects_are_told_at_once(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("no")
    (folder / "model.onnx").write_bytes(b"")
    _config(lambda config: config["search"].update(top_k=-1))(folder)
    assert codes(folder) == {"NotJson", "NotOnnx", "ConfigValue"}


def test_a_model_for_another_provider_is_taken_where_that_is_asked_for(folder: Path) -> None:
    options = [{"cuda": {"enable_cuda_graph": "1"}}]
    _config(lambda config: config["model"]["decoder"]["session_options"].update(provider_options=options))(folder)
    assert codes(folder) == {"ProviderContradicts"}
    assert codes(folder, Rules(provider="cuda")) == codes(folder, Rules()) == set()


def test_every_code_has_a_remedy_a_folder_and_a_row_on_the_page() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert explained == {code.value for code in Code}
    assert set(REMEDIES) == set(Code)
    archives = {Code.ARCHIVE_UNSAFE, Code.ARCHIVE_BROKEN}  # tests/unit/runtime/test_archive.py
    elsewhere = {Code.FOLDER_MISSING, Code.NOT_A_FOLDER, Code.UNREADABLE}
    assert {code for code, _ in KINDS.values()} == {code.value for code in set(Code) - archives - elsewhere}


def test_what_is_no_folder_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert codes(tmp_path / "nothing") == {"FolderMissing"}
    assert codes(tmp_path / "file") == {"NotAFolder"}


@pytest.mark.model
def test_the_known_types_are_those_of_genai(folder: Path) -> None:
    """A type of another kind of model fails later, for files that this folder lacks."""

    def answer(type_: str) -> str:
        _config(lambda config: config["model"].update(type=type_))(folder)
        try:
            with Config(folder) as config:
                Model(config).close()
        except GenAIError as error:
            return str(error)
        return ""

    unknown = {type_ for type_ in sorted(TYPES) if "Unsupported model_type" in answer(type_)}
    assert unknown == set()
    assert "Unsupported model_type" in answer("nothing")


BAD_TEMPLATES = {
    "deep loops": "{% for a in [1] %}" * 25 + "{% endfor %}" * 25,
    "deep branches": "{% if 1 %}" * 200 + "{% endif %}" * 200,
    "a long number": "{{ " + "9" * 5000 + " }}",
    "no end": "{% if 1 %}",
}


@pytest.mark.parametrize("kind", BAD_TEMPLATES)
def test_a_template_that_does_not_compile_is_said_so(folder: Path, kind: str) -> None:
    """Python's compiler has limits of its own, and words of its own for them."""
    (folder / "chat_template.jinja").write_text(BAD_TEMPLATES[kind])
    with pytest.raises(ModelUnusable, match=r"^TemplateInvalid: .* does not compile: "):
        ChatTemplate.from_folder(folder)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_tokenizer_that_its_library_panics_on_is_said_so(folder: Path) -> None:
    """A panic is no Exception, and ended the process."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["continuing_subword_prefix"] = "x" * 3000
    path.write_text(json.dumps(content))
    with pytest.raises(ModelUnusable, match=r"^TokenizerInvalid: "):
        TextTokenizer.from_folder(folder)


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, int, int]:
    return draw(st.sampled_from(FILES)), draw(st.integers(0, 2**32)), draw(st.integers(1, 12))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations())
def test_any_change_of_a_file_ends_in_a_code_or_is_fine(tmp_path: Path, mutation: tuple[str, int, int]) -> None:
    name, seed, count = mutation
    folder = tmp_path / "model"
    if not folder.exists():
        shutil.copytree(HELLO_MODEL, folder)
    path, whole = folder / name, (HELLO_MODEL / name).read_bytes()
    path.write_bytes(_changed(bytearray(whole), random.Random(seed), count))
    model, defects = find_defects(folder, RULES)
    assert model is not None or defects
    assert all(defect.message.isprintable() for defect in defects)
    path.write_bytes(whole)


_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 2**40, 1.5, 1e300, "", "x" * 3000, "../x", "/etc/passwd", "\0", "\ud800", "NaN"),
    *([], {}, [[]], {"a": 1}, [1, 2, 3], {"Regex": "("}, {"Regex": "(a+)+$"}, [{"cuda": {"backend_path": "/x"}}]),
)
_KEYS = ("type", "model", "vocab", "filename", "session_options", "provider_options", "added_tokens", "x")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([name for name in FILES if name.endswith(".json")]), st.integers(0, 2**32))
def test_any_other_content_ends_in_a_code_or_is_read(tmp_path: Path, name: str, seed: int) -> None:
    """What is well-formed JSON still, and something else than it was; the libraries that read it may say so as well."""
    folder = tmp_path / "model"
    if not folder.exists():
        shutil.copytree(HELLO_MODEL, folder)
    path, whole = folder / name, (HELLO_MODEL / name).read_bytes()
    path.write_text(json.dumps(_other(json.loads(whole), random.Random(seed))))
    model, defects = find_defects(folder, RULES)
    assert model is not None or defects
    if not defects:
        for read in (TextTokenizer.from_folder, ChatTemplate.from_folder, lambda at: read_limits(at, Settings())):
            with contextlib.suppress(ModelUnusable):
                read(folder)
    path.write_bytes(whole)


def _other(content: Any, chance: random.Random) -> Any:
    for _ in range(chance.randrange(1, 4)):
        # Large parts hold nearly all places: the rare ones are as interesting.
        places = [place for group in _places(content) for place in chance.sample(group, min(len(group), 5))]
        parent, key = chance.choice(places)
        if isinstance(parent, dict) and chance.random() < 0.3:
            parent.pop(key, None)
            key = chance.choice(_KEYS)
        parent[key] = copy.deepcopy(chance.choice(_VALUES))  # a list among them may be changed next
    return content


def _places(content: Any) -> list[list[tuple[Any, Any]]]:
    """(parent, key) of every value, by parent."""
    groups, rest = [], [content]
    while rest:
        value = rest.pop()
        if isinstance(value, dict | list) and value:
            keys = list(value) if isinstance(value, dict) else range(len(value))
            groups.append([(value, key) for key in keys])
            rest += [value[key] for key in keys]
    return groups


def _changed(data: bytearray, chance: random.Random, count: int) -> bytes:
    """Bytes changed, put in, taken out, doubled; numbers made large; ends cut off."""
    for _ in range(count):
        if not data:
            break
        at, length = chance.randrange(len(data)), chance.choice((1, 2, 8, 64, 1024))
        match chance.randrange(7):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                data[at:at] = chance.randbytes(length)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length] * chance.choice((1, 2, 50))
            case 4:
                data[at : at + length] = b"\xff" * length
            case 5:
                data[at : at + 1] = chance.choice(
                    (b"[", b"{", b'"', b"-1", b"1e999", b"null", b"NaN", b"\\u0000", b",")
                )
            case 6:
                del data[at:]
    return bytes(data)
