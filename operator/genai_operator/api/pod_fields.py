"""Fields with the meaning they have in a pod: resources, tolerations, references. Only their types and bounds."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StrictInt, model_validator

from genai_operator.api.base import ApiModel, cel
from genai_operator.api.quantity import Quantity, parse_quantity

_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_NAME = f"{_DNS_LABEL}([.]{_DNS_LABEL})*"
# prefix/name, or a name alone: what labels, taints and resources are called.
QUALIFIED_NAME = f"^({_DNS_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"

LabelName = Annotated[str, Field(min_length=1, max_length=317, pattern=QUALIFIED_NAME)]
Labels = dict[LabelName, Annotated[str, Field(max_length=63, pattern=LABEL_VALUE)]]
# What most objects may be called; a namespace's name is a part of host names, and shorter.
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=f"^{_DNS_NAME}$")]
NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern=f"^{_DNS_LABEL}$")]

# Those of every node, or a device plugin's; a cluster gives no others to a container.
ResourceName = Annotated[
    str,
    Field(
        max_length=128, pattern=f"^(cpu|memory|ephemeral-storage|{_DNS_NAME}/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$"
    ),
]
ResourceList = Annotated[dict[ResourceName, Quantity], Field(max_length=16)]

_REQUESTS_RULE = "resources.requests must not exceed resources.limits"
_DEVICES_RULE = (
    "resources of a device plugin, such as nvidia.com/gpu, are whole numbers in resources.limits; requests, if any, "
    "are equal, and none is called kubernetes.io/…"
)


class Resources(ApiModel):
    """Requests and limits of the model's container. What is set replaces that whole list."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "self.requests.all(name, !(name in self.limits) || "
            "quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
            _REQUESTS_RULE,
            (
                "self.limits.all(name, !name.contains('/') || "
                "(!name.contains('kubernetes.io/') && quantity(string(self.limits[name])).isInteger())) && "
                "self.requests.all(name, !name.contains('/') || (name in self.limits && "
                "quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) == 0))",
                _DEVICES_RULE,
            ),
        )
    )

    requests: ResourceList = Field(
        default={"cpu": "100m", "memory": "256Mi"}, description="What the node must have free for a pod."
    )
    limits: ResourceList = Field(
        default={"cpu": "2", "memory": "2Gi"},
        description="What a pod may use. The CPU limit is also the number of threads where threads.intraOp is auto.",
    )

    @model_validator(mode="after")
    def _requests_within_limits(self) -> Self:
        for name, requested in self.requests.items():
            if name in self.limits and parse_quantity(requested) > parse_quantity(self.limits[name]):
                raise ValueError(f"{_REQUESTS_RULE}: {name} {requested} > {self.limits[name]}")
        return self

    @model_validator(mode="after")
    def _whole_devices(self) -> Self:
        limits = {name: parse_quantity(limit) for name, limit in self.limits.items() if "/" in name}
        whole = all(limit == limit.to_integral_value() for limit in limits.values())
        ours = any("kubernetes.io/" in name for name in limits)
        equal = all(limits.get(name) == parse_quantity(each) for name, each in self.requests.items() if "/" in name)
        if ours or not whole or not equal:
            raise ValueError(_DEVICES_RULE)
        return self


_EXISTS_HAS_NO_VALUE = "a toleration with operator Exists has no value"
_ALL_KEYS_EXIST = "a toleration without a key needs operator Exists"
_SECONDS_EVICT = "tolerationSeconds needs effect NoExecute"


class Toleration(ApiModel):
    """As in a pod."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "!has(self.value) || !has(self.operator) || self.operator != 'Exists'",
            _EXISTS_HAS_NO_VALUE,
            ("has(self.key) || (has(self.operator) && self.operator == 'Exists')", _ALL_KEYS_EXIST),
            ("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')", _SECONDS_EVICT),
        )
    )

    key: str | None = Field(default=None, max_length=317, pattern=QUALIFIED_NAME)
    operator: Literal["Exists", "Equal"] | None = None
    value: str | None = Field(default=None, max_length=63, pattern=LABEL_VALUE)
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: StrictInt | None = Field(default=None, ge=0, le=31_536_000)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError(_EXISTS_HAS_NO_VALUE)
        if self.key is None and self.operator != "Exists":
            raise ValueError(_ALL_KEYS_EXIST)
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError(_SECONDS_EVICT)
        return self


class LocalObjectReference(ApiModel):
    """An object of this namespace, by name."""

    name: str = Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
