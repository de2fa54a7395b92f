"""A profile's trace in a claim: the collector's Job on a real node, with a folder of this machine as the volume."""

import gzip
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.client_pod import ClientPod
from support.live_cluster import LiveCluster, Object, wait_until
from support.model_resource import ModelAccess, genai_model
from support.profile_resource import Profiles

SMALL = {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


@pytest.fixture(scope="module")
def profiles(cluster: LiveCluster, new_namespace: Callable[[], str], client: ClientPod) -> Iterator[Profiles]:
    model = ModelAccess(cluster, "hello", new_namespace())
    cluster.create(genai_model(model.name, model.namespace, replicas=2, resources=SMALL))
    model.wait_ready(2)
    yield Profiles(model, client)
    cluster.delete("GenAIModel", model.name, model.namespace)


@pytest.fixture
def claim(cluster: LiveCluster, profiles: Profiles, tmp_path: Path) -> Iterator[Path]:
    """The claim `traces` in the model's namespace, and the folder that it is."""
    folder = tmp_path / "claim"
    folder.mkdir()
    for each in (folder, *folder.parents[:3]):
        each.chmod(0o777)  # the node's root makes the mount; the collector is nobody
    volume = f"traces-{uuid.uuid4().hex[:8]}"
    size = {"storage": "1Gi"}
    common: Object = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {**common, "capacity": size, "hostPath": {"path": str(folder)}},
        }
    )
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "traces", "namespace": profiles.model.namespace},
            "spec": {**common, "volumeName": volume, "resources": {"requests": size}},
        }
    )
    yield folder
    cluster.delete("PersistentVolumeClaim", "traces", profiles.model.namespace)
    cluster.delete("PersistentVolume", volume)


def test_one_trace_of_both_pods_lies_in_the_claim(profiles: Profiles, claim: Path) -> None:
    output = {"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"claimName": "traces", "path": "monday"}}
    profiles.make("kept", output=output, limits={"maxRuns": 8, "maxSeconds": 120})
    profiles.wait_open("kept")
    profiles.use()
    status = profiles.wait("kept", "Complete")
    assert sorted(each.name for each in (claim / "monday").iterdir()) == ["report.html", "trace.json.gz"]
    content = (claim / "monday" / "trace.json.gz").read_bytes()
    assert status["artifact"] == {
        "type": "PersistentVolumeClaim",
        "location": "pvc://traces/monday/trace.json.gz",
        "bytes": len(content),
    }
    trace = json.loads(gzip.decompress(content))
    assert len({event["pid"] for event in trace["traceEvents"] if "pid" in event}) == 2
    profiles.delete("kept")
    namespace = profiles.model.namespace
    gone = lambda: profiles.model.cluster.get("Job", "kept-collector", namespace) is None  # noqa: E731
    wait_until("the Job is collected as garbage", gone, 60)


def test_a_claim_that_does_not_exist_is_told_and_the_traces_stay_in_the_pods(profiles: Profiles) -> None:
    output = {"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"claimName": "nowhere"}}
    profiles.make("lost", output=output, limits={"maxRuns": 8, "maxSeconds": 120})
    profiles.wait_open("lost")
    profiles.use()
    profiles.wait("lost", "Collecting")

    def told() -> bool:
        conditions = {each["type"]: each for each in profiles.status("lost")["conditions"]}
        return 'persistentvolumeclaim "nowhere" not found' in conditions["Collected"]["message"]

    wait_until("the condition names the claim", told, 60)
    assert profiles.status("lost")["artifact"]["location"].startswith("pod://")
