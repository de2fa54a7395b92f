"""What the commands write into a model's annotations, and what stands in their way. Pure; waiting is the commands'."""

from collections.abc import Mapping
from typing import Any

from genai_kubectl.decisions.acknowledgement import annotated, declared
from genai_kubectl.decisions.quantities import parse_duration
from genai_kubectl.errors import WrongUsage
from genai_kubectl.names import ANNOTATION_CANCEL, ANNOTATION_DRAIN, ANNOTATION_TERMINATE_SESSION

LEVELS = ("debug", "info", "warning", "error")
_NO_FIELD = (
    "say which requests: --request-id, --client, --older-than or --tokens-over; a request must match all of them"
)


def resume_changes(model: Mapping[str, Any]) -> dict[str, str | None]:
    """Annotations that make a model serve again: halting ones go away, or say "0" where a weaker source halts."""
    changes: dict[str, str | None] = {}
    for annotation in (ANNOTATION_TERMINATE_SESSION, ANNOTATION_DRAIN):
        if declared(model, annotation) not in (None, "0"):
            changes[annotation] = "0"
        elif annotated(model, annotation) is not None:
            changes[annotation] = None
    return changes


def cancel_rule(request_id: str, client: str, older_than: str, tokens_over: int | None) -> str:
    """The annotation's value. The operator checks it; here only what could change its meaning is refused.

    Raises:
        WrongUsage: no field was given, or a name has a comma or an equals sign in it.
    """
    fields: dict[str, str] = {}
    for name, value in (("request-id", request_id), ("client", client)):
        if "," in value or "=" in value:
            raise WrongUsage(f"--{name} {value!r}: no such name has a comma or an equals sign")
        fields |= {name: value} if value else {}
    if older_than:
        fields["older-than"] = seconds_text(older_than, "--older-than")
    if tokens_over is not None:
        fields["tokens-over"] = str(tokens_over)
    if not fields:
        raise WrongUsage(_NO_FIELD)
    return ",".join(f"{name}={value}" for name, value in fields.items())


def standing_rule(model: Mapping[str, Any]) -> str:
    """A cancel rule that somebody else's annotation holds; empty without one."""
    value = annotated(model, ANNOTATION_CANCEL)
    return "" if value in (None, "", "0") else str(value)


def seconds_text(text: str, option: str) -> str:
    """A duration as annotations have it, in whole seconds, for example "90s". Raises `WrongUsage`."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise WrongUsage(f"{option}: {error}") from None
    if seconds < 1 or seconds != int(seconds):
        raise WrongUsage(f"{option}: {text!r} must be whole seconds, one at least")
    return f"{int(seconds)}s"
