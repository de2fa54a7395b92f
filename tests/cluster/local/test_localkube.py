"""The local cluster does what pods need of a Kubernetes, and opens no door of the machine. What runs on it is not
tested here."""

import ipaddress
import json
import subprocess
from pathlib import Path

import pytest

from imagebuild.recipes import RUNTIME
from localkube import node, places, process
from localkube.cluster import Cluster, CommandFailed
from localkube.local import FIRST, LocalCluster

SERVE = "python3 -m http.server 8080 --directory /opt/genai/models/hello"
FETCH = "import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1], timeout=20).status)"


def manifest(name: str, shell: str) -> dict[str, object]:
    """A pod that Pod Security's `restricted` admits."""
    container = {
        "name": "main",
        "image": RUNTIME.image,
        "command": ["sh", "-c", shell],
        "resources": {"limits": {"cpu": "250m", "memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }


@pytest.fixture(scope="module")
def pods(target: Cluster, namespace: str) -> str:
    """Two running pods, `server` (behind a Service of its name) and `client`; returns their namespace."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    objects = [manifest("server", SERVE), manifest("client", "echo hello; sleep infinity"), service]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    target.kubectl("apply", "--namespace", namespace, "--filename=-", input=text)
    target.kubectl("wait", "--namespace", namespace, "--for=condition=Ready", "pod/server", "pod/client")
    return namespace


def in_client(target: Cluster, namespace: str, *command: str) -> str:
    return target.kubectl("exec", "--namespace", namespace, "client", "--", *command)


def test_logs_come_from_the_kubelet(target: Cluster, pods: str) -> None:
    assert target.kubectl("logs", "--namespace", pods, "client") == "hello\n"


@pytest.mark.parametrize("name", ["server", "server.localkube-test", "server.localkube-test.svc.cluster.local"])
def test_a_pod_reaches_a_service_by_name(target: Cluster, pods: str, name: str) -> None:
    assert in_client(target, pods, "python3", "-c", FETCH, f"http://{name}/") == "200\n"


def test_a_pod_reaches_the_api_server(target: Cluster, pods: str) -> None:
    connect = "import socket; socket.create_connection(('kubernetes.default', 443), 20).close(); print('connected')"
    assert in_client(target, pods, "python3", "-c", connect) == "connected\n"


def test_this_machine_reaches_a_service(target: Cluster, pods: str) -> None:
    address = target.kubectl("get", "service", "server", "--namespace", pods, "--output=jsonpath={.spec.clusterIP}")
    assert target.kubectl("get", "--raw", f"/api/v1/namespaces/{pods}/services/server:80/proxy/genai_config.json")
    assert ipaddress.ip_address(address) in ipaddress.ip_network(places.SERVICE_NETWORK)


def test_nothing_leaves_the_machine(target: Cluster, pods: str) -> None:
    # an address reserved for documentation: an answer is impossible, an attempt is what shows
    attempt = (
        "import socket\n"
        "try: socket.create_connection(('203.0.113.1', 443), 10)\n"
        "except OSError as error: print(type(error).__name__, error.errno)"
    )
    assert in_client(target, pods, "python3", "-c", attempt) == "OSError 101\n"


def test_a_cpu_limit_is_the_cgroups(target: Cluster, pods: str) -> None:
    read = "cat /sys/fs/cgroup/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
    assert in_client(target, pods, "sh", "-c", read).split()[0] == "25000"


def test_pod_security_refuses_a_privileged_pod(target: Cluster, namespace: str) -> None:
    with pytest.raises(CommandFailed, match="violates PodSecurity"):
        target.kubectl("run", "--namespace", namespace, "forbidden", f"--image={RUNTIME.image}", "--privileged")


def test_up_leaves_a_healthy_cluster_alone(local: LocalCluster) -> None:
    before = process.load(local.state.processes)
    local.up()
    assert process.load(local.state.processes) == before
    assert local.status().running


def test_listeners_are_on_loopback_or_the_bridge(local: LocalCluster) -> None:
    first = process.load(local.state.processes)[FIRST]
    listening = {line.split()[3] for line in node.run_inside(first, "ss", "-ltnH").splitlines()}
    addresses = {ipaddress.ip_address(one.rpartition(":")[0].strip("[]").partition("%")[0]) for one in listening}
    allowed = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address(places.NODE_ADDRESS)}
    assert f"{places.NODE_ADDRESS}:{places.API_PORT}" in listening
    assert addresses == allowed


def test_the_machine_itself_has_no_rule_and_no_mount_of_the_cluster(local: LocalCluster, pods: str) -> None:
    """All of that is in the node's namespaces, where it ends with them."""
    assert places.NAME not in Path("/proc/self/mounts").read_text()
    first = process.load(local.state.processes)[FIRST]
    assert "KUBE-SERVICES" in node.run_inside(first, "iptables-save", "--table", "nat")
    # also in a network namespace that has no table yet, this prints nothing rather than fail
    assert "KUBE-SERVICES" not in subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
