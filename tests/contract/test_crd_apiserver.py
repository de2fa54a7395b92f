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
from support.control_plane import ControlPlane, control_plane
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

# sentence: (what is added to a minimal spec, the field that the refusal names)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a scheme nobody knows": ({"model": {"uri": "ftp://x/y"}}, "spec.model.uri"),
    "a path that climbs": ({"model": {"uri": "pvc://claim/a/../b"}}, "spec.model.uri"),
    "a line break in the URI": ({"model": {"uri": "builtin://hello\n"}}, "spec.model.uri"),
    "a URI without end": ({"model": {"uri": "pvc://claim/" + "a" * 600}}, "spec.model.uri"),
    "no URI": ({"model": {}}, "spec.model.uri"),
    "a provider nobody knows": ({"provider": "abacus"}, "spec.provider"),
    "options of another provider": (
        {"provider": "openvino", "providerOptions": {"cuda": {"deviceId": 0}}},
        "providerOptions may only have those of the provider",
    ),
    "options of no provider": ({"providerOptions": {"tpu": {}}}, "spec.providerOptions.tpu"),
    "an option nobody knows": (
        {"provider": "cuda", "providerOptions": {"cuda": {"userComputeStream": 1}}},
        "spec.providerOptions.cuda.userComputeStream",
    ),
    "a GPU beyond reason": (
        {"provider": "cuda", "providerOptions": {"cuda": {"deviceId": 64}}},
        "spec.providerOptions.cuda.deviceId",
    ),
    "an arena of half a byte": (
        {"provider": "cuda", "providerOptions": {"cuda": {"gpuMemLimit": "1048576.5"}}},
        "spec.providerOptions.cuda.gpuMemLimit",
    ),
    "a fall-back nobody knows": ({"providerFallback": "Maybe"}, "spec.providerFallback"),
    "a precision nobody knows": ({"precision": "int2"}, "spec.precision"),
    "zero threads": ({"threads": {"intraOp": 0}}, "spec.threads.intraOp"),
    "too many threads": ({"threads": {"intraOp": 1025}}, "spec.threads.intraOp"),
    "threads as a word": ({"threads": {"intraOp": "many"}}, "spec.threads.intraOp"),
    "spinning as a truth": ({"threads": {"spinning": True}}, "spec.threads.spinning"),
    "an affinity of one's own": ({"threads": {"affinity": "0-3"}}, "spec.threads.affinity"),
    "threads of operators one after the other": ({"threads": {"interOp": 2}}, "threads.interOp needs"),
    "a mode nobody knows": ({"session": {"executionMode": "both"}}, "spec.session.executionMode"),
    "a plan of operators at the same time": (
        {"session": {"executionMode": "parallel", "memoryPattern": True}},
        "session.memoryPattern needs",
    ),
    "an entry that nothing reads": ({"session": {"configEntries": {"session.made_up": "1"}}}, "takes these keys"),
    "an entry that is a path": (
        {"session": {"configEntries": {"session.optimized_model_filepath": "/tmp/x"}}},
        "spec.session.configEntries",
    ),
    "an entry of another kind": (
        {"session": {"configEntries": {"session.set_denormal_as_zero": "yes"}}},
        "a value of session.configEntries must be",
    ),
    "a default above the limit": ({"generation": {"maxTokens": 9, "maxTokensLimit": 8}}, "spec.generation"),
    "a hot temperature": ({"generation": {"temperature": 2.1}}, "spec.generation.temperature"),
    "top-p of nothing": ({"generation": {"topP": 0}}, "spec.generation.topP"),
    "a prompt without end": ({"warmup": {"prompts": ["x" * 4097]}}, "spec.warmup.prompts"),
    "a gate without a prompt": ({"rollout": {"gate": {"prompts": []}}}, "spec.rollout.gate.prompts"),
    "a gate that lets everything through": (
        {"rollout": {"gate": {"prompts": ["a"], "maxRegressionPercent": 100}}},
        "spec.rollout.gate.maxRegressionPercent",
    ),
    "a gate of one token": ({"rollout": {"gate": {"prompts": ["a"], "maxTokens": 1}}}, "spec.rollout.gate.maxTokens"),
    "a share above all": ({"providerLimits": {"minSharePercent": 101}}, "spec.providerLimits.minSharePercent"),
    "negative replicas": ({"replicas": -1}, "spec.replicas"),
    "a thousand and one replicas": ({"replicas": 1001}, "spec.replicas"),
    "an engine nobody knows": ({"engine": {"mode": "magic"}}, "spec.engine.mode"),
    "an option of another engine": ({"engine": {"mode": "single", "speculation": "ngram"}}, "spec.engine"),
    "a batch on a GPU": ({"engine": {"mode": "batch"}, "provider": "cuda"}, "engine.mode batch needs provider cpu"),
    "a KV cache as large as the pod": ({"engine": {"kvCache": "2Gi"}}, "less than resources.limits.memory"),
    "a KV cache larger than its pod": (
        {"engine": {"kvCache": "1Gi"}, "resources": {"limits": {"memory": "1000M"}}},
        "less than resources.limits.memory",
    ),
    "a KV cache of nothing": ({"engine": {"kvCache": 0}}, "spec.engine.kvCache"),
    "a KV cache of half a byte": ({"engine": {"kvCache": "1048576500m"}}, "spec.engine.kvCache"),
    "kept prefixes larger than what they are kept in": (
        {"engine": {"kvCache": "16Mi", "prefixCaching": {"maxBytes": "17Mi"}}},
        "must not exceed engine.kvCache",
    ),
    "a size of nothing": (
        {"engine": {"prefixCaching": {"enabled": False, "maxBytes": "1Mi"}}},
        "spec.engine.prefixCaching",
    ),
    "a batch of none": ({"engine": {"maxBatchSize": 0}}, "spec.engine.maxBatchSize"),
    "a chunk of one token": ({"engine": {"prefillChunk": 1}}, "spec.engine.prefillChunk"),
    "a Secret that is a path": ({"server": {"apiKeys": {"secretName": "../x"}}}, "spec.server.apiKeys.secretName"),
    "a client authority without a certificate": (
        {"server": {"tls": {"clientCASecretName": "clients"}}},
        "spec.server.tls.secretName",
    ),
    "requests above limits": (
        {"resources": {"requests": {"cpu": "1001m"}, "limits": {"cpu": 1}}},
        "spec.resources",
    ),
    "a quantity that is none": ({"resources": {"limits": {"memory": "much"}}}, "spec.resources.limits.memory"),
    "a label that is a path": ({"runtimeOptions": {"enableProfiling": "../x"}}, "spec.runtimeOptions.enableProfiling"),
    "a label that means on": ({"runtimeOptions": {"enableProfiling": "yes"}}, "spec.runtimeOptions.enableProfiling"),
    "a label of digits": ({"runtimeOptions": {"enableProfiling": "2"}}, "spec.runtimeOptions.enableProfiling"),
    "termination as a word": ({"runtimeOptions": {"terminateSession": "y"}}, "spec.runtimeOptions.terminateSession"),
    "a log level nobody knows": ({"runtimeOptions": {"logLevel": "loud"}}, "spec.runtimeOptions.logLevel"),
    "shrinking as a word": ({"runtimeOptions": {"arenaShrinkage": "yes"}}, "spec.runtimeOptions.arenaShrinkage"),
    "a drain without a unit": ({"runtimeOptions": {"drain": "30"}}, "spec.runtimeOptions.drain"),
    "a drain of two hours": ({"runtimeOptions": {"drain": "2h"}}, "spec.runtimeOptions.drain"),
    "a drain that is over": ({"runtimeOptions": {"drain": "-5s"}}, "spec.runtimeOptions.drain"),
    "a drain in milliseconds": ({"runtimeOptions": {"drain": "1500ms"}}, "spec.runtimeOptions.drain"),
    "a drain longer than numbers": ({"runtimeOptions": {"drain": "9" * 16 + "h"}}, "spec.runtimeOptions.drain"),
    "a rule of nothing": ({"runtimeOptions": {"cancel": "client="}}, "spec.runtimeOptions.cancel"),
    "a rule about a path": ({"runtimeOptions": {"cancel": "client=../x"}}, "spec.runtimeOptions.cancel"),
    "a rule that says a thing twice": (
        {"runtimeOptions": {"cancel": "client=a,client=b"}},
        "spec.runtimeOptions.cancel",
    ),
    "a rule about everything": ({"runtimeOptions": {"cancel": "older-than=0s"}}, "spec.runtimeOptions.cancel"),
    "a rule about days": ({"runtimeOptions": {"cancel": "client=a,older-than=25h"}}, "spec.runtimeOptions.cancel"),
    "a rule without end": ({"runtimeOptions": {"cancel": "client=" + "a" * 400}}, "spec.runtimeOptions.cancel"),
    "a rule about no tokens": ({"runtimeOptions": {"cancel": "tokens-over=0"}}, "spec.runtimeOptions.cancel"),
    "a load without clients": ({"tuning": {"load": {"clients": 0}}}, "spec.tuning.load.clients"),
    "too many threads to try": ({"tuning": {"sweep": {"threads": [1025]}}}, "spec.tuning.sweep.threads"),
    "too many values to try": ({"tuning": {"sweep": {"batch": list(range(1, 10))}}}, "spec.tuning.sweep.batch"),
    "spinning as a boolean": ({"tuning": {"sweep": {"spinning": [True]}}}, "spec.tuning.sweep.spinning"),
    "a chunk that is too small": ({"tuning": {"sweep": {"prefillChunk": [8]}}}, "spec.tuning.sweep.prefillChunk"),
    "no time to measure": ({"tuning": {"maxSeconds": 9}}, "spec.tuning.maxSeconds"),
    "a way to apply that there is not": ({"tuning": {"apply": "Once"}}, "spec.tuning.apply"),
    "a request of two words": ({"tuning": {"request": "a b"}}, "spec.tuning.request"),
    "a recorder without an objective": ({"flightRecorder": {"for": "30s"}}, "spec.flightRecorder"),
    "an objective without a unit": ({"flightRecorder": {"ttftP99": "2"}}, "spec.flightRecorder.ttftP99"),
    "an objective of minutes": ({"flightRecorder": {"interTokenP99": "2m"}}, "spec.flightRecorder.interTokenP99"),
    "a recorder that never waits": (
        {"flightRecorder": {"ttftP99": "1s", "for": "10ms"}},
        "spec.flightRecorder.for",
    ),
    "a recorder without end": (
        {"flightRecorder": {"ttftP99": "1s", "maxPerHour": 61}},
        "spec.flightRecorder.maxPerHour",
    ),
    "a window larger than the pod's disk": (
        {"runtimeOptions": {"profilingLimits": {"maxBytes": "1Gi"}}},
        "spec.runtimeOptions.profilingLimits.maxBytes",
    ),
    "a window of no bytes": (
        {"runtimeOptions": {"profilingLimits": {"maxBytes": 1}}},
        "spec.runtimeOptions.profilingLimits.maxBytes",
    ),
    "a toleration of any value": ({"tolerations": [{"operator": "Exists", "value": "x"}]}, "spec.tolerations[0]"),
    "a node's label that none can have": ({"nodeSelector": {"a b": "c"}}, "spec.nodeSelector"),
    "a node's label with a bad value": ({"nodeSelector": {"disk": "s s d"}}, "spec.nodeSelector.disk"),
    "a resource with a blank": ({"resources": {"limits": {"c pu": "1"}}}, "spec.resources.limits"),
    "a toleration of no key": ({"tolerations": [{"value": "x"}]}, "spec.tolerations[0]"),
    "a toleration that ends": ({"tolerations": [{"key": "a", "tolerationSeconds": 5}]}, "spec.tolerations[0]"),
    "a claim that no claim is called": ({"model": {"uri": "pvc://a..b/x"}}, "spec.model.uri"),
    "an image with a space": ({"image": "not an image"}, "spec.image"),
    "a field of a later version": ({"teleport": {}}, "spec.teleport"),
    "an adapter outside its folder": ({"adapters": [{"name": "a", "path": "a/../b"}]}, "spec.adapters[0].path"),
    "a hub's name alone": ({"model": {"uri": "hf://name"}}, "spec.model.uri"),
    "a question that is none of ours": ({"model": {"uri": "hf://org/name?token=x"}}, "spec.model.uri"),
    "an archive without TLS": ({"model": {"uri": "http://models.example/a.tar"}}, "spec.model.uri"),
    "an archive with a user": ({"model": {"uri": "https://me:pw@models.example/a.tar"}}, "spec.model.uri"),
    "a file of a ConfigMap": ({"model": {"uri": "configmap://tiny/model.onnx"}}, "spec.model.uri"),
    "half an image's digest": ({"model": {"uri": "oci://r.example/model@sha256:0a"}}, "spec.model.uri"),
    "a Secret for a model of the image": (
        {"model": {"uri": "builtin://hello", "secretName": "keys"}},
        "are for sources that are fetched",
    ),
    "a cache for a claim": (
        {"model": {"uri": "pvc://claim/a", "cache": {"claimName": "cache"}}},
        "are for sources that are fetched",
    ),
    "a size for a ConfigMap": (
        {"model": {"uri": "configmap://tiny", "maxBytes": "1Gi"}},
        "are for sources that are fetched",
    ),
    "a region of no bucket": ({"model": {"uri": "gs://bucket/a", "region": "us"}}, "model.region is for s3://"),
    "an endpoint with a question": ({"model": {"uri": "hf://a/b", "endpoint": "https://b?x"}}, "spec.model.endpoint"),
    "offline without a cache": ({"model": {"uri": "hf://a/b", "offline": True}}, "model.offline needs model.cache"),
    "half a folder's digest": ({"model": {"uri": "builtin://hello", "sha256": "0a"}}, "spec.model.sha256"),
    "a folder of half a byte": ({"model": {"uri": "hf://a/b", "maxBytes": "2000000.5"}}, "spec.model.maxBytes"),
    "an adapter without a name": ({"adapters": [{"path": "a"}]}, "spec.adapters[0].name"),
    "two adapters of one name": (
        {"adapters": [{"name": "a", "path": "b"}, {"name": "a", "path": "c"}]},
        "spec.adapters[1]",
    ),
    "an adapter of another engine": (
        {"adapters": [{"name": "a", "path": "b"}], "engine": {"mode": "single"}},
        "adapters need the engine batch",
    ),
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
