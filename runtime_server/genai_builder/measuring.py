"""The built model's perplexity against its source's: two processes, one after the other, over the same windows.

What cannot be measured is no failure of the build: the result then says why.
"""

import json
import re
from pathlib import Path
from typing import Any

import structlog

from genai_builder.children import run
from genai_builder.evaluation import Evaluation, write_windows
from genai_builder.making import Share, failure
from genai_builder.quality import Quality, Window, perplexity
from genai_builder.request import BuildRequest
from genai_builder.source_folder import Source
from genai_builder.staging import Stage
from genai_runtime.errors import RuntimeServerError
from genai_runtime.memory_limit import memory_limit
from genai_runtime.models.tokenizer_files import TOKENIZER_FILE

_WINDOW = re.compile(r"window (\d+)")
_FLOAT_BYTES = 4
_REMEDY = "model.build.resources.limits.memory"
_log = structlog.get_logger("genai_builder")


class NotMeasured(RuntimeServerError):
    """Why there is no figure."""


def measure(
    built: Path, source: Source, request: BuildRequest, evaluation: Evaluation, stage: Stage, share: Share
) -> dict[str, Any]:
    """`quality` of the result line: figures, or {"notMeasured": why}."""
    try:
        return _measured(built, source, request, evaluation, stage, share).told()
    except (RuntimeServerError, ValueError, OSError) as error:
        why = error.message if isinstance(error, RuntimeServerError) else str(error)
        _log.warning("the quality is not measured", reason=why)
        return {"notMeasured": why}


def _measured(
    built: Path, source: Source, request: BuildRequest, evaluation: Evaluation, stage: Stage, share: Share
) -> Quality:
    found = evaluation.windows(source.folder / TOKENIZER_FILE, source.vocabulary_size)
    _check_context(found, source)
    _check_memory(source, found)
    windows = stage.work / "windows.json"
    write_windows(windows, found)
    tokens = sum(each.scored for each in found)
    arguments = [str(built), request.provider, str(windows)]
    of_built = _run("measure_built", arguments, stage, len(found), lambda done: share(done / 2))
    arguments = [str(stage.source), str(windows)]
    of_source = _run("measure_reference", arguments, stage, len(found), lambda done: share(0.5 + done / 2))
    return Quality(perplexity(of_built, tokens), perplexity(of_source, tokens), tokens, evaluation.name)


def _check_context(found: list[Window], source: Source) -> None:
    longest = max(len(each.tokens) for each in found)
    if longest >= source.context_length:
        raise NotMeasured(
            f"the model's context of {source.context_length} tokens is shorter than the {longest} that are fed at once"
        )


def _check_memory(source: Source, found: list[Window]) -> None:
    """Better than to be killed, with the whole container, when all else is done."""
    logits = max(len(each.tokens) for each in found) * source.vocabulary_size * _FLOAT_BYTES
    needed, limit = source.parameters * _FLOAT_BYTES + 2 * logits, memory_limit()
    if needed > limit:
        raise NotMeasured(
            f"the source in fp32, against which it is measured, needs {needed >> 20} MiB of memory, and there are "
            f"{limit >> 20}; raise {_REMEDY} to have it measured"
        )


def _run(module: str, arguments: list[str], stage: Stage, count: int, share: Share) -> float:
    result = stage.work / f"{module}.json"

    def told(line: str) -> None:
        if window := _WINDOW.fullmatch(line):
            share(int(window[1]) / count)
        else:
            _log.debug("measuring", line=line)

    ended = run(f"genai_builder.{module}", [*arguments, str(result)], stage.work, stage.environment(), told)
    if ended.code != 0:
        raise failure(ended, f"measuring ({module})", _REMEDY)
    said = json.loads(result.read_text(encoding="utf-8"))
    if "notMeasured" in said:
        raise NotMeasured(said["notMeasured"])
    return float(said["total"])
