"""GenAI's model builder in a process of its own: its lines as log lines and as progress, its failure in words."""

import re
from collections.abc import Callable

import structlog

from genai_builder.children import Ended, run
from genai_builder.errors import build_failed, out_of_memory
from genai_builder.request import BuildRequest
from genai_builder.staging import Stage
from genai_runtime.memory_limit import memory_limit

_MODULE = "onnxruntime_genai.models.builder"
_LAYER = re.compile(r"Reading layer (\d+)")
_QUANTISED = "complete quantization of"
_BAR = re.compile(r"\d+%\||\d+it \[|it/s\]")
# Of no use without the lines that they belong to: places in a traceback, and progress bars.
_NOISE = re.compile(rf"{_BAR.pattern}|^Traceback|^File \"|^[~^ ]+$|^raise |^return |^\.{{3}}<")
_QUOTED = 5
_QUIET = "matmul_nbits_quantizer"
_MIB = 1 << 20
_log = structlog.get_logger("genai_builder")

Share = Callable[[float], None]
"""Told how much of this step is done, 0 to 1."""


def make(request: BuildRequest, stage: Stage, layers: int, share: Share) -> Ended:
    """Build `stage.source` into `stage.built`. Raises `ModelUnusable`."""
    folders = ["-i", str(stage.source), "-o", str(stage.built), "-c", str(stage.work / "builder")]
    ended = run(_MODULE, [*folders, *request.arguments()], stage.work, stage.environment(), _Lines(layers, share))
    if ended.code != 0:
        raise failure(ended, "the model builder", "model.build.resources.limits.memory")
    _log.info("built", peak_memory_mib=ended.peak_bytes // _MIB)
    return ended


class _Lines:
    """What a line tells of how far it is: reading layers is the first half, quantising them the second."""

    def __init__(self, layers: int, share: Share) -> None:
        self._layers = layers
        self._share = share
        self._quantised = 0

    def __call__(self, line: str) -> None:
        if _BAR.search(line):
            return
        (_log.debug if _QUIET in line else _log.info)("builder", line=line)
        if found := _LAYER.search(line):
            self._share(0.5 * min(1.0, (int(found[1]) + 1) / self._layers))
        elif _QUANTISED in line:
            self._quantised += 1
            per_layer = 5  # the products of a usual layer
            self._share(0.5 + 0.5 * min(1.0, self._quantised / (self._layers * per_layer + 1)))


def failure(ended: Ended, who: str, remedy: str) -> Exception:
    """Why a process of the build ended; what it said last is in it."""
    used, limit = ended.peak_bytes // _MIB, memory_limit() // _MIB
    if ended.code == -9:
        sure = "for its memory" if ended.killed_for_memory else "most likely for its memory"
        return out_of_memory(
            f"{who} was killed {sure}: it had used {used} MiB of the {limit} that there are; raise {remedy}"
        )
    lines = [line for line in ended.lines if not _NOISE.search(line)]
    said = lines[-1] if lines else "it said nothing"
    before = f"; before that: {' | '.join(lines[-_QUOTED:-1])}" if lines[1:] else ""
    return build_failed(f"{who} {ended.how}, with {used} MiB of memory at most: {said}{before}")
