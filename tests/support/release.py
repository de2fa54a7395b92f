"""The operator's Helm release: where it is, its pod, and what it says of itself."""

import re
from pathlib import Path

from support.live_cluster import LiveCluster, Object, wait_until

CHART = Path(__file__).parents[2] / "charts" / "genai-operator"
RELEASE = "genai-operator"
NAMESPACE = "genai-system"
SELECTOR = "app.kubernetes.io/name=genai-operator,app.kubernetes.io/component=operator"
METRICS_PORT = 8080


def install(cluster: LiveCluster, *settings: str, chart: Path = CHART) -> None:
    """`helm upgrade --install` with the chart's values but for `settings` (as for `--set`); waits for the pod."""
    flags = [part for setting in settings for part in ("--set", setting)]
    options = ["--namespace", NAMESPACE, "--wait", "--timeout", "5m", "--reset-values", *flags]
    # What a test changed by hand, the replicas for one, becomes the chart's again.
    options.append("--force-conflicts")
    cluster.helm("upgrade", "--install", RELEASE, str(chart), *options, seconds=330)


def restart(cluster: LiveCluster) -> str:
    """A new operator pod, at work; returns its name. The images keep their names from build to build."""
    cluster.kubectl("rollout", "restart", f"deployment/{RELEASE}", "-n", NAMESPACE)
    cluster.kubectl("rollout", "status", f"deployment/{RELEASE}", "-n", NAMESPACE, "--timeout=240s", seconds=250)
    return wait_working(cluster)


def scale(cluster: LiveCluster, replicas: int) -> None:
    """Sets the operator's replicas without waiting for them."""
    cluster.patch("Deployment", RELEASE, NAMESPACE, {"spec": {"replicas": replicas}})


def operator_pod(cluster: LiveCluster) -> Object:
    """The newest pod of the operator that is not being deleted; waits for one to be made."""

    def newest() -> Object | None:
        pods = [pod for pod in cluster.find("Pod", NAMESPACE, SELECTOR) if not pod["metadata"].get("deletionTimestamp")]
        return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)

    return wait_until(f"a pod of the operator in namespace {NAMESPACE}", newest, 90)


def wait_working(cluster: LiveCluster, seconds: float = 120) -> str:
    """Waits until the newest operator pod holds the Lease; returns the pod's name."""

    def holding() -> str | None:
        name = str(operator_pod(cluster)["metadata"]["name"])
        lease = cluster.get("Lease", RELEASE, NAMESPACE) or {}
        return name if lease.get("spec", {}).get("holderIdentity") == name else None

    return wait_until("the operator holds its Lease", holding, seconds)


def operator_rss_mib(cluster: LiveCluster) -> float:
    """Resident memory of the operator's process, by its own metrics, in MiB."""
    page = cluster.metrics(operator_pod(cluster)["metadata"]["name"], NAMESPACE, METRICS_PORT)
    found = re.search(r"^process_resident_memory_bytes (\S+)$", page, re.MULTILINE)
    assert found, "the operator's metrics have no process_resident_memory_bytes"
    return float(found[1]) / 2**20
