"""`genai-runtime ctl options`: shows and changes the live options of this pod, in the annotations' words.

What may be set is checked by the server, which names the option; here only the form is read.
"""

import json
import re
import time
from enum import StrEnum
from typing import Annotated

import typer

from genai_protocol.v1 import control_pb2 as pb
from genai_runtime.cli.control_client import SECONDS, Output, OutputOption, control, plain

_NONE = ("", "0")
_DURATION = re.compile(r"([0-9]+(?:[.][0-9]+)?)(ms|s|m|h)")
_FACTORS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_CANCEL_PARTS = ("request-id", "client", "older-than", "tokens-over")


class Switch(StrEnum):
    """As in the annotation."""

    OFF = "0"
    ON = "1"


def options(  # noqa: PLR0913 - one parameter an option
    terminate_session: Annotated[Switch | None, typer.Option(help="1 halts generation, 0 resumes it.")] = None,
    enable_profiling: Annotated[
        str | None, typer.Option(help="1 or a label opens a profiling window, 0 closes it.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error; 0: what the server was started with.")
    ] = None,
    arena_shrinkage: Annotated[
        Switch | None, typer.Option(help="1 gives unused memory back after each of a prompt's runs.")
    ] = None,
    drain: Annotated[
        str | None,
        typer.Option(help="A duration such as 30s: refuses new requests, and ends the others then. 0 serves again."),
    ] = None,
    cancel: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="Ends requests that match, until it is 0: request-id=ID, client=NAME, older-than=30s, "
            "tokens-over=500, joined by commas.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the applied runtime options; with an option, change that one and keep the others."""
    with control() as stub:
        state = stub.GetRuntimeOptions(pb.GetRuntimeOptionsRequest(), timeout=SECONDS)
        wanted = pb.RuntimeOptions()
        wanted.CopyFrom(state.options)
        if terminate_session is not None:
            wanted.terminate_session = terminate_session is Switch.ON
        if arena_shrinkage is not None:
            wanted.arena_shrinkage = arena_shrinkage is Switch.ON
        if log_level is not None:
            wanted.log_level = "" if log_level in _NONE else log_level
        _change_messages(wanted, enable_profiling, drain, cancel)
        given = (terminate_session, enable_profiling, log_level, arena_shrinkage, drain, cancel)
        if any(each is not None for each in given):
            request = pb.SetRuntimeOptionsRequest(revision=f"ctl-{time.time_ns()}", options=wanted)
            state = stub.SetRuntimeOptions(request, timeout=SECONDS)
    if output is Output.JSON:
        print(json.dumps(plain(state)))
        return
    for name, value in _shown(state).items():
        print(f"{name:<18} {value}")


def _change_messages(wanted: pb.RuntimeOptions, profiling: str | None, drain: str | None, cancel: str | None) -> None:
    """Options that are there or not."""
    if profiling is not None:
        wanted.ClearField("profiling")
        if profiling not in _NONE:
            wanted.profiling.label = "profile" if profiling == "1" else profiling
    if drain is not None:
        wanted.ClearField("drain")
        if drain not in _NONE:
            wanted.drain.deadline_seconds = _whole_seconds(drain)
    if cancel is not None:
        wanted.ClearField("cancel")
        if cancel not in _NONE:
            wanted.cancel.CopyFrom(_rule(cancel))


def _whole_seconds(text: str) -> int:
    seconds = _seconds("--drain", text)
    if seconds != int(seconds) or seconds >= 2**32:
        raise typer.BadParameter(f"--drain: {text!r:.40} is no whole number of seconds, or too many")
    return int(seconds)


def _rule(text: str) -> pb.CancelRule:
    rule = pb.CancelRule()
    seen: set[str] = set()
    for part in text.split(","):
        name, found, value = part.partition("=")
        if name not in _CANCEL_PARTS or not found or not value or name in seen:
            known = ", ".join(f"{each}=VALUE" for each in _CANCEL_PARTS)
            raise typer.BadParameter(f"--cancel: {part!r:.80} is none of {known}, each once at most")
        seen.add(name)
        if name == "older-than":
            rule.older_than_seconds = _seconds("--cancel", value)
        elif name == "tokens-over":
            rule.tokens_over = _count(value)
        else:
            setattr(rule, name.replace("-", "_"), value)
    return rule


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:11]) < 2**32):
        raise typer.BadParameter(f"--cancel: tokens-over={text!r:.40} is no number of tokens of 1 or more")
    return int(text)


def _seconds(option: str, text: str) -> float:
    parts = [match.groups() for match in _DURATION.finditer(text)]
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{option}: {text!r:.40} is no duration such as 30s or 1m30s")
    return sum(float(number) * _FACTORS[unit] for number, unit in parts)


def _shown(state: pb.RuntimeOptionsState) -> dict[str, object]:
    """By the annotations' names; then what else is known of them."""
    applied = state.options
    shown: dict[str, object] = {
        "terminate-session": int(applied.terminate_session),
        "enable-profiling": applied.profiling.label if applied.HasField("profiling") else 0,
        "log-level": applied.log_level or "as started",
        "arena-shrinkage": int(applied.arena_shrinkage),
        "drain": f"{applied.drain.deadline_seconds}s" if applied.HasField("drain") else 0,
        "cancel": f"{_words(applied.cancel)} ({state.cancelled_requests} ended)" if applied.HasField("cancel") else 0,
    }
    if applied.HasField("flight_recorder"):
        shown["flight-recorder"] = "on"
    if state.adapters:
        words = {value: name.rpartition("_")[2].lower() for name, value in pb.AdapterLoading.items()}
        shown["adapters"] = ", ".join(f"{each.name} ({words[each.state]})" for each in state.adapters)
    shown["requests"] = state.requests
    if state.unsupported:
        shown["unsupported"] = ", ".join(state.unsupported)
    return shown


def _words(rule: pb.CancelRule) -> str:
    parts = {
        "request-id": rule.request_id,
        "client": rule.client,
        "older-than": f"{rule.older_than_seconds:g}s" if rule.older_than_seconds else "",
        "tokens-over": rule.tokens_over or "",
    }
    return ",".join(f"{name}={value}" for name, value in parts.items() if value)
