"""Names and labels that follow from a model's name. What they are put on is the builders' business."""

import re

from genai_operator.constants import LABEL_MODEL, MANAGED_BY, PORT_GRPC, PORT_HTTP

# A Service's name has at most 63 characters; the longest of ours adds `-headless` and leaves room for more.
MAX_NAME_LENGTH = 52
NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAME_EXPLANATION = (
    f"metadata.name becomes the name of a Service: at most {MAX_NAME_LENGTH} lower-case letters, digits and '-', "
    "starting with a letter"
)

PROFILE_NAME_EXPLANATION = (
    f"metadata.name becomes the name of a Job: at most {MAX_NAME_LENGTH} lower-case letters, digits and '-', "
    "starting with a letter"
)


def usable_name(name: str) -> bool:
    """Whether children can be named after a model of that name."""
    return len(name) <= MAX_NAME_LENGTH and re.fullmatch(NAME_PATTERN.strip("^$"), name) is not None


def deployment_name(model: str) -> str:
    return model


def service_name(model: str) -> str:
    return model


def headless_service_name(model: str) -> str:
    return f"{model}-headless"


def service_account_name(model: str) -> str:
    # Not the bare name: a model called `default` would take the namespace's own account.
    return f"{model}-model"


def disruption_budget_name(model: str) -> str:
    return model


def autoscaler_name(model: str) -> str:
    """Of its HorizontalPodAutoscaler or ScaledObject; KEDA's own autoscaler is called keda-hpa-… and fits as well."""
    return model


def control_tls_secret_name(model: str) -> str:
    return f"{model}-control-tls"


def collector_name(profile: str) -> str:
    """The Job that collects a profile's traces; what it adds still fits a Job's 63 characters."""
    return f"{profile}-collector"


def tuning_job_name(model: str) -> str:
    """The Job that finds a model's settings."""
    return f"{model}-tuning"


def build_job_name(model: str) -> str:
    """The Job that builds a model."""
    return f"{model}-build"


def collector_tls_secret_name(profile: str) -> str:
    return f"{profile}-collector-tls"


def selector_labels(model: str) -> dict[str, str]:
    """The labels that select a model's pods; they never change, a Deployment's selector is immutable."""
    return {LABEL_MODEL: model, "app.kubernetes.io/managed-by": MANAGED_BY}


def selector(model: str) -> str:
    """`selector_labels` in the form of `kubectl -l` and of the scale subresource."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector_labels(model).items()))


def grpc_endpoint(model: str, namespace: str) -> str:
    """Where in-cluster clients find the model: host:port."""
    return f"{service_name(model)}.{namespace}.svc:{PORT_GRPC}"


def http_endpoint(model: str, namespace: str, *, secured: bool) -> str:
    """Where its HTTP routes are; OpenAI's are under /v1 of it."""
    scheme = "https" if secured else "http"
    return f"{scheme}://{service_name(model)}.{namespace}.svc:{PORT_HTTP}"
