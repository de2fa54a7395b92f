"""What is to be built: the pair of provider and precision, the options, and the key that names all of it. Pure."""

import hashlib
import json
from dataclasses import asdict, dataclass

from genai_runtime.errors import InvalidSettings

# What GenAI's builder 0.18 makes, as it lists it itself.
BUILDABLE: dict[str, tuple[str, ...]] = {
    "cpu": ("fp32", "int8", "int4"),
    "cuda": ("fp32", "fp16", "bf16", "int8", "int4"),
    "trt-rtx": ("fp16", "bf16"),
    "webgpu": ("int8", "int4"),
    "dml": ("fp16", "int4"),
}
BLOCK_SIZES = (16, 32, 64, 128, 256)
DEFAULT_BLOCK_SIZE = 32
DEFAULT_ACCURACY_LEVEL = 4
_MOST_ACCURACY_LEVEL = 4
_BUILDERS_NAMES = {"trt-rtx": "NvTensorRtRtx"}
_FORMAT = 1
"""Another number where this program makes something else of the same builder's work."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """`block_size` and `accuracy_level` are of int4, and 0 for every other precision."""

    provider: str
    precision: str
    block_size: int = 0
    accuracy_level: int = 0

    def key(self, source_digest: str, versions: str) -> str:
        """What names the result, in hex: the same source, request and versions are the same build."""
        named = {"format": _FORMAT, "source": source_digest, "versions": versions, **asdict(self)}
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()

    def arguments(self) -> list[str]:
        """For GenAI's builder, beside its folders. Code of the source is never run."""
        options = ["hf_remote=false", "hf_token=false"]
        if self.precision == "int4":
            options += [f"block_size={self.block_size}", f"accuracy_level={self.accuracy_level}"]
        provider = _BUILDERS_NAMES.get(self.provider, self.provider)
        return ["-p", self.precision, "-e", provider, "--extra_options", *options]


def request_of(
    provider: str, precision: str, block_size: int | None = None, accuracy_level: int | None = None
) -> BuildRequest:
    """Raises `InvalidSettings` for what the builder does not make."""
    made = BUILDABLE.get(provider)
    if made is None:
        raise InvalidSettings(f"--provider {provider[:40]!r}: the builder makes models for {', '.join(BUILDABLE)}")
    if precision not in made:
        raise InvalidSettings(
            f"--precision {precision[:40]!r}: for {provider} the builder makes {', '.join(made)}; choose one of them"
        )
    if precision != "int4":
        if block_size is not None or accuracy_level is not None:
            raise InvalidSettings("--int4-block-size and --int4-accuracy-level are for --precision int4")
        return BuildRequest(provider, precision)
    block = DEFAULT_BLOCK_SIZE if block_size is None else block_size
    level = DEFAULT_ACCURACY_LEVEL if accuracy_level is None else accuracy_level
    if block not in BLOCK_SIZES:
        raise InvalidSettings(f"--int4-block-size {block}: one of {', '.join(map(str, BLOCK_SIZES))}")
    if not 0 <= level <= _MOST_ACCURACY_LEVEL:
        raise InvalidSettings(f"--int4-accuracy-level {level}: 0 to {_MOST_ACCURACY_LEVEL}")
    return BuildRequest(provider, precision, block, level)
