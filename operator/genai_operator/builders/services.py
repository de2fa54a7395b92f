"""How clients find a model: a Service with one address, and a headless one for clients that balance themselves.

The ServiceAccount of the pods is here too: it is a name and nothing else.
"""

from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import headless_service_name, selector_labels, service_account_name, service_name
from genai_operator.builders.metadata import child
from genai_operator.constants import PORT_GRPC, PORT_METRICS

_GRPC = {"name": "grpc", "port": PORT_GRPC, "targetPort": "grpc", "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"}
_METRICS = {"name": "metrics", "port": PORT_METRICS, "targetPort": "metrics", "protocol": "TCP"}


def service(model: GenAIModel) -> dict[str, Any]:
    """One address; a connection stays with one pod."""
    name = model.metadata.name
    spec = {"type": "ClusterIP", "selector": selector_labels(name), "ports": [dict(_GRPC)]}
    return child(model, "v1", "Service", service_name(name), spec=spec)


def headless_service(model: GenAIModel) -> dict[str, Any]:
    """The addresses of all Ready pods, for gRPC's round_robin and for scraping each pod."""
    name = model.metadata.name
    ports = [dict(_GRPC), dict(_METRICS)]
    spec = {"type": "ClusterIP", "clusterIP": "None", "selector": selector_labels(name), "ports": ports}
    return child(model, "v1", "Service", headless_service_name(name), spec=spec)


def service_account(model: GenAIModel) -> dict[str, Any]:
    """No rights, and no token in the pod."""
    name = service_account_name(model.metadata.name)
    return child(model, "v1", "ServiceAccount", name, automountServiceAccountToken=False)
