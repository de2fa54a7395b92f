"""`halt`, `resume`, `drain`, `cancel`, `logs-level`: live options of a model, acknowledged by every pod."""

from typing import Annotated

import typer

from genai_kubectl.commands.waiting import change, pods_text, report, wait
from genai_kubectl.decisions.acknowledgement import cancelled
from genai_kubectl.decisions.live_options import LEVELS, cancel_rule, resume_changes, seconds_text, standing_rule
from genai_kubectl.errors import CommandFailed, TimedOut, WrongUsage
from genai_kubectl.names import (
    ANNOTATION_CANCEL,
    ANNOTATION_DRAIN,
    ANNOTATION_LOG_LEVEL,
    ANNOTATION_TERMINATE_SESSION,
    MODELS,
)
from genai_kubectl.options import Common, ModelName, Timeout
from genai_kubectl.output import note
from genai_kubectl.session import Session, seconds


def halt(name: ModelName, common: Common, timeout: Timeout = "60s") -> None:
    """End all running generations and refuse new ones; the weights stay loaded."""
    session = Session(common)
    model = change(session, name, {ANNOTATION_TERMINATE_SESSION: "1"}, seconds(timeout, "--timeout"))
    said = f"{name} is halted on {pods_text(model)}; serve again: kubectl genai resume {name}"
    report(session, model, {"terminateSession": "1"}, said)


def resume(name: ModelName, common: Common, timeout: Timeout = "60s") -> None:
    """Serve again after halt or drain."""
    session = Session(common)
    before = session.kube.get(MODELS, name)
    changes = resume_changes(before)
    model = change(session, name, changes, seconds(timeout, "--timeout")) if changes else before
    for annotation in (each for each, value in changes.items() if value == "0"):
        note(f"{annotation} is '0' now, for the spec or another controller asks otherwise; correct that, and remove it")
    said = f"{name} serves on {pods_text(model)}" if changes else f"{name} was neither halted nor draining"
    report(session, model, {"changed": sorted(changes)}, said)


def drain(
    name: ModelName,
    common: Common,
    deadline: Annotated[str, typer.Option(help="How long running requests may go on, 1s to 1h.")] = "30s",
    timeout: Timeout = "60s",
) -> None:
    """Refuse new requests; running ones may end until the deadline, then they are terminated."""
    session = Session(common)
    value = seconds_text(deadline, "--deadline")
    model = change(session, name, {ANNOTATION_DRAIN: value}, seconds(timeout, "--timeout"))
    said = f"{name} drains on {pods_text(model)} for {value} at most; serve again: kubectl genai resume {name}"
    report(session, model, {"drain": value}, said)


def logs_level(
    name: ModelName,
    level: Annotated[str, typer.Argument(metavar="LEVEL", help=f"{', '.join(LEVELS)}, or default to take it away.")],
    common: Common,
    timeout: Timeout = "60s",
) -> None:
    """Set the log level of live pods."""
    if level not in (*LEVELS, "default"):
        raise WrongUsage(f"{level!r} is no log level; it is one of {', '.join(LEVELS)} or default")
    session = Session(common)
    value = None if level == "default" else level
    model = change(session, name, {ANNOTATION_LOG_LEVEL: value}, seconds(timeout, "--timeout"))
    report(session, model, {"logLevel": level}, f"{name} logs at {level} on {pods_text(model)}")


def cancel(  # noqa: PLR0913 - a command's options
    name: ModelName,
    common: Common,
    request_id: Annotated[str, typer.Option(help="The request with this id.", show_default=False)] = "",
    client: Annotated[
        str, typer.Option(help="Requests of this client: an API key's name or an address.", show_default=False)
    ] = "",
    older_than: Annotated[str, typer.Option(help="Requests older than this, e.g. 30s.", show_default=False)] = "",
    tokens_over: Annotated[
        int | None, typer.Option(min=0, help="Requests with more generated tokens than this.", show_default=False)
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the rule: it goes on ending what comes to match.")
    ] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Take a rule away that was kept; ends nothing.")] = False,
    timeout: Timeout = "60s",
) -> None:
    """End the requests that match all that is given."""
    session = Session(common)
    within = seconds(timeout, "--timeout")
    if clear:
        if any((request_id, client, older_than, keep)) or tokens_over is not None:
            raise WrongUsage("--clear takes the rule away, and goes with no other option")
        model = change(session, name, {ANNOTATION_CANCEL: None}, within)
        report(session, model, {"cancel": None}, f"no cancel rule stands on {name}")
        return
    rule = cancel_rule(request_id, client, older_than, tokens_over)
    ended, model = _apply_rule(session, name, rule, within, keep=keep)
    count = "the matching requests" if ended is None else f"{ended} request" if ended == 1 else f"{ended} requests"
    said = f"{count} ended on {pods_text(model)} of {name} by {rule}"
    if keep:
        said += f"; the rule stands until: kubectl genai cancel {name} --clear"
    report(session, model, {"cancel": rule, "ended": ended, "kept": keep}, said)


def _apply_rule(
    session: Session, name: str, rule: str, within: float, *, keep: bool
) -> tuple[int | None, dict[str, object]]:
    """(requests ended, the model with every pod's answer); without `keep` the rule is gone, however it went."""
    before = session.kube.get(MODELS, name)
    standing = standing_rule(before)
    if standing and standing != rule:
        raise CommandFailed(
            f"{name!r} has a cancel rule already: {standing}; take it away first: kubectl genai cancel {name} --clear"
        )
    keep = keep or standing == rule
    session.kube.annotate(name, {ANNOTATION_CANCEL: rule})
    try:
        model = wait(session.kube, name, ANNOTATION_CANCEL, before, within)
    finally:
        if not keep:
            session.kube.annotate(name, {ANNOTATION_CANCEL: None})
    if not keep:
        _settle(session, name, model, within)
    return cancelled(model), model


def _settle(session: Session, name: str, with_rule: dict[str, object], within: float) -> None:
    """Waits until the pods have lost the rule, so that the same command can be given again at once."""
    try:
        wait(session.kube, name, ANNOTATION_CANCEL, with_rule, within)
    except TimedOut as error:
        note(f"warning: the rule is taken away, but {error}")
