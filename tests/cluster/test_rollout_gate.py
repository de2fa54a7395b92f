"""A roll-out that makes the model slower: held back while the old pod serves, and let through when that is accepted."""

from collections.abc import Callable

from support.client_pod import ClientPod
from support.live_cluster import Object
from support.model_resource import ModelAccess, condition

STORY = "Tell me an endless story."
MEASURED = "genai-operator.io/measured"
# Threads that wait busily, many more than there are cores: several times slower on any machine.
FAST, SLOW = {"intraOp": 1}, {"intraOp": 64, "spinning": "enabled"}


def gate(percent: int) -> Object:
    return {"gate": {"prompts": [STORY], "maxTokens": 32, "maxRegressionPercent": percent}}


def test_a_slower_template_gets_no_traffic_until_it_is_accepted(
    apply_model: Callable[..., ModelAccess], client: ClientPod
) -> None:
    model = apply_model(threads=FAST, rollout=gate(50))
    model.wait_ready()
    (old,) = model.pods()
    assert condition(old, MEASURED)["reason"] == "NothingToCompare"

    model.patch_spec(threads=SLOW)
    said = model.wait_condition("Progressing", "False", "RolloutBlocked", 240)
    assert said["message"].startswith("regression ")
    assert " tok/s, new " in said["message"]
    (new,) = [pod for pod in model.pods() if pod["metadata"]["name"] != old["metadata"]["name"]]
    assert condition(new, MEASURED)["status"] == "False"
    assert condition(new, "ContainersReady")["status"] == "True"
    assert [pod["metadata"]["name"] for pod in model.ready_pods()] == [old["metadata"]["name"]]
    assert model.condition("Ready")["status"] == "True"
    text, code = client.ask(model.address, text="What is the capital of France?", max_tokens=16)
    assert (code, bool(text)) == ("OK", True)

    model.patch_spec(rollout=gate(99))
    model.wait_ready(seconds=240)
    (left,) = model.pods()
    assert left["metadata"]["name"] == new["metadata"]["name"]
    assert condition(left, MEASURED)["reason"] == "Measured"
