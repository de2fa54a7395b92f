"""`spec.threads` and `spec.session`: ONNX Runtime's threads and the options of its session.

Every field is one whose effect was seen in the engine. What `auto` means is decided in the pod, by what its cgroup
says, and reported in `status.effective.threads`. No other key reaches ONNX Runtime, which takes any in silence. Rules
with the rest of the spec are `spec.py`'s.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictInt, WithJsonSchema, model_validator

from genai_operator.api.base import ApiModel, cel

MAX_THREADS = 1024
MAX_INTER_OP = 64

IntraOp = Annotated[
    Literal["auto"] | Annotated[StrictInt, Field(ge=1, le=MAX_THREADS)],
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 8,
            **cel(
                f"type(self) == string ? self == 'auto' : (self >= 1 && self <= {MAX_THREADS})",
                f"must be auto or a number from 1 to {MAX_THREADS}",
            ),
        }
    ),
]

# What may be set, and the pattern of its values. The runtime has the same list (`engine/session_entries.py`).
CONFIG_ENTRIES = {
    "optimization.enable_gelu_approximation": "[01]",
    "session.dynamic_block_base": "[0-9]{1,3}",
    "session.force_spinning_stop": "[01]",
    "session.graph_optimizations_loop_level": "[012]",
    "session.intra_op.spin_duration_us": "[0-9]{1,5}",
    "session.prepack.enable_parallel": "[01]",
    "session.set_denormal_as_zero": "[01]",
}
_KNOWN = ", ".join(CONFIG_ENTRIES)
_KEY_EXPLANATION = f"session.configEntries takes these keys: {_KNOWN}"
_VALUE_EXPLANATION = (
    "a value of session.configEntries must be 0 or 1; for graph_optimizations_loop_level also 2, for "
    "dynamic_block_base a number up to 999, for spin_duration_us one up to 99999"
)
_PATTERN_EXPLANATION = "session.memoryPattern needs executionMode sequential: ONNX Runtime plans no other"


def _known_entries(entries: dict[str, str]) -> dict[str, str]:
    if not entries.keys() <= CONFIG_ENTRIES.keys():
        raise ValueError(_KEY_EXPLANATION)
    if any(not re.fullmatch(CONFIG_ENTRIES[key], value) for key, value in entries.items()):
        raise ValueError(_VALUE_EXPLANATION)
    return entries


def _entry_rules() -> tuple[tuple[str, str], ...]:
    """CEL for `_known_entries`: the keys in one rule, the values in another."""
    keys = ", ".join(f"'{key}'" for key in CONFIG_ENTRIES)
    values = " && ".join(
        f"(!('{key}' in self) || self['{key}'].matches('^{pattern}$'))" for key, pattern in CONFIG_ENTRIES.items()
    )
    return (f"self.all(key, key in [{keys}])", _KEY_EXPLANATION), (values, _VALUE_EXPLANATION)


_KEYS_RULE, _VALUES_RULE = _entry_rules()

ConfigEntries = Annotated[
    dict[str, Annotated[str, Field(max_length=8)]],
    Field(max_length=len(CONFIG_ENTRIES), json_schema_extra=cel(*_KEYS_RULE, _VALUES_RULE)),
    AfterValidator(_known_entries),
]


class Threads(ApiModel):
    """Threads of ONNX Runtime."""

    intra_op: IntraOp = Field(
        default="auto",
        description="Threads of one operator. auto: the pod's CPU limit, rounded up; never the node's cores.",
    )
    inter_op: StrictInt | None = Field(
        default=None,
        ge=1,
        le=MAX_INTER_OP,
        description="Operators that run at the same time, with session.executionMode parallel. Absent: as intraOp.",
    )
    spinning: Literal["auto", "enabled", "disabled"] = Field(
        default="auto",
        description="Threads wait busily for work: faster, and uses the CPU limit while generating. auto: where the "
        "CPU limit is a whole number of CPUs, and no less than the threads; not where it is 1500m, or there is none.",
    )
    affinity: Literal["auto", "disabled"] | None = Field(
        default=None,
        description="auto: each thread stays on a CPU of its own where the kubelet gave the pod CPUs that nobody else "
        "has (class Guaranteed, static CPU manager). Absent: auto.",
    )


class Session(ApiModel):
    """Options of ONNX Runtime's session. What is absent is the engine's choice, which docs/session-options.md tells."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "!has(self.memoryPattern) || !self.memoryPattern || !has(self.executionMode) || "
            "self.executionMode == 'sequential'",
            _PATTERN_EXPLANATION,
        )
    )

    graph_optimization_level: Literal["disabled", "basic", "extended", "all"] | None = Field(
        default=None, description="How far the graph is rewritten when it is loaded. Absent: all."
    )
    execution_mode: Literal["sequential", "parallel"] | None = Field(
        default=None,
        description="parallel: operators that do not need each other run at the same time. Absent: sequential.",
    )
    memory_arena: StrictBool | None = Field(default=None, description="Keep freed CPU memory in an arena. Absent: yes.")
    memory_pattern: StrictBool | None = Field(
        default=None, description="Plan memory once for inputs of one shape. Absent: the engine's choice."
    )
    config_entries: ConfigEntries | None = Field(
        default=None, description=f"ONNX Runtime's own session entries: {_KNOWN}. Absent: the engine's choice."
    )

    @model_validator(mode="after")
    def _patterns_of_a_sequence(self) -> Self:
        if self.memory_pattern and self.execution_mode == "parallel":
            raise ValueError(_PATTERN_EXPLANATION)
        return self
