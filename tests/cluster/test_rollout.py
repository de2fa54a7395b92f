"""A change of the spec replaces every pod while clients ask: none of them is turned away or cut off."""

from collections.abc import Callable
from time import monotonic

import pytest

from genai_operator.api.names import headless_service_name
from support.client_pod import ClientPod
from support.model_resource import PORT, ModelAccess

pytestmark = pytest.mark.timeout(700)

AT_ONCE = 4
SECONDS = 400.0


def all_pods(model: ModelAccess) -> set[str]:
    """Also those that end."""
    pods = model.cluster.find("Pod", model.namespace, f"genai-operator.io/model={model.name}")
    return {pod["metadata"]["uid"] for pod in pods}


def test_a_roll_out_loses_no_request(apply_model: Callable[..., ModelAccess], client: ClientPod) -> None:
    # New pods are ready for five seconds before old ones go, so that clients that are spread have found them.
    model = apply_model(replicas=2, minReadySeconds=5, server={"drainSeconds": 20})
    model.wait_ready(2)
    before = all_pods(model)
    spread = f"dns:///{headless_service_name(model.name)}.{model.namespace}.svc:{PORT}"
    http = model.status()["endpoints"]["http"].removeprefix("http://")
    kept = client.keep_asking("--one", model.address, "--spread", spread, "--http", http, "--model", model.name)
    kept.wait_go_on()
    # The template changes, what is answered does not.
    model.patch_spec(warmup={"maxTokens": 3})
    deadline, rounds = monotonic() + SECONDS, 0
    while before & all_pods(model) or rounds == 0:
        assert monotonic() < deadline, f"old pods are left after {SECONDS:.0f} s: {model.status()}"
        # A connection of its own each time, as a client that comes now has; long enough to outlive the pod's last call.
        said = client.run(
            "ask", model.address, text="Tell me an endless story.", max_tokens=300, parallel=AT_ONCE, shown=1
        )
        ended = [(line["code"], line["received"]) for line in said if line["event"] == "status"]
        assert ended == [("OK", 300)] * AT_ONCE, said[-AT_ONCE:]
        rounds += 1
    model.wait_ready(2)
    kept.wait_go_on()
    assert kept.failed() == []
