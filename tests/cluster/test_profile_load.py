"""Windows on a pod that is as busy as it can be: their caps hold, and nothing is evicted, restarted or refused."""

from collections.abc import Callable, Iterator

import pytest

from support.client_pod import ClientPod
from support.live_cluster import LiveCluster
from support.model_resource import ModelAccess, genai_model
from support.profile_resource import Profiles

STREAMS = 32
SECONDS = 60
MIB = 1 << 20
CAP_MIB = 4
RESOURCES = {"requests": {"cpu": "10m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}


@pytest.fixture
def profiles(cluster: LiveCluster, new_namespace: Callable[[], str], client: ClientPod) -> Iterator[Profiles]:
    model = ModelAccess(cluster, "busy", new_namespace())
    engine = {"maxBatchSize": STREAMS}
    cluster.create(genai_model(model.name, model.namespace, engine=engine, resources=RESOURCES))
    model.wait_ready()
    yield Profiles(model, client)
    cluster.delete("GenAIModel", model.name, model.namespace)


def test_windows_keep_their_caps_under_32_streams(profiles: Profiles, client: ClientPod) -> None:
    (pod,) = profiles.model.pods()
    load = client.start("load", profiles.model.address, seconds=SECONDS, parallel=STREAMS, max_tokens=200)
    load.wait_for("sent")
    # The window that is open when the load ends may end by its time. All others end by their bytes.
    full, windows = [], []
    while load.running():
        name = f"window-{len(windows)}"
        profiles.make(name, limits={"maxBytes": f"{CAP_MIB}Mi", "maxRuns": 100_000, "maxSeconds": SECONDS})
        windows.append(profiles.wait(name, "Complete", SECONDS * 4))
        if load.running():
            full.append(windows[-1])
    (told,) = [line for line in load.finish() if line["event"] == "load"]
    assert (told["failed"], told["tokens"] > 0) == (0, True)
    assert full
    for status in full:
        assert status["capturedBytes"] >= CAP_MIB * MIB
    for status in windows:
        assert status["droppedRuns"] == 0
        # The run that goes over the cap is the last one.
        assert status["capturedBytes"] < (CAP_MIB + 1) * MIB
        assert status["capturedRequests"] > 1
    (same,) = profiles.model.pods()
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]
    assert [each["restartCount"] for each in same["status"]["containerStatuses"]] == [0]
