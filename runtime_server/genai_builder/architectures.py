"""Which architectures GenAI's builder knows: read in its own source, so that they are the installed release's."""

import ast
from importlib.util import find_spec
from pathlib import Path

_SPEECH = frozenset({"WhisperForConditionalGeneration"})
"""What the builder makes, and the runtime, which serves text, does not run."""


def builder_source() -> Path:
    """The file in which the builder tells architectures apart. Raises `FileNotFoundError` where it is not installed."""
    found = find_spec("onnxruntime_genai")
    folders = found.submodule_search_locations if found else None
    if not folders:
        raise FileNotFoundError("onnxruntime_genai is not installed")
    return Path(folders[0]) / "models" / "builder.py"


def known_architectures(source: Path | None = None) -> frozenset[str]:
    """As they are written in a config.json: `config.architectures[0] == NAME` for each NAME."""
    tree = ast.parse((source or builder_source()).read_text(encoding="utf-8"))
    compared = (node for node in ast.walk(tree) if isinstance(node, ast.Compare))
    names = (
        side.value
        for node in compared
        if ast.unparse(node.left) == "config.architectures[0]"
        for side in node.comparators
        if isinstance(side, ast.Constant) and isinstance(side.value, str)
    )
    return frozenset(names) - _SPEECH
