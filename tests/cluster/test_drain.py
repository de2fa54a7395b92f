"""A pod that is deleted finishes what it has begun."""

from collections.abc import Callable

from support.client_pod import ClientPod
from support.model_resource import ModelAccess


def test_a_deleted_pod_loses_no_stream(apply_model: Callable[..., ModelAccess], client: ClientPod) -> None:
    model = apply_model()
    model.wait_ready()
    (pod,) = model.pods()
    whole = client.run("ask", model.address, text="Tell me an endless story.", max_tokens=400)
    story = client.start("ask", model.address, text="Tell me an endless story.", max_tokens=400)
    story.wait_for("chunk")
    model.cluster.delete("Pod", pod["metadata"]["name"], model.namespace)
    lines = story.finish()
    assert lines[-1]["code"] == "OK"
    assert text_of(lines) == text_of(whole)
    # And whoever comes now is served by the next pod.
    model.wait_ready()
    assert client.ask(model.address) == ("The capital of France is Paris.", "OK")


def text_of(lines: list[dict[str, object]]) -> str:
    return "".join(str(line["text"]) for line in lines if line["event"] == "chunk")
