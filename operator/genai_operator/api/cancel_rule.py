"""The live option `cancel`: which requests a standing rule ends, for example `client=batch-job,older-than=30s`.

Its form, its parts and the rule that the API server checks. Ending requests is the pods' work.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from genai_operator.api.base import cel
from genai_operator.api.duration import PATTERN as DURATION
from genai_operator.api.duration import between, between_rule, parse_duration

MAX_CANCEL_LENGTH = 400
_LEAST_AGE, _MOST_AGE = "1s", "24h"
# As pods check a request's id, and as they name clients: an API key's name or a peer's address.
_PARTS = {
    "request-id": "[A-Za-z0-9._-]{1,64}",
    "client": "[A-Za-z0-9._:-]{1,253}",
    "older-than": DURATION,
    "tokens-over": "[1-9][0-9]{0,6}",
}
CANCEL_EXPLANATION = (
    'must be "0" for none, or a list such as "client=batch-job,older-than=30s" of request-id=ID, client=NAME, '
    f"older-than=DURATION ({_LEAST_AGE} to {_MOST_AGE}) and tokens-over=NUMBER (1 or more), each once at most"
)

_PART = "({})".format("|".join(f"{name}={form}" for name, form in _PARTS.items()))
_FORM = f"{_PART}(,{_PART}){{0,3}}"
_age = between(_LEAST_AGE, _MOST_AGE)


@dataclass(frozen=True, slots=True)
class CancelRule:
    """A request is ended when it matches every part that is set: not empty, not 0."""

    request_id: str = ""
    client: str = ""
    older_than_seconds: float = 0.0
    tokens_over: int = 0


def parse_cancel(value: str) -> CancelRule | None:
    """The rule; None for "" and "0".

    Raises:
        ValueError: it is none that `cancel` has; the message is what it must be.
    """
    if value in ("", "0"):
        return None
    if len(value) > MAX_CANCEL_LENGTH or re.fullmatch(_FORM, value) is None:
        raise ValueError(CANCEL_EXPLANATION)
    pairs = [part.partition("=")[::2] for part in value.split(",")]
    parts = dict(pairs)
    if len(parts) < len(pairs):
        raise ValueError(CANCEL_EXPLANATION)
    age = parts.get("older-than")
    try:
        seconds = float(parse_duration(_age(age))) if age is not None else 0.0
    except ValueError:
        raise ValueError(CANCEL_EXPLANATION) from None
    return CancelRule(
        request_id=parts.get("request-id", ""),
        client=parts.get("client", ""),
        older_than_seconds=seconds,
        tokens_over=int(parts.get("tokens-over", "0")),
    )


def check_cancel(value: str) -> str:
    """The value itself. Raises ValueError when it is none that `cancel` has."""
    parse_cancel(value)
    return value


def _rule() -> str:
    """CEL. No part's value has an equals sign in it, so the parts are counted by their names."""
    once = " && ".join(f"size(self.split('{name}=')) <= 2" for name in _PARTS)
    prefix = "older-than="
    ages = f"self.split(',').filter(part, part.startsWith('{prefix}'))"
    bounds = between_rule(_LEAST_AGE, _MOST_AGE, f"age.substring({len(prefix)})")
    return f"self in ['', '0'] || (self.matches('^{_FORM}$') && {once} && {ages}.all(age, {bounds}))"


Cancel = Annotated[
    str,
    AfterValidator(check_cancel),
    Field(max_length=MAX_CANCEL_LENGTH, json_schema_extra=cel(_rule(), CANCEL_EXPLANATION)),
]
