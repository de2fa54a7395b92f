"""Specs that the API server refuses, with a message that names the field; nothing is stored."""

from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from support.live_cluster import LiveCluster
from support.model_resource import genai_model

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such scheme": ({"model": {"uri": "ftp://x/y"}}, "spec.model.uri"),
    "a path that climbs": ({"model": {"uri": "pvc://claim/../etc"}}, "spec.model.uri"),
    "no model": ({"model": None}, "spec.model"),
    "negative replicas": ({"replicas": -1}, "spec.replicas"),
    "replicas as text": ({"replicas": "two"}, "spec.replicas"),
    "no such provider": ({"provider": "abacus"}, "spec.provider"),
    "no threads": ({"threads": {"intraOp": 0}}, "spec.threads.intraOp"),
    "threads as a word": ({"threads": {"intraOp": "many"}}, "spec.threads.intraOp"),
    "default above the limit": ({"generation": {"maxTokens": 100, "maxTokensLimit": 10}}, "spec.generation"),
    "hot temperature": ({"generation": {"temperature": 9}}, "spec.generation.temperature"),
    "no such mode": ({"engine": {"mode": "magic"}}, "spec.engine.mode"),
    "a cache larger than the pod": ({"engine": {"kvCache": "1Ti"}}, "engine.kvCache must be less than resources"),
    "an option of another engine": ({"engine": {"mode": "single", "kvCache": "1Mi"}}, "engine.mode single has no"),
    "a Secret that is a path": ({"server": {"tls": {"secretName": "../x"}}}, "spec.server.tls.secretName"),
    "requests above limits": (
        {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
        "spec.resources",
    ),
    "not a quantity": ({"resources": {"limits": {"memory": "much"}}}, "spec.resources.limits"),
    "a label that is a path": ({"runtimeOptions": {"enableProfiling": "../../x"}}, "spec.runtimeOptions"),
    "terminate as a word": ({"runtimeOptions": {"terminateSession": "yes"}}, "spec.runtimeOptions"),
    "a window without end": (
        {"runtimeOptions": {"profilingLimits": {"maxSeconds": 1_000_000}}},
        "spec.runtimeOptions.profilingLimits.maxSeconds",
    ),
    "a prompt of 5,000 characters": ({"warmup": {"prompts": ["x" * 5000]}}, "spec.warmup.prompts"),
    "an image with a space": ({"image": "not an image"}, "spec.image"),
}


@pytest.mark.parametrize(("spec", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_is_refused_by_name(cluster: LiveCluster, operator: None, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiException) as refused:
        cluster.create(genai_model("bad", "default", **spec))
    assert refused.value.status == 422
    assert field in str(refused.value.body)
    assert cluster.get("GenAIModel", "bad", "default") is None


def test_an_unknown_field_is_refused_where_the_client_asks_for_it(cluster: LiveCluster, operator: None) -> None:
    manifest = genai_model("bad", "default", thread={"intraOp": 1})
    with pytest.raises(AssertionError, match="thread"):
        cluster.apply(manifest)


def test_a_name_that_no_service_can_have_is_not_accepted(cluster: LiveCluster, namespace: str) -> None:
    with pytest.raises(ApiException) as refused:
        cluster.create(genai_model("x" * 80, namespace))
    assert "metadata.name" in str(refused.value.body) or "name" in str(refused.value.body)
