"""`genai-runtime tune`: which settings serve a stated load best on this machine. What it does is `tuning`.

Its result is one JSON object on stdout and in the termination log (`tuning/result.py`). Failing, it leaves
`{"reason", "message"}` there, as `serve` does. The engine is set up as `serve` would, from the same GENAI_* variables.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from genai_runtime.cli.serving import ModelArgument, inspection_rules, locate, reason_of
from genai_runtime.errors import InvalidSettings, RuntimeServerError
from genai_runtime.front import logs
from genai_runtime.models.inspect import inspect_model
from genai_runtime.settings import load_settings

_MOST_CLIENTS, _MOST_TOKENS = 256, 1_048_576
_WORDS = {"enabled": True, "disabled": False}
_NONE = "none"

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
) -> None:
    """Measure which threads, spinning, batch size and prefill chunk serve a load best; prints one JSON object."""
    logs.configure("info")
    try:
        asked = _Asked(clients, prompt_tokens, new_tokens, seconds, slot, threads, spinning, batch, prefill_chunk)
        found = _tune(model, asked)
    except RuntimeServerError as error:
        logs.last_words(reason_of(error), error.message)
        raise
    line = json.dumps(found)
    print(line, flush=True)
    try:
        logs.leave(line)  # the operator reads the result there
    except OSError as error:
        print(f"genai-runtime: the termination log cannot be written: {error}", file=sys.stderr)


def _tune(model: str, asked: _Asked) -> dict[str, Any]:
    from genai_runtime.cli import launch  # takes a second to import, which the other commands do not need
    from genai_runtime.cpu_limit import usable_cpus
    from genai_runtime.tuning.load import measure_of
    from genai_runtime.tuning.plan import Candidate, Load, Sweep
    from genai_runtime.tuning.result import result
    from genai_runtime.tuning.sweep import Task, run

    settings = load_settings()
    clients = _numbers("--clients", asked.clients, _MOST_CLIENTS)
    if not clients:
        raise InvalidSettings("--clients: how many? Give one number or several")
    load = Load(clients, asked.prompt_tokens, asked.new_tokens)
    sweep = Sweep(
        threads=_numbers("--threads", asked.threads, 1024),
        spinning=_spinning(asked.spinning),
        batch=_numbers("--batch", asked.batch, 1024),
        prefill_chunk=_numbers("--prefill-chunk", asked.prefill_chunk, 8192, least=16),
    )
    folder, _ = locate(model or settings.model_dir)
    inspect_model(folder, inspection_rules(settings))
    spec = launch.engine_spec(settings, folder)
    present = Candidate(spec.intra_op_threads, spec.spinning, spec.max_concurrent, spec.prefill_chunk)
    task = Task(present, sweep, load, usable_cpus(), asked.seconds, asked.slot)
    return result(task, asyncio.run(run(task, measure_of(spec, settings.engine, load))))


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
