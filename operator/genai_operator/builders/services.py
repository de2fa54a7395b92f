"""How clients find a model: a Service with one address, and a headless one for clients that balance themselves.

The ServiceAccount of the pods is here too: it is a name and nothing else.
"""

from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import headless_service_name, selector_labels, service_account_name, service_name
from genai_operator.builders.metadata import child
from genai_operator.constants import PORT_GRPC, PORT_HTTP, PORT_METRICS

# How proxies and gateways are told what goes over a port: gRPC in plain text, HTTP/1.1, and TLS.
_PLAIN_GRPC, _HTTP, _TLS = "kubernetes.io/h2c", "http", "https"


def service(model: GenAIModel) -> dict[str, Any]:
    """One address; a connection stays with one pod."""
    name = model.metadata.name
    spec = {"type": "ClusterIP", "selector": selector_labels(name), "ports": _data_ports(model)}
    return child(model, "v1", "Service", service_name(name), spec=spec)


def headless_service(model: GenAIModel) -> dict[str, Any]:
    """The addresses of all Ready pods, for gRPC's round_robin and for scraping each pod."""
    name = model.metadata.name
    ports = [*_data_ports(model), _port("metrics", PORT_METRICS, _HTTP)]
    spec = {"type": "ClusterIP", "clusterIP": "None", "selector": selector_labels(name), "ports": ports}
    return child(model, "v1", "Service", headless_service_name(name), spec=spec)


def service_account(model: GenAIModel) -> dict[str, Any]:
    """No rights, and no token in the pod."""
    name = service_account_name(model.metadata.name)
    return child(model, "v1", "ServiceAccount", name, automountServiceAccountToken=False)


def _data_ports(model: GenAIModel) -> list[dict[str, Any]]:
    server = model.spec.server
    secured = server.tls is not None
    ports = [_port("grpc", PORT_GRPC, _TLS if secured else _PLAIN_GRPC)]
    if server.protocols.http:
        ports.append(_port("http", PORT_HTTP, _TLS if secured else _HTTP))
    return ports


def _port(name: str, port: int, protocol: str) -> dict[str, Any]:
    return {"name": name, "port": port, "targetPort": name, "protocol": "TCP", "appProtocol": protocol}
