"""Model folders that are broken or made to do harm: each kind by its name, with the code that it ends in.

Every folder begins as a copy of the hello model beside a file `secret`, which no process may open.
"""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from support.engines import HELLO_MODEL

Change = Callable[[Path], object]
SECRET = "secret"
WEIGHTS = "model.onnx.data"


def make_folder(root: Path, kind: str) -> Path:
    """The folder of that kind, `root/model`; `root` is made, and holds the secret too."""
    folder = Path(shutil.copytree(HELLO_MODEL, root / "model", ignore=shutil.ignore_patterns(WEIGHTS)))
    for path in (folder / WEIGHTS, root / SECRET):  # nobody reads the weights: holes will do
        with path.open("wb") as file:
            file.truncate((HELLO_MODEL / WEIGHTS).stat().st_size)
    KINDS[kind][1](folder)
    return folder


def _config(change: Callable[[dict[str, Any]], object]) -> Change:
    return _json("genai_config.json", change)


def _session(**options: Any) -> Change:
    return _config(lambda config: config["model"]["decoder"]["session_options"].update(options))


def _provider(options: list[Any]) -> Change:
    return _session(provider_options=options)


def _json(name: str, change: Callable[[dict[str, Any]], object]) -> Change:
    def apply(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return apply


def _text(name: str, old: str, new: str) -> Change:
    return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new, 1))


def _graph(change: Callable[[onnx.ModelProto], object]) -> Change:
    def apply(folder: Path) -> None:
        model = onnx.load(folder / "model.onnx", load_external_data=False)
        change(model)
        (folder / "model.onnx").write_bytes(model.SerializeToString())

    return apply


def _first_external(model: onnx.ModelProto) -> TensorProto:
    return next(each for each in model.graph.initializer if each.external_data)


def _external(**values: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = _first_external(model)
        known = {entry.key: entry for entry in tensor.external_data}
        for key, value in values.items():
            entry = known.get(key) or tensor.external_data.add(key=key)
            entry.value = value

    return _graph(change)


def _dims(*dims: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = _first_external(model)
        del tensor.dims[:]
        tensor.dims.extend(dims)

    return _graph(change)


def _node(operator: str, domain: str, inputs: list[str], **attributes: Any) -> Change:
    node = helper.make_node(operator, inputs, ["made"], domain=domain, **attributes)
    return _graph(lambda model: model.graph.node.append(node))


def _in_an_attribute(folder: Path) -> None:
    """The weights of a constant inside a branch inside a node."""
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=f"../{SECRET}")
    inner = helper.make_node("Constant", [], ["c"], value=tensor)
    branch = helper.make_graph([inner], "b", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])])
    _node("If", "", ["condition"], then_branch=branch, else_branch=branch)(folder)


def _at_an_address(folder: Path) -> None:
    """As ONNX Runtime marks tensors that lie in its own memory; and a file of that name, so that it is there."""
    name = "*/_ORT_MEM_ADDR_/*"
    (folder / name).parent.mkdir(parents=True)
    (folder / WEIGHTS).rename(folder / name)
    _external(location=name)(folder)


def _nested_graphs(folder: Path) -> None:
    """Branches in branches, a thousand deep: made by hand, for no library would."""
    inside = b""
    for _ in range(1000):
        for tag in (0x32, 0x2A, 0x0A):  # attribute.g, node.attribute, graph.node
            inside = bytes([tag]) + _varint(len(inside)) + inside
    (folder / "model.onnx").write_bytes(b"\x3a" + _varint(len(inside)) + inside)


def _many_parts(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"\x3a" + _varint(20_000_000) + b"\x0a\x00" * 10_000_000)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _weights_become(make: Callable[[Path, Path], object]) -> Change:
    """`make(weights, secret)` puts something else in place of the weights."""
    return lambda folder: _instead(folder / WEIGHTS, lambda at: make(at, folder.parent / SECRET))


def _instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _linked_twice(folder: Path) -> None:
    """A link to a folder inside that is itself a link out."""
    (folder / "more").symlink_to("..")
    weights = folder / WEIGHTS
    weights.unlink()
    weights.symlink_to(f"more/{SECRET}")


def _socket(folder: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s")
    finally:
        os.chdir(here)


def _deep(folder: Path) -> None:
    (folder / "/".join("d" * 30)).mkdir(parents=True)


def _many(folder: Path) -> None:
    for number in range(4200):
        (folder / f"f{number}").touch()


def _accents(folder: Path) -> None:
    for name in ("\u00e9", "e\u0301"):
        (folder / name).touch()


def _sparse(folder: Path) -> None:
    with (folder / "zeros").open("wb") as file:
        file.truncate(5 << 40)


def _token(text: str, id_: int) -> Change:
    def change(tokenizer: dict[str, Any]) -> None:
        tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": id_, "content": text})

    return _json("tokenizer.json", change)


def _template(template: Any) -> Change:
    return _json("tokenizer_config.json", lambda config: config.update(chat_template=template))


def _pattern(tokenizer: dict[str, Any]) -> None:
    split = {"type": "Split", "pattern": {"Regex": "(a*)*" * 2000}, "behavior": "Isolated", "invert": False}
    tokenizer["pre_tokenizer"] = split


def _elf(name: str) -> Change:
    return lambda folder: (folder / name).write_bytes(b"\x7fELF" + bytes(60))


_EP_CONTEXT = {"embed_mode": 0, "ep_cache_context": f"../{SECRET}"}
_HUGE = "1" + "0" * 25
_Row = tuple[str, Change]

KINDS: dict[str, _Row] = {
    # Names, links and files of other kinds.
    "link to a file outside": ("LinkOutside", _weights_become(lambda at, secret: at.symlink_to(secret))),
    "relative link outside": ("LinkOutside", _weights_become(lambda at, secret: at.symlink_to(f"../{SECRET}"))),
    "link over a link outside": ("LinkOutside", _linked_twice),
    "link to a device": ("LinkOutside", _weights_become(lambda at, _: at.symlink_to("/dev/zero"))),
    "config is a link outside": (
        "LinkOutside",
        lambda f: _instead(f / "genai_config.json", lambda at: at.symlink_to("/etc/passwd")),
    ),
    "link in a circle": ("LinkOutside", _weights_become(lambda at, _: at.symlink_to(at.name))),
    "link to nothing": ("LinkBroken", _weights_become(lambda at, _: at.symlink_to("nothing"))),
    "hard link outside": ("HardLinkOutside", _weights_become(lambda at, secret: os.link(secret, at))),
    "queue": ("SpecialFile", _weights_become(lambda at, _: os.mkfifo(at))),
    "socket": ("SpecialFile", _socket),
    "name with a line break": ("BadName", lambda f: (f / "a\nb").touch()),
    "name shown backwards": ("BadName", lambda f: (f / "a\u202etxt.exe").touch()),
    "name with a backslash": ("BadName", lambda f: (f / "..\\..\\x").touch()),
    "name that is no UTF-8": ("BadName", lambda f: Path(os.fsdecode(os.fsencode(f) + b"/\xff")).touch()),
    "two names of different case": ("NamesCollide", lambda f: (f / "Genai_Config.json").touch()),
    "two spellings of an accent": ("NamesCollide", _accents),
    "deep folders": ("TooDeep", _deep),
    "many files": ("TooManyFiles", _many),
    "huge sparse file": ("TooLarge", _sparse),
    # JSON.
    "no config": ("FileMissing", lambda f: (f / "genai_config.json").unlink()),
    "config of two megabytes": ("JsonTooLarge", _text("genai_config.json", "{", "{" + " " * 2_000_000)),
    "deep JSON": ("JsonTooDeep", lambda f: (f / "genai_config.json").write_text("[" * 100_000)),
    "deep JSON that ends": ("JsonTooDeep", _config(lambda c: c.update(x=json.loads("[" * 200 + "]" * 200)))),
    "many values": ("JsonTooLarge", lambda f: (f / "tokenizer.json").write_text("[" + "[]," * 5_000_000)),
    "not UTF-8": ("NotUtf8", lambda f: (f / "genai_config.json").write_bytes(b'{"model": "\xff"}')),
    "byte order mark": ("NotUtf8", _text("genai_config.json", "{", "\ufeff{")),
    "not JSON": ("NotJson", lambda f: (f / "tokenizer.json").write_text("<html>")),
    "key twice": ("DuplicateKey", _text("genai_config.json", '"filename"', '"filename": "/etc/passwd", "filename"')),
    "NaN": ("NotANumber", _text("genai_config.json", "4096", "NaN")),
    "number beyond 64 bits": ("NotANumber", _text("genai_config.json", "4096", _HUGE)),
    # genai_config.json.
    "no decoder": ("ConfigIncomplete", _config(lambda c: c["model"].pop("decoder"))),
    "unknown type": ("TypeUnknown", _config(lambda c: c["model"].update(type="../../evil"))),
    "negative context": ("ConfigValue", _config(lambda c: c["model"].update(context_length=-1))),
    "endless vocabulary": ("ConfigValue", _config(lambda c: c["model"].update(vocab_size=2**31 - 1))),
    "endless layers": ("ConfigValue", _config(lambda c: c["model"]["decoder"].update(num_hidden_layers=2**30))),
    "search is no number": ("ConfigValue", _config(lambda c: c["search"].update(top_k="all"))),
    "end of text outside": ("TokenOutsideVocabulary", _config(lambda c: c["model"].update(eos_token_id=1280))),
    "padding outside": ("TokenOutsideVocabulary", _config(lambda c: c["model"].update(pad_token_id=-2))),
    "graph outside": ("FileOutside", _config(lambda c: c["model"]["decoder"].update(filename=f"../{SECRET}"))),
    "graph absolute": ("FileOutside", _config(lambda c: c["model"]["decoder"].update(filename="/etc/passwd"))),
    "encoder outside": ("FileOutside", _config(lambda c: c["model"].update(encoder={"filename": "/etc/passwd"}))),
    "pipeline outside": (
        "FileOutside",
        _config(lambda c: c["model"]["decoder"].update(pipeline=[{"a": {"filename": f"../{SECRET}"}}])),
    ),
    "vision config outside": (
        "FileOutside",
        _config(lambda c: c["model"].update(vision={"config_filename": f"../{SECRET}"})),
    ),
    "profile written": ("OptionOpensFiles", _session(enable_profiling="/tmp/owned")),
    "graph written": ("OptionOpensFiles", _session(**{"session.optimized_model_filepath": "/tmp/owned"})),
    "weights from elsewhere": (
        "OptionOpensFiles",
        _session(**{"session.model_external_initializers_file_folder_path": "/etc"}),
    ),
    "context written": ("OptionOpensFiles", _session(**{"ep.context_file_path": "/tmp/owned"})),
    "a path under another name": ("OptionOpensFiles", _session(**{"session.something": "/etc/passwd"})),
    "profile of runs": (
        "OptionOpensFiles",
        _config(lambda c: c["model"]["decoder"].update(run_options={"enable_profiling": "../owned"})),
    ),
    "option of the encoder": (
        "OptionOpensFiles",
        _config(lambda c: c["model"].update(encoder={"session_options": {"enable_profiling": "../owned"}})),
    ),
    "100,000 threads": ("OptionInvalid", _session(intra_op_num_threads=100_000)),
    "options that are none": ("OptionInvalid", _session(provider_options=["cuda"])),
    "library named": ("CustomOperators", lambda f: (_elf("evil.bin")(f), _session(custom_ops_library="evil.bin")(f))),
    "library in the folder": ("CustomOperators", _elf("libevil.so.1")),
    "provider's library": ("OptionOpensFiles", _provider([{"cpu": {"backend_path": "/tmp/evil.so"}}])),
    "another provider": ("ProviderContradicts", _provider([{"cuda": {"enable_cuda_graph": "1"}}])),
    # The graph and its weights.
    "no graph": ("FileMissing", lambda f: (f / "model.onnx").unlink()),
    "pointer of Git LFS": (
        "NotOnnx",
        lambda f: (f / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1\n"),
    ),
    "graph cut off": (
        "NotOnnx",
        lambda f: (f / "model.onnx").write_bytes((f / "model.onnx").read_bytes()[:20_000]),
    ),
    "length beyond the file": ("NotOnnx", lambda f: (f / "model.onnx").write_bytes(b"\x3a" + b"\xff" * 9 + b"\x01")),
    "graphs in graphs": ("GraphTooDeep", _nested_graphs),
    "millions of parts": ("GraphTooLarge", _many_parts),
    "negative size": ("TensorInvalid", _dims(-1, 256)),
    "size that overflows": ("TensorInvalid", _dims(2**40, 2**40)),
    "hundred dimensions": ("TensorInvalid", _dims(*[1] * 100)),
    "weights in the parent": ("ExternalDataOutside", _external(location=f"../{SECRET}")),
    "weights absolute": ("ExternalDataOutside", _external(location="/etc/passwd")),
    "weights over a folder": ("ExternalDataOutside", _external(location=f"x/../../{SECRET}")),
    "weights at an address": ("ExternalDataOutside", _at_an_address),
    "weights in a branch": ("ExternalDataOutside", _in_an_attribute),
    "weights missing": ("ExternalDataMissing", _external(location="other.data")),
    "weights cut off": ("ExternalDataCutOff", lambda f: os.truncate(f / WEIGHTS, 1000)),
    "offset beyond the file": ("ExternalDataCutOff", _external(offset=str(2**62))),
    "negative offset": ("ExternalDataInvalid", _external(offset="-4096")),
    "offset beyond 64 bits": ("ExternalDataInvalid", _external(offset=str(2**64))),
    "length of another shape": ("ExternalDataInvalid", _external(length="16")),
    "unknown operator": ("CustomOperators", _node("Steal", "com.evil", ["input_ids"])),
    "attention without bias": ("UnsafeOperator", _node("Attention", "com.microsoft", ["a", "b"], num_heads=1)),
    "context of a provider outside": ("FileOutside", _node("EPContext", "com.microsoft", ["a"], **_EP_CONTEXT)),
    # The tokenizer and the template.
    "tokenizer without tokens": ("TokenizerInvalid", _json("tokenizer.json", lambda t: t.update(model={}))),
    "token of no characters": ("TokenizerInvalid", _token("", 5)),
    "pattern of ten thousand bytes": ("TokenizerInvalid", _json("tokenizer.json", _pattern)),
    "token outside": ("TokenizerVocabulary", _token("<|more|>", 1280)),
    "token of a million bytes": ("TokenTooLong", _token("a" * 1_000_000, 1279)),
    "template of a megabyte": ("TemplateTooLarge", lambda f: (f / "chat_template.jinja").write_text("x" * 1_000_000)),
    "template in the config": ("TemplateTooLarge", _template("x" * 1_000_000)),
    "template that is no text": ("TemplateInvalid", _template([{"name": "default", "template": 5}])),
}
