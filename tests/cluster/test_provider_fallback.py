"""A provider that no node has, where the CPU may stand in: it serves, and the model never says that all is well."""

from collections.abc import Callable

from support.live_cluster import wait_until
from support.model_resource import ModelAccess


def test_the_cpu_serves_and_the_model_is_degraded(apply_model: Callable[..., ModelAccess]) -> None:
    model = apply_model(provider="cuda", providerFallback="Allow", precision="int4")
    model.wait_ready()
    found = wait_until("what it runs on", lambda: model.status().get("effective", {}).get("provider"), 60)
    assert found == "cpu"
    assert model.status()["effective"]["precision"] == "int4"
    wait_until("Degraded", lambda: model.condition("Degraded")["status"] == "True", 60)
    said = model.condition("Degraded")
    assert said["reason"] == "ExecutionProviderUnavailable"
    assert "cpu instead of cuda, as providerFallback Allow permits: cuda was asked for" in said["message"]
    assert "resources.limits asks for none" in model.condition("Accepted")["message"]
