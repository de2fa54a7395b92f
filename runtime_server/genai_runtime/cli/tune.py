"""`genai-runtime tune`: which settings serve a stated load best on this machine. What it does is `tuning`.

Its result is one JSON object on stdout, and in the termination log (`tuning/result.py`). Failing, it leaves
`{"reason", "message"}` there, as `serve` does. The engine is set up as `serve` would, from the same GENAI_* variables.
"""

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genai_runtime.cli.serving import ModelArgument, inspection_rules, locate, reason_of
from genai_runtime.errors import InvalidSettings, RuntimeServerError
from genai_runtime.front import logs
from genai_runtime.models.inspect import inspect_model
from genai_runtime.models.limits import Rules
from genai_runtime.settings import load_settings

if TYPE_CHECKING:
    from genai_runtime.tuning.variants import Variant

_MOST_CLIENTS, _MOST_TOKENS = 256, 1_048_576
_WORDS = {"enabled": True, "disabled": False}
_NONE = "none"
_MOST_VARIANTS = 7  # the present one among them
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_PRESENT = "present"

Values = Annotated[
    str | None, typer.Option(metavar="A,B", help="Values to try; none: leave it. Left out: what makes sense here.")
]


@dataclass(frozen=True, slots=True)
class _Asked:
    """The command line; lists as text."""

    clients: str
    prompt_tokens: int
    new_tokens: int
    seconds: float
    slot: float | None
    threads: str | None
    spinning: str | None
    batch: str | None
    prefill_chunk: str | None
    variants: Sequence[str]
    most_increase: float


def tune(  # noqa: PLR0913 - each is a flag
    model: ModelArgument = "",
    clients: Annotated[str, typer.Option(metavar="N,M", help="Clients that ask at the same time.")] = "1,8",
    prompt_tokens: Annotated[int, typer.Option(min=1, max=_MOST_TOKENS, help="Of each prompt.")] = 64,
    new_tokens: Annotated[int, typer.Option(min=1, max=_MOST_TOKENS, help="Of each answer.")] = 64,
    seconds: Annotated[float, typer.Option(min=1, max=86400, help="About how long it may take.")] = 300.0,
    slot: Annotated[float | None, typer.Option(min=0.05, max=600, help="Seconds of one measurement.")] = None,
    threads: Values = None,
    spinning: Annotated[
        str | None, typer.Option(metavar="enabled,disabled", help="The same for waiting busily.")
    ] = None,
    batch: Values = None,
    prefill_chunk: Values = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="Another build of the same model to measure; once for each."),
    ] = None,
    max_perplexity_increase: Annotated[
        float,
        typer.Option(min=0, max=1000, metavar="PERCENT", help="Over fp32; a build that lost more is not recommended."),
    ] = 5.0,
) -> None:
    """Measure which threads, spinning, batch size and prefill chunk serve a load best; prints one JSON object."""
    logs.configure("info")
    try:
        asked = _Asked(
            *(clients, prompt_tokens, new_tokens, seconds, slot, threads, spinning, batch, prefill_chunk),
            variant or (),
            max_perplexity_increase,
        )
        found = _tune(model, asked)
    except RuntimeServerError as error:
        logs.last_words(reason_of(error), error.message)
        raise
    print(json.dumps(found), flush=True)
    try:
        logs.leave(_left(found))
    except OSError as error:
        print(f"genai-runtime: the termination log cannot be written: {error}", file=sys.stderr)


def _left(found: dict[str, Any]) -> str:
    """What the operator reads."""
    from genai_runtime.tuning.result import brief

    return json.dumps(brief(found) if "variants" in found else found, separators=(",", ":"))


def _tune(model: str, asked: _Asked) -> dict[str, Any]:
    from genai_runtime.cli import launch  # takes a second to import, which the other commands do not need
    from genai_runtime.cpu_limit import usable_cpus
    from genai_runtime.tuning.load import measure_of
    from genai_runtime.tuning.plan import Candidate, Load, Sweep
    from genai_runtime.tuning.result import result
    from genai_runtime.tuning.sweep import Task, run
    from genai_runtime.tuning.variants import refusals

    settings = load_settings()
    clients = _numbers("--clients", asked.clients, _MOST_CLIENTS)
    if not clients:
        raise InvalidSettings("--clients: how many? Give one number or several")
    load = Load(clients, asked.prompt_tokens, asked.new_tokens)
    folder, _ = locate(model or settings.model_dir)
    rules = inspection_rules(settings)
    inspect_model(folder, rules)
    variants, mine = _variants(folder, asked.variants, rules)
    refused = refusals(variants, asked.most_increase)
    sweep = Sweep(
        threads=_numbers("--threads", asked.threads, 1024),
        spinning=_spinning(asked.spinning),
        batch=_numbers("--batch", asked.batch, 1024),
        prefill_chunk=_numbers("--prefill-chunk", asked.prefill_chunk, 8192, least=16),
        variants=tuple(each.name for each in variants),
    )
    spec = launch.engine_spec(settings, folder)
    present = Candidate(spec.intra_op_threads, spec.spinning, spec.max_concurrent, spec.prefill_chunk, mine)
    task = Task(present, sweep, load, usable_cpus(), asked.seconds, asked.slot, frozenset(refused))
    measure = measure_of(spec, settings.engine, load, {each.name: each.folder for each in variants})
    return result(task, asyncio.run(run(task, measure)), variants, refused)


def _variants(model: Path, asked: Sequence[str], rules: Rules) -> tuple[list["Variant"], str]:
    """All of them, and the name of the one that is the model; none and "" where none are asked for."""
    from genai_runtime.tuning.variants import variant_of

    folders: dict[str, Path] = {}
    for text in asked:
        name, separator, folder = text.partition("=")
        if _NAME.fullmatch(name) is None or not separator or not folder:
            raise InvalidSettings(f"--variant {text[:80]!r}: give NAME=DIR, NAME of a-z, 0-9 and -, at most 32")
        if name in folders:
            raise InvalidSettings(f"--variant: there are two of the name {name}")
        folders[name] = Path(folder)
    if not folders:
        return [], ""
    own = next((name for name, folder in folders.items() if folder.resolve() == model.resolve()), "")
    if not own and _PRESENT in folders:
        raise InvalidSettings(f"--variant: {_PRESENT} is the model's own name; give another")
    every = folders if own else {_PRESENT: model, **folders}
    if len(every) > _MOST_VARIANTS:
        raise InvalidSettings(f"--variant: at most {_MOST_VARIANTS}, the present one among them")
    found = [variant_of(name, folder, inspect_model(folder, rules).size_bytes) for name, folder in every.items()]
    return found, own or _PRESENT


def _numbers(flag: str, text: str | None, most: int, least: int = 1) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = [] if text == _NONE else text.split(",")
    try:
        numbers = tuple(int(part) for part in parts)
    except ValueError:
        raise InvalidSettings(f"{flag}: {text!r} is not a list of numbers such as 1,2,4") from None
    if any(not least <= number <= most for number in numbers):
        raise InvalidSettings(f"{flag}: each number is from {least} to {most}")
    return numbers


def _spinning(text: str | None) -> tuple[bool, ...] | None:
    if text is None:
        return None
    parts = [] if text == _NONE else text.split(",")
    if not set(parts) <= _WORDS.keys():
        raise InvalidSettings(f"--spinning: {text!r} is neither enabled nor disabled, nor both with a comma")
    return tuple(_WORDS[part] for part in parts)
