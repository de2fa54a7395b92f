"""How a model's pods are scheduled, labelled and told of their surroundings. Types, bounds and rules, no behaviour.

What one installation lets models ask for is narrower, see `builders.permitted`; affinity is `affinity_spec.py`'s.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StrictInt, WithJsonSchema, model_validator

from genai_operator.api.affinity_spec import LabelSelector
from genai_operator.api.base import ApiModel, cel
from genai_operator.api.pod_fields import LabelName, Labels

# The operator's own, by which it finds pods, and by which Services and Deployments do.
RESERVED_PREFIXES = ("genai-operator.io/", "app.kubernetes.io/")
RESERVED_NAMES = ("pod-template-hash",)
RESERVED_EXPLANATION = "genai-operator.io/…, app.kubernetes.io/… and pod-template-hash are not yours to set"
_NOT_RESERVED = " && ".join(
    [f"!name.startsWith('{prefix}')" for prefix in RESERVED_PREFIXES] + [f"name != '{name}'" for name in RESERVED_NAMES]
)

OPERATORS_ENV = "GENAI_"
_ENV_EXPLANATION = f"names that begin with {OPERATORS_ENV} are the operator's own"

MAX_LABELS = 32
MAX_ENV = 32


def reserved(name: str) -> bool:
    """Whether a label's or annotation's name is the operator's own."""
    return name.startswith(RESERVED_PREFIXES) or name in RESERVED_NAMES


def _none_reserved(value: dict[str, str]) -> dict[str, str]:
    if any(reserved(name) for name in value):
        raise ValueError(RESERVED_EXPLANATION)
    return value


_UNRESERVED = cel(f"self.all(name, {_NOT_RESERVED})", RESERVED_EXPLANATION)

PodLabels = Annotated[
    Labels, Field(max_length=MAX_LABELS, json_schema_extra=_UNRESERVED), AfterValidator(_none_reserved)
]
PodAnnotations = Annotated[
    dict[LabelName, Annotated[str, Field(max_length=4096)]],
    Field(max_length=MAX_LABELS, json_schema_extra=_UNRESERVED),
    AfterValidator(_none_reserved),
]

# Its form is the API server's business; what it may change is `builders.overlay`'s.
PodTemplate = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
]


class EnvironmentVariable(ApiModel):
    """A variable of the model's container."""

    model_config = ConfigDict(json_schema_extra=cel(f"!self.name.startsWith('{OPERATORS_ENV}')", _ENV_EXPLANATION))

    name: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    value: str = Field(max_length=4096, description="As it stands: nothing in it is expanded.")

    @model_validator(mode="after")
    def _not_the_operators(self) -> Self:
        if self.name.startswith(OPERATORS_ENV):
            raise ValueError(_ENV_EXPLANATION)
        return self


def _differ_in_name(value: tuple[EnvironmentVariable, ...]) -> tuple[EnvironmentVariable, ...]:
    if len({each.name for each in value}) < len(value):
        raise ValueError("variables must differ in name")
    return value


Environment = Annotated[
    tuple[EnvironmentVariable, ...],
    Field(
        max_length=MAX_ENV,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
    AfterValidator(_differ_in_name),
]

_DOMAINS_EXPLANATION = "minDomains needs whenUnsatisfiable DoNotSchedule"


class TopologySpread(ApiModel):
    """How evenly pods are spread over nodes, zones or whatever a node's label tells apart."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'", _DOMAINS_EXPLANATION
        )
    )

    max_skew: StrictInt = Field(ge=1, le=1000)
    topology_key: LabelName
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: LabelSelector | None = Field(
        default=None, description="Which pods are counted. Absent: this model's own."
    )
    match_label_keys: tuple[Literal["pod-template-hash"], ...] = Field(
        default=(), max_length=1, description="pod-template-hash: the pods of one roll-out are counted alone."
    )
    min_domains: StrictInt | None = Field(default=None, ge=1, le=1000)
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None

    @model_validator(mode="after")
    def _domains_where_they_bind(self) -> Self:
        if self.min_domains is not None and self.when_unsatisfiable != "DoNotSchedule":
            raise ValueError(_DOMAINS_EXPLANATION)
        return self


def _differ_in_topology(value: tuple[TopologySpread, ...]) -> tuple[TopologySpread, ...]:
    if len({(each.topology_key, each.when_unsatisfiable) for each in value}) < len(value):
        raise ValueError("constraints must differ in topologyKey or whenUnsatisfiable")
    return value


TopologySpreads = Annotated[
    tuple[TopologySpread, ...],
    Field(
        max_length=8,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["topologyKey", "whenUnsatisfiable"],
        },
    ),
    AfterValidator(_differ_in_topology),
]
