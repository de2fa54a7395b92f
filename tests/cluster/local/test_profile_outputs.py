"""A profile's trace in a claim and in a bucket: the collector's Job on a real node.

The volume is a folder of this machine, the S3 server a process of it.
"""

import gzip
import json
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.client_pod import ClientPod
from support.live_cluster import LiveCluster, Object, wait_until
from support.model_resource import ModelAccess, genai_model
from support.profile_resource import Profiles
from support.s3_server import s3_server

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
    temporary = Path(tempfile.gettempdir())
    for each in (folder, *folder.parents):
        if temporary in each.parents:
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
    wait_until("the Job is collected as garbage", gone, 240)


def test_a_claim_that_does_not_exist_is_told_and_the_traces_stay_in_the_pods(profiles: Profiles) -> None:
    output = {"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"claimName": "nowhere"}}
    profiles.make("lost", output=output, limits={"maxRuns": 8, "maxSeconds": 120})
    profiles.wait_open("lost")
    profiles.use()
    profiles.wait("lost", "Collecting")

    def told() -> bool:
        conditions = {each["type"]: each for each in profiles.status("lost")["conditions"]}
        return 'persistentvolumeclaim "nowhere" not found' in conditions["Collected"]["message"]

    wait_until("the condition names the claim", told, 240)
    assert profiles.status("lost")["artifact"]["location"].startswith("pod://")


def test_one_trace_lies_in_the_bucket_and_a_bucket_that_is_none_is_told(profiles: Profiles) -> None:
    model = profiles.model
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "words"}
    secret = {"metadata": {"name": "keys", "namespace": model.namespace}, "stringData": keys}
    model.cluster.create({"apiVersion": "v1", "kind": "Secret", **secret})
    with s3_server(host=model.cluster.own_address()) as server:
        server.make_bucket("traces")
        for name, bucket in (("stored", "traces"), ("refused", "nowhere")):
            place = {"uri": f"s3://{bucket}/monday/{name}", "endpoint": server.url, "secretName": "keys"}
            profiles.make(name, output={"type": "S3", "s3": place}, limits={"maxRuns": 8, "maxSeconds": 120})
            profiles.wait_open(name)
            profiles.use()
        status = profiles.wait("stored", "Complete")
        content, kind = server.get("traces", "monday/stored/trace.json.gz")
        assert kind == "application/gzip"
        assert status["artifact"] == {
            "type": "S3",
            "location": "s3://traces/monday/stored/trace.json.gz",
            "bytes": len(content),
        }
        assert b"<html" in server.get("traces", "monday/stored/report.html")[0]
        status = profiles.wait("refused", "Failed", 150)  # after the Job's retries
    failed = next(each for each in status["conditions"] if each["type"] == "Failed")
    assert failed["reason"] == "CollectorFailed"
    assert "there is no such bucket" in failed["message"]
    assert status["artifact"]["location"].startswith("pod://")
