"""The operator's own settings: environment variables `GENAI_OPERATOR_*`, read once at start.

What a single model needs is in its GenAIModel (`api/`), never here.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least severe lines that are printed."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _own_namespace() -> str:
    """The namespace of the operator's pod; `default` outside a cluster."""
    try:
        return _SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="ascii").strip() or "default"
    except OSError:
        return "default"


CommaSeparated = Annotated[tuple[str, ...], NoDecode]
# Those of the spec that an image may lack.
ProviderName = Annotated[str, Field(pattern="^(cuda|trt-rtx|openvino|webgpu|dml|qnn)$")]


class OperatorSettings(BaseSettings):
    """Everything that differs between two installations of the operator. Durations are seconds."""

    model_config = SettingsConfigDict(env_prefix="GENAI_OPERATOR_", frozen=True, extra="forbid", populate_by_name=True)

    runtime_image: str = Field(default="localhost/genai-runtime:dev", min_length=1, max_length=500)
    # Images that have a provider which runtime_image has not, by provider.
    runtime_images: dict[ProviderName, Annotated[str, Field(min_length=1, max_length=500)]] = {}
    # Of the Jobs that build models (spec.model.build); empty: none can be built.
    builder_image: str = Field(default="localhost/genai-builder:dev", max_length=500)
    image_pull_policy: str = Field(default="IfNotPresent", pattern="^(Always|IfNotPresent|Never)$")
    image_pull_secrets: CommaSeparated = ()
    # Whether the nodes can mount an image as a volume: models of oci:// are then the kubelet's to pull.
    image_volumes: bool = False
    # By which model pods fetch models; empty: none.
    http_proxy: str = Field(default="", max_length=512)
    https_proxy: str = Field(default="", max_length=512)
    no_proxy: str = Field(default="", max_length=4096)

    # What models may ask for; a name that ends with * stands for all that begin like it.
    pod_labels: CommaSeparated = ("kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class")
    pod_annotations: CommaSeparated = ()
    env: CommaSeparated = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "OTEL_*", "TZ")
    allow_pod_template: bool = False
    # What may scale models: HPA, KEDA. For each of them the operator needs rights of its own.
    autoscalers: Annotated[tuple[Literal["HPA", "KEDA"], ...], NoDecode] = ("HPA",)
    # The Prometheus that KEDA asks where a model does not say.
    prometheus_address: str = Field(default="", max_length=512, pattern="^(https?://.*)?$")

    # Empty: the whole cluster.
    namespaces: CommaSeparated = ()
    namespace: str = Field(
        default_factory=_own_namespace,
        validation_alias=AliasChoices("namespace", "GENAI_OPERATOR_NAMESPACE", "POD_NAMESPACE"),
    )
    identity: str = Field(
        default="genai-operator",
        max_length=253,
        validation_alias=AliasChoices("identity", "GENAI_OPERATOR_IDENTITY", "POD_NAME", "HOSTNAME"),
    )

    # A mounted Secret with tls.crt and tls.key.
    ca_dir: Path = Path("/etc/genai-operator/ca")

    workers: int = Field(default=16, ge=1, le=256)
    resync_seconds: float = Field(default=600.0, ge=1.0)
    push_deadline_seconds: float = Field(default=2.0, gt=0.0, le=60.0)
    push_parallel: int = Field(default=32, ge=1, le=1024)
    # How often each pod is asked whether it still has the options that it acknowledged.
    review_seconds: float = Field(default=60.0, ge=0.1)

    health_host: str = "127.0.0.1"
    health_port: int = Field(default=8080, ge=0, le=65535)

    leader_election: bool = True
    lease_name: str = Field(default="genai-operator", max_length=253, pattern="^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    lease_seconds: float = Field(default=15.0, ge=1.0)

    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.JSON

    @field_validator(
        "namespaces", "image_pull_secrets", "pod_labels", "pod_annotations", "env", "autoscalers", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
