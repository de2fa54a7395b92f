"""The two kinds of resource: their names, parts and the columns kubectl shows. Printing them is `crd.py`'s work."""

from dataclasses import dataclass, field
from typing import Any

from genai_operator.api.base import ApiModel
from genai_operator.api.names import NAME_EXPLANATION, PROFILE_NAME_EXPLANATION
from genai_operator.api.profile_spec import GenAIProfileSpec
from genai_operator.api.profile_status import GenAIProfileStatus
from genai_operator.api.spec import GenAIModelSpec
from genai_operator.api.status_model import GenAIModelStatus
from genai_operator.constants import (
    KIND,
    PLURAL,
    PROFILE_KIND,
    PROFILE_PLURAL,
    PROFILE_SHORT_NAME,
    PROFILE_SINGULAR,
    SHORT_NAME,
    SINGULAR,
)

Column = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Definition:
    """One kind. `page` is the file in docs/ with its fields, `introduction` the words above them."""

    kind: str
    plural: str
    singular: str
    short_name: str
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    name_explanation: str
    columns: tuple[Column, ...]
    page: str
    introduction: str
    scale: dict[str, str] = field(default_factory=dict)


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Column:
    return {"name": name, "type": kind, "jsonPath": path} | ({"priority": 1} if wide else {})


_AGE = _column("Age", ".metadata.creationTimestamp", "date")
_READY = '.status.conditions[?(@.type=="Ready")]'

MODEL = Definition(
    kind=KIND,
    plural=PLURAL,
    singular=SINGULAR,
    short_name=SHORT_NAME,
    description="A model folder, served as a streaming gRPC endpoint by ONNX Runtime GenAI.",
    spec=GenAIModelSpec,
    status=GenAIModelStatus,
    name_explanation=NAME_EXPLANATION,
    scale={
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
    columns=(
        _column("Ready", f"{_READY}.status"),
        _column("Reason", f"{_READY}.reason"),
        _column("Replicas", ".status.readyReplicas", "integer"),
        _column("Provider", ".spec.provider"),
        _column("Tok/s", ".status.performance.tokensPerSecond", "number"),
        _AGE,
        _column("URI", ".spec.model.uri", wide=True),
        _column("Model", ".status.model.state", wide=True),
        _column("Fetched%", ".status.model.progress.percent", "integer", wide=True),
        _column("Build", ".status.build.state", wide=True),
        _column("Built%", ".status.build.percent", "integer", wide=True),
        _column("Engine", ".status.effective.engine", wide=True),
        _column("Precision", ".status.effective.precision", wide=True),
        _column("Endpoint", ".status.endpoints.grpc", wide=True),
    ),
    page="genaimodel.md",
    introduction="""\
Only `model.uri` must be said. The API server refuses what breaks a bound or a rule, and says which; an object that was
stored before a rule existed gets `Accepted=False`, reason `InvalidSpec`. What was chosen for what is left open is in
[status](status.md).
""",
)

PROFILE = Definition(
    kind=PROFILE_KIND,
    plural=PROFILE_PLURAL,
    singular=PROFILE_SINGULAR,
    short_name=PROFILE_SHORT_NAME,
    description="A profiling window on live pods of a GenAIModel, once: what was captured, and where its trace is.",
    spec=GenAIProfileSpec,
    status=GenAIProfileStatus,
    name_explanation=PROFILE_NAME_EXPLANATION,
    columns=(
        _column("Model", ".spec.model"),
        _column("Phase", ".status.phase"),
        _column("Pods", ".status.progress"),
        _column("Runs", ".status.capturedRuns", "integer"),
        _column("Overhead", ".status.overheadPercent", "number"),
        _AGE,
        _column("Top-Operator", ".status.topOperators[0].opType", wide=True),
        _column("Artifact", ".status.artifact.location", wide=True),
    ),
    page="genaiprofile.md",
    introduction="""\
Only `model` must be said: then all runs of all Ready pods are captured until the runtime's own caps (500 runs, 64Mi or
60 seconds on each pod). The API server refuses what breaks a bound or a rule, and says which. How it is used is in
[profiles](profiles.md).
""",
)

ALL = (MODEL, PROFILE)
