"""How large the parts of a model folder may be, and what else is a person's choice about it.

The bounds are generous: the largest models that people serve are far below each. What is beyond them is a defect, and
what keeps looking at a folder cheap. What the defects are called is `defects.py`'s.
"""

from dataclasses import dataclass, field

_KIB, _MIB, _TIB = 1 << 10, 1 << 20, 1 << 40


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one folder. Lengths of names are bytes of UTF-8, sizes are bytes."""

    total_bytes: int = 4 * _TIB
    files: int = 4096  # and folders and links
    depth: int = 8  # folders in folders
    name_bytes: int = 255
    path_bytes: int = 1024

    config_bytes: int = 1 * _MIB  # genai_config.json
    json_bytes: int = 96 * _MIB  # any other JSON file; tokenizers of large vocabularies are tens of megabytes
    json_values: int = 8_000_000  # in one file: each takes memory, however short it is written
    json_depth: int = 64

    template_bytes: int = 64 * _KIB  # of a chat template, which takes seconds to compile at that size
    vocabulary: int = 4_000_000
    context_length: int = 1 << 24
    token_bytes: int = 1000  # of one token: with longer ones the engine of grammars panics
    pattern_bytes: int = 4096  # of a regular expression in tokenizer.json

    graph_fields: int = 1_000_000  # of one ONNX file, counted as its structure is walked
    graph_depth: int = 32  # graphs in attributes of nodes of graphs
    tensor_dimensions: int = 32
    tensor_elements: int = 1 << 48

    archive_ratio: int = 200  # of what comes out of an archive to what it is itself, beyond `ratio_free_bytes`
    ratio_free_bytes: int = 256 * _MIB


DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class Rules:
    """What a folder is looked at for. `provider`, as the spec writes it; None: what it will run on is not known yet.

    `on_cpu`: a CPU may compute it.
    """

    provider: str | None = None
    on_cpu: bool = False
    custom_operators: bool = False
    limits: Limits = field(default_factory=Limits)
