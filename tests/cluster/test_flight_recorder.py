"""A pod that opens a window by itself: an objective that nothing can meet, and what the model then says."""

from collections.abc import Callable

from support.client_pod import ClientPod
from support.live_cluster import wait_until
from support.model_resource import ModelAccess

STORY = "Tell me an endless story."


def test_a_missed_objective_is_recorded_and_told(apply_model: Callable[..., ModelAccess], client: ClientPod) -> None:
    model = apply_model()
    model.wait_ready()
    (pod,) = model.pods()
    name = pod["metadata"]["name"]
    assert model.status()["placement"][0]["provider"] == "CPUExecutionProvider"
    model.patch_spec(flightRecorder={"interTokenP99": "1ms", "for": "1s"})
    model.wait_applied()
    load = client.start("ask", model.address, text=STORY, max_tokens=4000, parallel=8, shown=1)
    try:
        found = model.wait_profile(name, "flight-recorder", 300)
    finally:
        model.annotate("terminate-session", "1")
        load.finish()
    assert found["state"] == "COMPLETE"
    assert found["trigger"].startswith("p99 of the time between two tokens was ")

    told = wait_until("the status tells of it", lambda: model.status().get("flightRecorder"), 120)
    assert (told["pod"], told["profile"]) == (name, found["id"])
    events = model.cluster.find("Event", model.namespace, "")
    assert [event for event in events if event["reason"] == "FlightRecorded"]
    (same,) = model.pods()
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]  # nothing was restarted for it
