"""How a model gets into its pod: what is mounted, what the init container is told, and who may write what."""

from typing import Any

import pytest

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders import build_children
from genai_operator.settings import OperatorSettings
from support.models import make_model

SETTINGS = OperatorSettings(runtime_image="registry.example/runtime:1")
DIGEST = "0a" * 32
FETCHED = ["hf://org/name", "s3://bucket/a", "gs://bucket/a", "https://a.example/a.tar", "oci://r.example/m:1"]


def pod(model: GenAIModel, settings: OperatorSettings = SETTINGS) -> dict[str, Any]:
    spec: dict[str, Any] = build_children(model, settings).deployment["spec"]["template"]["spec"]
    return spec


def source(uri: str, **fields: Any) -> GenAIModel:
    return make_model(model={"uri": uri, **fields})


def initial(spec: dict[str, Any]) -> dict[str, Any]:
    (found,) = spec["initContainers"]
    return dict(found)


def mounts(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in container["volumeMounts"]}


def volume(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return next(dict(each) for each in spec["volumes"] if each["name"] == name)


@pytest.mark.parametrize("uri", FETCHED)
def test_a_fetched_model_is_served_from_the_link_that_its_init_container_makes(uri: str) -> None:
    spec = pod(source(uri))
    told = initial(spec)["args"]
    assert told[:7] == ["fetch", "--uri", uri, "--cache", "/var/lib/genai/models", "--link", "/models/model"]
    assert told[-4:] == ["--control-port", "9443", "--control-tls-dir", "/etc/genai/control-tls"]
    assert spec["containers"][0]["args"] == ["serve", "/models/model"]


def test_what_the_source_leaves_open_is_not_told() -> None:
    told = initial(pod(source("hf://org/name")))["args"]
    assert {each for each in told if each.startswith("--")} == {
        *("--uri", "--cache", "--link", "--max-bytes", "--control-port", "--control-tls-dir"),
    }
    full = source(
        "s3://bucket/a",
        sha256=DIGEST,
        endpoint="http://minio:9000",
        region="eu-west-1",
        secretName="keys",
        maxBytes="2Gi",
        cache={"claimName": "models"},
        offline=True,
    )
    told = initial(pod(full))["args"]
    for option, value in (
        ("--sha256", DIGEST),
        ("--endpoint", "http://minio:9000"),
        ("--region", "eu-west-1"),
        ("--secret-dir", "/etc/genai/model-credentials"),
        ("--max-bytes", str(2 * 1024**3)),
    ):
        assert told[told.index(option) + 1] == value
    assert "--offline" in told


def test_only_the_init_container_writes_the_cache_and_has_the_credentials() -> None:
    spec = pod(source("hf://org/name", secretName="keys", cache={"claimName": "models"}))
    fetching, serving = mounts(initial(spec)), mounts(spec["containers"][0])
    assert "readOnly" not in fetching["model-cache"]
    assert serving["model-cache"]["readOnly"]
    assert serving["models"]["readOnly"]
    assert fetching["model-credentials"]["readOnly"]
    assert "model-credentials" not in serving
    assert "run" not in fetching
    assert volume(spec, "model-cache")["persistentVolumeClaim"] == {"claimName": "models"}
    # Else the kubelet waits for it without a word in the pod's status.
    assert volume(spec, "model-credentials")["secret"]["optional"]


@pytest.mark.parametrize(
    ("uri", "times"),
    [("hf://org/name", 1), ("https://a.example/a.zip", 2), ("oci://a.example/a", 2)],
    ids=["files", "an archive", "layers"],
)
def test_a_cache_of_the_pods_own_has_room_for_the_largest_model(uri: str, times: int) -> None:
    size = volume(pod(source(uri, maxBytes="1Gi")), "model-cache")["emptyDir"]["sizeLimit"]
    assert int(size) == times * 1024**3 + 64 * 1024**2


@pytest.mark.parametrize("uri", ["builtin://hello", "pvc://claim/a", "configmap://tiny"])
def test_a_model_that_is_there_is_not_fetched(uri: str) -> None:
    spec = pod(source(uri))
    assert "initContainers" not in spec
    assert "model-cache" not in {each["name"] for each in spec["volumes"]}


@pytest.mark.parametrize(
    ("uri", "folder"),
    [("builtin://hello", "builtin://hello"), ("pvc://claim/a/b", "/models/a/b"), ("configmap://tiny", "/models/model")],
)
def test_a_digest_of_what_is_there_is_compared_before_it_is_served(uri: str, folder: str) -> None:
    spec = pod(source(uri, sha256=DIGEST))
    assert initial(spec)["args"] == ["digest", folder, "--sha256", DIGEST]
    assert all(each.get("readOnly") for name, each in mounts(initial(spec)).items() if name != "tmp")
    assert spec["containers"][0]["args"] == ["serve", folder]


def test_a_configmaps_files_are_mounted_without_the_kubelets_links() -> None:
    spec = pod(source("configmap://tiny"))
    assert volume(spec, "models")["configMap"] == {"name": "tiny", "optional": True}
    mount = mounts(spec["containers"][0])["models"]
    assert (mount["mountPath"], mount["subPath"], mount["readOnly"]) == ("/models/model", "..data", True)


def test_an_image_is_mounted_where_the_cluster_can() -> None:
    able = SETTINGS.model_copy(update={"image_volumes": True})
    spec = pod(source("oci://r.example/m:1", secretName="registry"), able)
    assert "initContainers" not in spec
    assert volume(spec, "models")["image"] == {"reference": "r.example/m:1", "pullPolicy": "IfNotPresent"}
    assert spec["containers"][0]["args"] == ["serve", "/models/model"]
    assert {"name": "registry"} in spec["imagePullSecrets"]
    # What the kubelet cannot do is the fetcher's.
    for asked in ({"cache": {"claimName": "models"}}, {"maxBytes": "1Gi"}, {"endpoint": "http://r:5000"}):
        assert initial(pod(source("oci://r.example/m:1", **asked), able))["name"] == "fetch"
    assert initial(pod(source("hf://org/name"), able))["name"] == "fetch"


def test_a_pull_secret_is_named_once() -> None:
    able = SETTINGS.model_copy(update={"image_volumes": True})
    model = make_model(
        model={"uri": "oci://r.example/m:1", "secretName": "registry"}, imagePullSecrets=[{"name": "registry"}]
    )
    assert pod(model, able)["imagePullSecrets"] == [{"name": "registry"}]


def test_the_init_container_is_restricted_and_asks_for_no_more_than_the_model() -> None:
    same = {"cpu": "2", "memory": "4Gi"}
    resources = {"requests": same, "limits": {**same, "nvidia.com/gpu": 1}}
    spec = pod(make_model(model={"uri": "hf://org/name"}, resources=resources))
    container = initial(spec)
    assert container["securityContext"] == spec["containers"][0]["securityContext"]
    assert container["resources"] == {"requests": same, "limits": same}
    assert spec["automountServiceAccountToken"] is False


def test_models_are_fetched_through_the_operators_proxies() -> None:
    proxied = SETTINGS.model_copy(update={"https_proxy": "http://proxy:3128", "no_proxy": ".svc"})
    spec = pod(source("hf://org/name"), proxied)
    assert initial(spec)["env"] == [
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
        {"name": "NO_PROXY", "value": ".svc"},
    ]
    own = make_model(model={"uri": "hf://org/name"}, env=[{"name": "HTTPS_PROXY", "value": "http://own:1"}])
    assert initial(pod(own, proxied))["env"] == [
        {"name": "NO_PROXY", "value": ".svc"},
        {"name": "HTTPS_PROXY", "value": "http://own:1"},
    ]
    assert "HTTPS_PROXY" not in {each["name"] for each in spec["containers"][0]["env"]}
    assert "env" not in initial(pod(source("hf://org/name")))
