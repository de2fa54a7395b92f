"""A change of the spec replaces every pod while clients ask: none of them is turned away or cut off."""

from collections.abc import Callable
from time import monotonic

from support.client_pod import ClientPod
from support.model_resource import ModelAccess

AT_ONCE = 4
SECONDS = 240.0


def test_a_roll_out_loses_no_request(apply_model: Callable[..., ModelAccess], client: ClientPod) -> None:
    model = apply_model(replicas=2, minReadySeconds=1)
    model.wait_ready(2)
    before = {pod["metadata"]["uid"] for pod in model.pods()}
    # The template changes, what is answered does not.
    model.patch_spec(warmup={"maxTokens": 3})
    deadline, rounds = monotonic() + SECONDS, 0
    while before & {pod["metadata"]["uid"] for pod in model.pods()} or rounds == 0:
        assert monotonic() < deadline, f"old pods are left after {SECONDS:.0f} s: {model.status()}"
        # A connection of its own each time, as a client that comes now has; long enough to outlive the pod's last call.
        said = client.run(
            "ask", model.address, text="Tell me an endless story.", max_tokens=300, parallel=AT_ONCE, shown=1
        )
        ended = [(line["code"], line["received"]) for line in said if line["event"] == "status"]
        assert ended == [("OK", 300)] * AT_ONCE, said[-AT_ONCE:]
        rounds += 1
    model.wait_ready(2)
