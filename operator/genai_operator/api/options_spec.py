"""`spec.runtimeOptions`: the declared baseline of a model's live options, and which values those options have.

Merging it with the other sources is `runtime_options.py`'s work.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StrictInt, WithJsonSchema

from genai_operator.api.base import ApiModel, cel
from genai_operator.api.cancel_rule import Cancel
from genai_operator.api.duration import MAX_LENGTH as DURATION_LENGTH
from genai_operator.api.duration import WHOLE_PATTERN, between, between_rule, parse_duration
from genai_operator.api.quantity import MAX_LENGTH as QUANTITY_LENGTH
from genai_operator.api.quantity import Quantity, parse_quantity

MAX_LABEL_LENGTH = 40
# Words that people write for on and off; as labels they would open windows nobody asked for.
NOT_LABELS = ("disable", "disabled", "enable", "enabled", "false", "no", "none", "null", "off", "on", "true", "yes")

_LABEL = rf"[a-z][a-z0-9-]{{0,{MAX_LABEL_LENGTH - 1}}}"
PROFILING_EXPLANATION = (
    f'must be "0", "1" or a label: {MAX_LABEL_LENGTH} characters at most of a-z, 0-9 and -, starting with a letter, '
    "not a word for on or off"
)
SWITCH_EXPLANATION = 'must be "0" or "1"'
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_LEVEL_EXPLANATION = f"must be one of {', '.join(LOG_LEVELS)}"
_LEAST_DRAIN, _MOST_DRAIN = "1s", "1h"
DRAIN_EXPLANATION = (
    f'must be "0" or a duration in whole seconds from {_LEAST_DRAIN} to {_MOST_DRAIN}, for example 30s or 2m'
)

MIN_WINDOW_BYTES = 64 * 1024
MAX_WINDOW_BYTES = 512 * 1024**2


def check_enable_profiling(value: str) -> str:
    """The value itself. Raises ValueError when it is none that `enable-profiling` has."""
    if value in ("0", "1") or (re.fullmatch(_LABEL, value) is not None and value not in NOT_LABELS):
        return value
    raise ValueError(PROFILING_EXPLANATION)


def check_switch(value: str) -> str:
    """The value itself. Raises ValueError when it is none that `terminate-session` and `arena-shrinkage` have."""
    if value in ("0", "1"):
        return value
    raise ValueError(SWITCH_EXPLANATION)


def check_log_level(value: str) -> str:
    """The value itself. Raises ValueError when it is none that `log-level` has."""
    if value in LOG_LEVELS:
        return value
    raise ValueError(LOG_LEVEL_EXPLANATION)


def parse_drain(value: str) -> int:
    """The deadline in seconds; 0 for "0": no drain. Raises ValueError when it is none that `drain` has."""
    if value == "0":
        return 0
    try:
        return int(parse_duration(_drain_bounds(value)))
    except ValueError:
        raise ValueError(DRAIN_EXPLANATION) from None


def check_drain(value: str) -> str:
    """The value itself. Raises ValueError when it is none that `drain` has."""
    parse_drain(value)
    return value


def _drain_bounds(value: str) -> str:
    if re.fullmatch(WHOLE_PATTERN, value) is None:
        raise ValueError
    return between(_LEAST_DRAIN, _MOST_DRAIN)(value)


def _window_bytes(value: str) -> str:
    size = parse_quantity(value)
    if size != size.to_integral_value() or not MIN_WINDOW_BYTES <= size <= MAX_WINDOW_BYTES:
        raise ValueError("must be from 64Ki to 512Mi")
    return value


_not_labels = ", ".join(f"'{word}'" for word in NOT_LABELS)
EnableProfiling = Annotated[
    str,
    AfterValidator(check_enable_profiling),
    Field(
        max_length=MAX_LABEL_LENGTH,
        json_schema_extra=cel(
            f"self in ['0', '1'] || (self.matches('^{_LABEL}$') && !(self in [{_not_labels}]))", PROFILING_EXPLANATION
        ),
    ),
]
Switch = Annotated[
    str,
    AfterValidator(check_switch),
    Field(max_length=1, json_schema_extra=cel("self in ['0', '1']", SWITCH_EXPLANATION)),
]
LogLevel = Annotated[
    str,
    AfterValidator(check_log_level),
    Field(
        max_length=16,
        json_schema_extra=cel(
            "self in [{}]".format(", ".join(f"'{level}'" for level in LOG_LEVELS)), LOG_LEVEL_EXPLANATION
        ),
    ),
]
Drain = Annotated[
    str,
    AfterValidator(check_drain),
    Field(
        max_length=DURATION_LENGTH,
        json_schema_extra=cel(
            f"self == '0' || (self.matches('^{WHOLE_PATTERN}$') && {between_rule(_LEAST_DRAIN, _MOST_DRAIN)})",
            DRAIN_EXPLANATION,
        ),
    ),
]
WindowBytes = Annotated[
    Quantity,
    AfterValidator(_window_bytes),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": QUANTITY_LENGTH,
            **cel(
                "isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('64Ki')) >= 0 && "
                "quantity(string(self)).compareTo(quantity('512Mi')) <= 0",
                "must be from 64Ki to 512Mi",
            ),
        }
    ),
]


class ProfilingLimits(ApiModel):
    """Caps of a profiling window on each pod; it closes at the first that is reached. Absent: the runtime's default."""

    max_runs: StrictInt | None = Field(default=None, ge=1, le=1_000_000, description="Runs of the model.")
    max_bytes: WindowBytes | None = Field(default=None, description="Raw profile in bytes, a number or a quantity.")
    max_seconds: StrictInt | None = Field(default=None, ge=1, le=3600, description="Seconds since the window opened.")

    def max_bytes_value(self) -> int:
        """`max_bytes` in bytes; 0 when absent."""
        return 0 if self.max_bytes is None else int(parse_quantity(self.max_bytes))


class RuntimeOptionsSpec(ApiModel):
    """Live options as declared intent; editing them never restarts a pod."""

    enable_profiling: EnableProfiling | None = Field(
        default=None, description='"1" or a label opens a profiling window on each pod, "0" closes it.'
    )
    terminate_session: Switch | None = Field(
        default=None, description='"1" ends running generations and refuses new ones, "0" serves.'
    )
    log_level: LogLevel | None = Field(
        default=None, description="The least severe lines that pods log. Absent: as they were started."
    )
    arena_shrinkage: Switch | None = Field(
        default=None, description='"1" gives unused memory back to the node after each prompt.'
    )
    drain: Drain | None = Field(
        default=None,
        description='A duration refuses new requests and gives running ones this long to end, "0" serves.',
    )
    cancel: Cancel | None = Field(
        default=None, description='A standing rule: requests that match all of it are ended. "0": none.'
    )
    profiling_limits: ProfilingLimits = ProfilingLimits()
