"""API keys and TLS from Secrets: who gets in, and that a changed Secret is used without a restart."""

import base64
from collections.abc import Callable, Iterator

import pytest

from support.certificates import Authority, Pair
from support.client_pod import ClientPod
from support.live_cluster import LiveCluster, Object, wait_until
from support.model_resource import ModelAccess, genai_model

ANSWER = "The capital of France is Paris."
# The kubelet looks at a Secret when it syncs the pod, which any change of the pod's metadata makes it do.
ROTATION_SECONDS = 120


def secret(name: str, namespace: str, **data: bytes) -> Object:
    encoded = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": encoded}


def renew(model: ModelAccess, changed: Object) -> None:
    """Replaces a Secret's data and has the kubelet look at it now rather than within the minute."""
    name = changed["metadata"]["name"]
    old = model.cluster.get("Secret", name, model.namespace)
    assert old is not None
    patch = {"data": {**dict.fromkeys(old["data"]), **changed["data"]}}
    model.cluster.patch("Secret", name, model.namespace, patch)
    for pod in model.pods():
        annotations = {"metadata": {"annotations": {"test/looked-at": pod["metadata"]["resourceVersion"]}}}
        model.cluster.patch("Pod", pod["metadata"]["name"], model.namespace, annotations)


def restarts(model: ModelAccess) -> dict[str, int]:
    """Changes when a pod is replaced or its container restarted."""
    return {pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in model.pods()}


class Certificates:
    """A server certificate for a model, and what its clients show."""

    def __init__(self, model: ModelAccess) -> None:
        self.authority = Authority()
        self.model = model
        self.server = self.authority.issue(model.address.partition(":")[0])

    def secret(self) -> Object:
        return secret("certificate", self.model.namespace, tls_crt=self.server.certificate, tls_key=self.server.key)

    def trust(self) -> dict[str, str]:
        """The client's option to trust it."""
        return {"authority": base64.b64encode(self.authority.certificate).decode()}


def shown(pair: Pair) -> dict[str, str]:
    """The client's options to show a certificate."""
    return {
        "certificate": base64.b64encode(pair.certificate).decode(),
        "private_key": base64.b64encode(pair.key).decode(),
    }


@pytest.fixture(scope="module")
def keyed(cluster: LiveCluster, new_namespace: Callable[[], str]) -> Iterator[ModelAccess]:
    """A model that asks for keys."""
    model = ModelAccess(cluster, "hello", new_namespace())
    cluster.create(secret("keys", model.namespace, team_a=b"first-key"))
    cluster.create(genai_model("hello", model.namespace, server={"apiKeys": {"secretName": "keys"}}))
    model.wait_ready()
    yield model
    cluster.delete("GenAIModel", "hello", model.namespace)


@pytest.fixture(scope="module")
def certified(cluster: LiveCluster, new_namespace: Callable[[], str]) -> Iterator[tuple[ModelAccess, Certificates]]:
    """A model that speaks TLS."""
    model = ModelAccess(cluster, "hello", new_namespace())
    certificates = Certificates(model)
    cluster.create(certificates.secret())
    cluster.create(genai_model("hello", model.namespace, server={"tls": {"secretName": "certificate"}}))
    model.wait_ready()
    yield model, certificates
    cluster.delete("GenAIModel", "hello", model.namespace)


def test_without_a_key_nothing_is_generated(keyed: ModelAccess, client: ClientPod) -> None:
    url = keyed.status()["endpoints"]["http"]
    assert client.ask(keyed.address) == ("", "UNAUTHENTICATED")
    assert client.ask(keyed.address, key="another") == ("", "UNAUTHENTICATED")
    assert client.ask_http(url, "hello") == ("", 401)
    assert client.ask_http(url, "hello", key="another") == ("", 401)
    assert client.ask(keyed.address, key="first-key") == (ANSWER, "OK")
    assert client.ask_http(url, "hello", key="first-key") == (ANSWER, 200)


def test_a_changed_key_works_without_a_restart(keyed: ModelAccess, client: ClientPod) -> None:
    before = restarts(keyed)
    renew(keyed, secret("keys", keyed.namespace, team_b=b"second-key"))
    taken = lambda: client.ask(keyed.address, key="second-key") == (ANSWER, "OK")  # noqa: E731
    wait_until("the new key is taken", taken, ROTATION_SECONDS)
    assert client.ask(keyed.address, key="first-key") == ("", "UNAUTHENTICATED")
    assert client.ask_http(keyed.status()["endpoints"]["http"], "hello", key="first-key") == ("", 401)
    assert restarts(keyed) == before


def test_tls_on_both_ports(certified: tuple[ModelAccess, Certificates], client: ClientPod) -> None:
    model, certificates = certified
    url = model.status()["endpoints"]["http"]
    assert url.startswith("https://")
    assert client.ask(model.address, **certificates.trust()) == (ANSWER, "OK")
    assert client.ask_http(url, "hello", **certificates.trust()) == (ANSWER, 200)
    in_plain_text = client.ask(model.address, connect_seconds=2)
    assert in_plain_text == ("", "UNCONNECTED")


def test_a_changed_certificate_is_used_without_a_restart(
    certified: tuple[ModelAccess, Certificates], client: ClientPod
) -> None:
    model, old = certified
    before, new = restarts(model), Certificates(model)
    renew(model, new.secret())

    used = lambda: client.ask(model.address, connect_seconds=2, **new.trust()) == (ANSWER, "OK")  # noqa: E731
    wait_until("the new certificate is used", used, ROTATION_SECONDS)
    assert client.ask_http(model.status()["endpoints"]["http"], "hello", **new.trust()) == (ANSWER, 200)
    assert client.ask(model.address, connect_seconds=2, **old.trust()) == ("", "UNCONNECTED")
    assert restarts(model) == before
    model.wait_ready()


def test_clients_must_show_a_certificate_where_an_authority_is_named(
    cluster: LiveCluster, namespace: str, client: ClientPod
) -> None:
    model = ModelAccess(cluster, "hello", namespace)
    certificates, clients = Certificates(model), Authority()
    cluster.create(certificates.secret())
    cluster.create(secret("clients", namespace, ca_crt=clients.certificate))
    tls = {"secretName": "certificate", "clientCASecretName": "clients"}
    cluster.create(genai_model("hello", namespace, server={"tls": tls}))
    model.wait_ready()
    trust = certificates.trust()
    assert client.ask(model.address, **trust, **shown(clients.issue("somebody"))) == (ANSWER, "OK")
    for stranger in ({}, shown(Authority().issue("somebody"))):
        assert client.ask(model.address, connect_seconds=2, **trust, **stranger)[1] in ("UNCONNECTED", "UNAVAILABLE")


def test_a_secret_that_is_missing_is_told_and_looked_for_again(
    apply_model: Callable[..., ModelAccess], client: ClientPod
) -> None:
    model = apply_model(server={"apiKeys": {"secretName": "keys"}})
    said = model.wait_condition("Ready", "False", "InvalidSpec", 60)
    assert "/etc/genai/api-keys" in said["message"]
    model.cluster.create(secret("keys", model.namespace, me=b"a-key"))
    model.wait_ready(seconds=ROTATION_SECONDS)
    assert client.ask(model.address, key="a-key") == (ANSWER, "OK")
