"""`spec.affinity`: which nodes and neighbours a pod seeks, as in a pod, but with an end to every list. Types only.

What a pod has and this has not: `matchFields`, `namespaceSelector` and `matchLabelKeys` of pod terms.
"""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StrictInt, model_validator

from genai_operator.api.base import ApiModel, cel
from genai_operator.api.pod_fields import LABEL_VALUE, LabelName, Labels, NamespaceName

MAX_TERMS = 8
MAX_EXPRESSIONS = 16
MAX_VALUES = 32

LabelValue = Annotated[str, Field(max_length=63, pattern=LABEL_VALUE)]
Weight = Annotated[StrictInt, Field(ge=1, le=100)]

_VALUES_EXPLANATION = "operators In and NotIn need values, Exists and DoesNotExist have none"
_NODE_VALUES_EXPLANATION = (
    "operators In and NotIn need values, Gt and Lt one whole number, Exists and DoesNotExist have none"
)


class LabelRequirement(ApiModel):
    """What a label must be."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)", _VALUES_EXPLANATION
        )
    )

    key: LabelName
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[LabelValue, ...] = Field(default=(), max_length=MAX_VALUES)

    @model_validator(mode="after")
    def _values_where_needed(self) -> Self:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise ValueError(_VALUES_EXPLANATION)
        return self


class LabelSelector(ApiModel):
    """Which pods are meant: all of it must hold."""

    match_labels: Labels = Field(default_factory=dict, max_length=MAX_EXPRESSIONS)
    match_expressions: tuple[LabelRequirement, ...] = Field(default=(), max_length=MAX_EXPRESSIONS)


class NodeRequirement(ApiModel):
    """What a node's label must be."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : "
            "(self.operator in ['Gt', 'Lt'] ? has(self.values) && size(self.values) == 1 && "
            "self.values[0].matches('^[0-9]{1,18}$') : !has(self.values) || size(self.values) == 0)",
            _NODE_VALUES_EXPLANATION,
        )
    )

    key: LabelName
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: tuple[LabelValue, ...] = Field(default=(), max_length=MAX_VALUES)

    @model_validator(mode="after")
    def _values_where_needed(self) -> Self:
        fits = not self.values
        if self.operator in ("In", "NotIn"):
            fits = bool(self.values)
        elif self.operator in ("Gt", "Lt"):
            (value, *more) = self.values or ("",)
            fits = not more and value.isascii() and value.isdigit() and len(value) <= 18
        if not fits:
            raise ValueError(_NODE_VALUES_EXPLANATION)
        return self


class NodeTerm(ApiModel):
    """A kind of node: all of it must hold."""

    match_expressions: tuple[NodeRequirement, ...] = Field(min_length=1, max_length=MAX_EXPRESSIONS)


class NodeTerms(ApiModel):
    """One of these must hold."""

    node_selector_terms: tuple[NodeTerm, ...] = Field(min_length=1, max_length=MAX_TERMS)


class PreferredNode(ApiModel):
    """A kind of node that is better than others."""

    weight: Weight
    preference: NodeTerm


class NodeAffinity(ApiModel):
    """On which nodes pods may and should run."""

    required_during_scheduling_ignored_during_execution: NodeTerms | None = None
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredNode, ...] = Field(
        default=(), max_length=MAX_TERMS
    )


class PodTerm(ApiModel):
    """Other pods in the same topology, for example on the same node."""

    topology_key: LabelName
    label_selector: LabelSelector | None = Field(default=None, description="Absent: this model's own pods.")
    namespaces: tuple[NamespaceName, ...] = Field(
        default=(), max_length=MAX_EXPRESSIONS, description="Where those pods are. Absent: in the model's namespace."
    )


class PreferredPods(ApiModel):
    """Neighbours that are better, or worse, than others."""

    weight: Weight
    pod_affinity_term: PodTerm


class PodAffinity(ApiModel):
    """Beside which pods a pod must and should run, or must and should not."""

    required_during_scheduling_ignored_during_execution: tuple[PodTerm, ...] = Field(default=(), max_length=MAX_TERMS)
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredPods, ...] = Field(
        default=(), max_length=MAX_TERMS
    )


class Affinity(ApiModel):
    """Which nodes and neighbours pods seek and avoid."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None
