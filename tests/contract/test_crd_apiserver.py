"""The generated CRD on a real API server: it is taken, its defaults are ours, and bad specs are refused by name."""

import copy
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from genai_operator.api import crd
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.spec import GenAIModelSpec
from genai_operator.api.status_model import GenAIModelStatus
from genai_operator.api.variants import swept_variants
from support.control_plane import ControlPlane, control_plane
from support.refused_specs import REFUSED
from support.triton import REPOSITORY, documents

MINIMAL: dict[str, Any] = {
    "apiVersion": "genai-operator.io/v1alpha1",
    "kind": "GenAIModel",
    "metadata": {"name": "hello", "namespace": "default"},
    "spec": {"model": {"uri": "builtin://hello"}},
}

FULL = {
    "model": {"uri": "pvc://models/llama-3/int4_v1.2"},
    "provider": "cuda",
    "providerFallback": "Allow",
    "providerOptions": {"cuda": {"gpuMemLimit": "16Gi", "arenaExtendStrategy": "kSameAsRequested", "useTf32": False}},
    "precision": "int4",
    "threads": {"intraOp": 4, "interOp": 2, "spinning": "disabled", "affinity": "auto"},
    "session": {
        "graphOptimizationLevel": "extended",
        "executionMode": "parallel",
        "memoryArena": True,
        "memoryPattern": False,
        "configEntries": {"session.dynamic_block_base": "4", "session.intra_op.spin_duration_us": "1000"},
    },
    "engine": {
        "mode": "auto",
        "maxSequenceLength": 2048,
        "maxBatchSize": 8,
        "prefillChunk": 128,
        "kvCache": "1Gi",
        "prefixCaching": {"enabled": True, "maxBytes": 67108864},
        "speculation": "ngram",
    },
    "generation": {
        "maxTokens": 16,
        "maxTokensLimit": 16,
        "promptTokensLimit": 1024,
        "choicesLimit": 4,
        "temperature": 0.7,
        "topK": 40,
        "topP": 0.9,
        "repetitionPenalty": 1.1,
    },
    "warmup": {"prompts": ["Hello $(HOME)"], "maxTokens": 4},
    "server": {
        "protocols": {"http": True},
        "tls": {"secretName": "certificate", "clientCASecretName": "clients"},
        "apiKeys": {"secretName": "keys"},
        "maxQueueLength": 0,
        "drainSeconds": 0,
    },
    "runtimeOptions": {
        "enableProfiling": "slow-requests",
        "terminateSession": "0",
        "logLevel": "debug",
        "arenaShrinkage": "1",
        "drain": "1m30s",
        "cancel": "request-id=a.b_c-1,client=fd00::1,older-than=1h30m,tokens-over=500",
        "profilingLimits": {"maxRuns": 10, "maxBytes": "64Mi", "maxSeconds": 30},
    },
    "flightRecorder": {"interTokenP99": "80ms", "ttftP99": "2.5s", "for": "1m", "maxPerHour": 2},
    "providerLimits": {"minSharePercent": 80},
    "rollout": {"gate": {"maxRegressionPercent": 10, "prompts": ["Hello", "Once"], "maxTokens": 32}},
    "tuning": {
        "load": {"clients": 8, "promptTokens": 64, "newTokens": 32},
        "sweep": {"threads": [1, 2], "spinning": ["disabled"], "batch": [], "prefillChunk": [32]},
        "maxSeconds": 60,
        "apply": "Automatic",
        "request": "2026-11-21T10:15:00Z",
    },
    "replicas": 3,
    "suspend": True,
    "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": "1500m", "nvidia.com/gpu": 1}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "image": "registry.example/genai-runtime:1@sha256:0123",
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("crd"), controllers=False) as plane:
        plane.kubectl("apply", "--server-side", "-f", str(crd.FILES[0]))
        plane.kubectl("wait", "--for=condition=Established", "crd/genaimodels.genai-operator.io", "--timeout=30s")
        yield plane


def create(server: ControlPlane, body: dict[str, Any], *flags: str) -> dict[str, Any]:
    """What the API server would store."""
    dry = ("create", "--dry-run=server", "--validate=strict", "-o", "json", *flags, "-f", "-")
    stored: dict[str, Any] = json.loads(server.kubectl(*dry, stdin=json.dumps(body)))
    return stored


def without_empty(value: Any) -> Any:
    """Without empty lists and objects at any depth: the server stores none."""
    if not isinstance(value, dict):
        return value
    kept = {name: without_empty(part) for name, part in value.items()}
    return {name: part for name, part in kept.items() if part not in ([], {})}


def with_spec(**spec: Any) -> dict[str, Any]:
    body = copy.deepcopy(MINIMAL)
    body["spec"].update(spec)
    return body


def test_the_definition_is_taken_without_a_complaint(server: ControlPlane) -> None:
    said = json.loads(server.kubectl("get", "crd", "genaimodels.genai-operator.io", "-o", "json"))["status"]
    conditions = {each["type"]: each["status"] for each in said["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_the_servers_defaults_are_ours(server: ControlPlane) -> None:
    stored = create(server, MINIMAL)["spec"]
    ours = GenAIModelSpec.model_validate(MINIMAL["spec"]).model_dump(by_alias=True, exclude_none=True, mode="json")
    assert stored == without_empty(ours)
    assert stored["resources"]["limits"] == {"cpu": "2", "memory": "2Gi"}


def test_a_full_spec_is_taken_as_it_is_and_read_back(server: ControlPlane) -> None:
    stored = create(server, with_spec(**FULL))
    for name, value in FULL.items():
        assert (
            stored["spec"][name].items() >= value.items() if isinstance(value, dict) else stored["spec"][name] == value
        )
    model = GenAIModel.from_body(stored)
    assert model.spec == GenAIModelSpec.model_validate(FULL)


SOURCES: list[dict[str, Any]] = [
    {"uri": "builtin://hello", "sha256": "0a" * 32, "offline": False},
    {"uri": "configmap://tiny.v1"},
    {
        "uri": "hf://Org/Na_me.v2@refs/pr/1?path=cpu/int4",
        "secretName": "keys",
        "endpoint": "http://[fd00::1]:8080/hub/",
        "cache": {"claimName": "models"},
        "offline": True,
        "maxBytes": "20Gi",
    },
    {"uri": "s3://bucket/a/b", "endpoint": "https://minio.example:9000", "region": "eu-west-1"},
    {"uri": "gs://buc_ket/a", "secretName": "keys"},
    {"uri": "https://10.0.0.1:8443/a/hello.tar.gz", "secretName": "keys", "endpoint": "http://mirror:8080"},
    {"uri": "oci://registry.example:5000/team/model:v1.2"},
    {"uri": "oci://registry.example/model@sha256:" + "0a" * 32},
]


@pytest.mark.parametrize("source", SOURCES, ids=[each["uri"][:30] for each in SOURCES])
def test_every_source_is_taken_and_read_back(server: ControlPlane, source: dict[str, Any]) -> None:
    stored = create(server, with_spec(model=source))
    assert stored["spec"]["model"] == source
    assert GenAIModel.from_body(stored).spec.model.uri == source["uri"]


# What is built, for which provider, to which precision.
BUILDS: list[tuple[dict[str, Any], str, str]] = [
    ({"uri": "hf://org/model@main", "build": {"int4BlockSize": 16, "int4AccuracyLevel": 0}}, "cpu", "int4"),
    ({"uri": "pvc://sources/a", "sha256": "0a" * 32, "build": {"request": "again"}}, "cuda", "bf16"),
    (
        {
            "uri": "s3://bucket/a",
            "offline": True,
            "build": {"evaluation": {"configMapName": "texts", "key": "wiki.txt", "maxTokens": 512}},
        },
        "webgpu",
        "int8",
    ),
]


@pytest.mark.parametrize(("source", "provider", "precision"), BUILDS, ids=[each["uri"] for each, _, _ in BUILDS])
def test_a_build_is_taken_and_read_back(
    server: ControlPlane, source: dict[str, Any], provider: str, precision: str
) -> None:
    wanted = {**source, "cache": {"claimName": "models"}}
    stored = create(server, with_spec(model=wanted, provider=provider, precision=precision))
    assert stored["spec"]["model"] == wanted
    assert GenAIModel.from_body(stored).spec.model.build is not None


SWEEPS: list[dict[str, Any]] = [
    {"precision": ["fp32", "int8", "int4"], "int4BlockSize": [16, 32, 64, 128], "maxPerplexityIncreasePercent": 2.5},
    {"int4BlockSize": [32, 128, 256], "int4AccuracyLevel": [0, 4]},
    {"precision": ["fp32"], "threads": [1]},
]


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_over_builds_is_taken_and_read_back(server: ControlPlane, sweep: dict[str, Any]) -> None:
    source = {"uri": "hf://org/model", "cache": {"claimName": "models"}, "build": {"int4BlockSize": 64}}
    stored = create(server, with_spec(model=source, precision="int4", tuning={"sweep": sweep}))
    assert stored["spec"]["tuning"]["sweep"] == sweep
    assert len(swept_variants(GenAIModel.from_body(stored).spec)) > 1


@pytest.mark.parametrize(("spec", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_spec_is_refused_by_the_name_of_its_field(server: ControlPlane, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        create(server, with_spec(**spec))
    assert field in refused.value.stderr


@pytest.mark.parametrize("name", ["x" * 53, "1st", "a.b"], ids=["too long", "starts with a digit", "has a dot"])
def test_a_name_that_no_service_can_have_is_refused(server: ControlPlane, name: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        create(server, {**MINIMAL, "metadata": {"name": name, "namespace": "default"}})
    assert "metadata.name" in refused.value.stderr


def test_the_longest_name_is_taken(server: ControlPlane) -> None:
    create(server, {**MINIMAL, "metadata": {"name": "x" * 52, "namespace": "default"}})


def test_two_writers_share_the_status_and_the_columns_show_it(server: ControlPlane) -> None:
    server.kubectl("create", "-f", "-", stdin=json.dumps(with_spec(replicas=2)))
    time = "2026-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "False", "reason": "ModelNotFound", "lastTransitionTime": time}
    live = {"type": "RuntimeOptionsApplied", "status": "True", "reason": "Applied", "lastTransitionTime": time}
    performance = {"tokensPerSecond": 12.5}
    for manager, status in (
        ("genai-operator", {"conditions": [ready], "readyReplicas": 1, "performance": performance}),
        ("genai-operator-live", {"conditions": [live], "runtimeOptions": {"revision": "a", "applied": "1/1"}}),
    ):
        body = {**MINIMAL, "status": status, "spec": None}
        del body["spec"]
        flags = ("--server-side", "--subresource=status", f"--field-manager={manager}", "--force-conflicts")
        server.kubectl("apply", *flags, "-f", "-", stdin=json.dumps(body))
    stored = json.loads(server.kubectl("get", "gaim", "hello", "-o", "json"))["status"]
    assert {each["reason"] for each in stored["conditions"]} == {"ModelNotFound", "Applied"}
    GenAIModelStatus.model_validate(stored)
    header, line = server.kubectl("get", "genai", "hello").splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "REPLICAS", "PROVIDER", "TOK/S", "AGE"]
    assert line.split()[:6] == ["hello", "False", "ModelNotFound", "1", "cpu", "12.5"]
    scale = json.loads(server.kubectl("get", "gaim/hello", "--subresource=scale", "-o", "json"))
    assert scale["spec"]["replicas"] == 2


def test_a_controller_of_the_status_cannot_ask_for_nonsense(server: ControlPlane) -> None:
    body = {**MINIMAL, "metadata": {"name": "asked", "namespace": "default"}}
    server.kubectl("create", "-f", "-", stdin=json.dumps(body))
    patch = ("patch", "gaim", "asked", "--subresource=status", "--type=merge", "-p")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        server.kubectl(*patch, json.dumps({"status": {"requestedRuntimeOptions": {"terminateSession": "yes"}}}))
    assert "status.requestedRuntimeOptions.terminateSession" in refused.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as refused:
        server.kubectl(*patch, json.dumps({"status": {"requestedRuntimeOptions": {"drain": "soon"}}}))
    assert "status.requestedRuntimeOptions.drain" in refused.value.stderr
    good = {"terminateSession": "1", "drain": "0", "cancel": "", "logLevel": "error", "arenaShrinkage": "0"}
    server.kubectl(*patch, json.dumps({"status": {"requestedRuntimeOptions": good}}))


@pytest.mark.parametrize("name", ["chat-cpu", "chat-gpu", "chat-rtx"])
def test_what_is_made_of_tritons_configurations_is_taken(server: ControlPlane, name: str) -> None:
    (body,) = documents((REPOSITORY.parent / f"{name}.yaml").read_text())
    body["metadata"]["namespace"] = "default"
    stored = create(server, body)["spec"]
    ours, theirs = (GenAIModelSpec.model_validate(each) for each in (body["spec"], stored))
    assert ours == theirs
