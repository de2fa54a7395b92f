"""A pod that is deleted finishes what it has begun."""

from collections.abc import Callable

from support.client_pod import ClientPod
from support.live_cluster import wait_until
from support.model_resource import PORT, ModelAccess

TOKENS = 4000


def test_a_deleted_pod_loses_no_stream(apply_model: Callable[..., ModelAccess], client: ClientPod) -> None:
    # Slow enough that the story is not over before the pod is told to stop.
    resources = {"requests": {"cpu": "10m"}, "limits": {"cpu": "400m", "memory": "1Gi"}}
    model = apply_model(resources=resources, server={"drainSeconds": 240})
    model.wait_ready()
    (pod,) = model.pods()
    address = f"{pod['status']['podIP']}:{PORT}"
    story = client.start("ask", address, text="Tell me an endless story.", max_tokens=TOKENS, shown=1)
    story.wait_for("chunk")
    model.cluster.delete("Pod", pod["metadata"]["name"], model.namespace)
    # Nobody connects from the moment on when the pod is told to stop; the story goes on.
    refused = lambda: client.ask(address, max_tokens=1, connect_seconds=5)[1] == "UNCONNECTED"  # noqa: E731
    wait_until("the pod refuses connections", refused, 60)
    assert story.running(), "the story was over before the pod was told to stop"
    *_, finish, status = story.finish()
    assert (finish["reason"], finish["completion_tokens"]) == ("LENGTH", TOKENS)
    assert (status["code"], status["received"]) == ("OK", TOKENS)
    # And whoever comes now is served by the next pod.
    model.wait_ready()
    assert client.ask(model.address) == ("The capital of France is Paris.", "OK")
