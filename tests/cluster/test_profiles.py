"""GenAIProfiles on live pods: a window on each of two, and everything that can come in between."""

import gzip
import json
from collections.abc import Callable, Iterator

import pytest

from support import release
from support.client_pod import ClientPod
from support.live_cluster import LiveCluster, wait_until
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


def test_a_window_on_two_pods_completes_and_its_trace_can_be_fetched(profiles: Profiles) -> None:
    profiles.make("pair", limits={"maxRuns": 8, "maxSeconds": 60})
    profiles.wait_open("pair")
    profiles.use()
    status = profiles.wait("pair", "Complete")
    assert (status["progress"], status["capturedRuns"], status["droppedRuns"]) == ("2/2", 16, 0)
    assert set(profiles.reasons("pair").values()) == {"MaxRuns"}
    assert status["capturedRequests"] >= 2
    assert status["topOperators"][0]["sharePercent"] > 0
    for place in status["artifact"]["location"].split(","):
        pod, profile = place.removeprefix("pod://").split("/")
        assert json.loads(gzip.decompress(profiles.model.fetch_profile(pod, profile)))["traceEvents"]
    # Applied again it has ended already.
    profiles.make("pair", limits={"maxRuns": 8, "maxSeconds": 60}, ttlSecondsAfterFinished=3600)
    profiles.make("marker", limits={"maxRuns": 8})
    profiles.wait_open("marker")
    profiles.use()
    profiles.wait("marker", "Complete")
    assert len(profiles.in_pods("pair")) == 2
    assert profiles.status("pair")["finishedAt"] == status["finishedAt"]


def test_only_the_chosen_runs_are_captured(profiles: Profiles) -> None:
    profiles.make("chosen", runs="prefill,0-3", limits={"maxSeconds": 300})
    profiles.wait_open("chosen")
    profiles.use()
    profiles.make("chosen", runs="prefill,0-3", limits={"maxSeconds": 300}, suspend=True)
    status = profiles.wait("chosen", "Complete")
    for pod in status["pods"]:
        assert 4 <= pod["runs"] <= 6
        assert pod["skippedRuns"] >= 15


def test_nothing_captured_is_a_failure(profiles: Profiles) -> None:
    profiles.make("idle", limits={"maxSeconds": 1})
    status = profiles.wait("idle", "Failed")
    assert set(profiles.reasons("idle").values()) == {"NothingCaptured"}
    failed = next(each for each in status["conditions"] if each["type"] == "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "NothingCaptured")


def test_suspended_in_mid_window_it_keeps_what_was_captured(profiles: Profiles) -> None:
    profiles.make("stopped", limits={"maxSeconds": 300})
    profiles.wait_open("stopped")
    profiles.use()
    profiles.make("stopped", limits={"maxSeconds": 300}, suspend=True)
    status = profiles.wait("stopped", "Complete")
    assert set(profiles.reasons("stopped").values()) == {"Stopped"}
    assert status["capturedRuns"] > 20


def test_deleted_in_mid_window_its_windows_close(profiles: Profiles) -> None:
    profiles.make("deleted", limits={"maxSeconds": 300})
    profiles.wait_open("deleted")
    profiles.delete("deleted")
    closed = lambda: {each["closeReason"] for each in profiles.in_pods("deleted")} == {"disabled"}  # noqa: E731
    wait_until("the windows closed", closed, 20)


def test_a_second_profile_waits_for_the_first_ones_end(profiles: Profiles) -> None:
    profiles.make("first", limits={"maxSeconds": 300})
    profiles.wait_open("first")
    profiles.make("second", limits={"maxRuns": 5})
    wait_until("waits", lambda: profiles.status("second").get("pods"), 20)
    wait_until("told busy", lambda: set(profiles.reasons("second").values()) == {"PodBusy"}, 20)
    profiles.use()
    profiles.make("first", limits={"maxSeconds": 300}, suspend=True)
    profiles.wait("first", "Complete")
    profiles.wait_open("second")
    profiles.use()
    profiles.wait("second", "Complete")


def test_an_operator_that_starts_again_in_mid_window_goes_on(cluster: LiveCluster, profiles: Profiles) -> None:
    profiles.make("restarted", limits={"maxRuns": 8, "maxSeconds": 300})
    profiles.wait_open("restarted")
    release.restart(cluster)
    profiles.use()
    status = profiles.wait("restarted", "Complete")
    assert (status["progress"], status["capturedRuns"]) == ("2/2", 16)
    assert len(profiles.in_pods("restarted")) == 2


def test_a_pod_killed_in_mid_window_is_lost_and_the_other_completes(profiles: Profiles) -> None:
    """The last one: its model has another pod afterwards."""
    profiles.make("killed", limits={"maxRuns": 8, "maxSeconds": 300})
    profiles.wait_open("killed")
    killed, other = profiles.model.pods()
    profiles.model.cluster.delete("Pod", killed["metadata"]["name"], profiles.model.namespace, grace_seconds=0)
    profiles.use([other])
    status = profiles.wait("killed", "Complete")
    assert profiles.reasons("killed") == {killed["metadata"]["name"]: "PodGone", other["metadata"]["name"]: "MaxRuns"}
    complete = next(each for each in status["conditions"] if each["type"] == "Complete")
    assert "PodGone" in complete["message"]
