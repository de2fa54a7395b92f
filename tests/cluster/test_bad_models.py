"""Models that cannot serve: the columns of `kubectl get` name the cause within a minute, and no other model suffers.

All are made at once, so that each has its minute while the others have theirs.
"""

from collections.abc import Callable, Iterator

import pytest

from support.client_pod import RUNTIME_IMAGE
from support.live_cluster import LiveCluster, wait_until
from support.model_folder import ModelFolder
from support.model_resource import ModelAccess, genai_model

SECONDS = 60
TINY = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "1Gi"}}

CASES = {
    "no-image": ({"image": "localhost/genai-runtime:missing"}, "ImagePullBackOff", "genai-runtime:missing"),
    "no-builtin": ({"model": {"uri": "builtin://nothing"}}, "ModelNotFound", "nothing"),
    "no-folder": ({"model": {"uri": "pvc://models/none"}}, "ModelNotFound", "none"),
    "no-file": ({"model": {"uri": "pvc://models/hello"}}, "ModelInvalid", "genai_config.json"),
    "link-out": ({"model": {"uri": "pvc://models/linked"}}, "ModelInvalid", "LinkOutside: 'model.onnx.data'"),
    "library": ({"model": {"uri": "pvc://models/library"}}, "ModelInvalid", "CustomOperators: 'libevil.so'"),
    "no-claim": ({"model": {"uri": "pvc://missing/hello"}}, "Unschedulable", "missing"),
    "no-gpu": ({"provider": "cuda"}, "ExecutionProviderUnavailable", "runtimeImages.cuda"),
    "no-device": ({"provider": "openvino", "image": RUNTIME_IMAGE}, "ExecutionProviderUnavailable", "OpenVINO"),
    "no-free-gpu": (
        {"provider": "cuda", "image": RUNTIME_IMAGE, "resources": {**TINY, "limits": {"nvidia.com/gpu": 1}}},
        "Unschedulable",
        "nvidia.com/gpu",
    ),
    "no-slice": (
        {"provider": "cuda", "image": RUNTIME_IMAGE, "resources": {**TINY, "limits": {"nvidia.com/mig-1g.10gb": 1}}},
        "Unschedulable",
        "nvidia.com/mig-1g.10gb",
    ),
    "no-fp16": ({"precision": "fp16"}, "InvalidSpec", "its weights are int4"),
    "no-room": (
        {"resources": {"requests": {"cpu": "900", "memory": "64Mi"}, "limits": {"cpu": "900", "memory": "1Gi"}}},
        "Unschedulable",
        "cpu",
    ),
    "no-memory": (
        {"resources": {"requests": {"cpu": "10m", "memory": "24Mi"}, "limits": {"cpu": "1", "memory": "24Mi"}}},
        "OutOfMemory",
        "memory",
    ),
}


@pytest.fixture(scope="module")
def bad_models(cluster: LiveCluster, new_namespace: Callable[[], str]) -> Iterator[str]:
    """The namespace with one model a case, and a claim `models` in it whose folders lack a file or would do harm."""
    namespace = new_namespace()
    folder = ModelFolder(cluster, namespace)
    folder.make(claim="models", path="hello", without="genai_config.json")
    folder.add_harmful(path="linked", kind="link")
    folder.add_harmful(path="library", kind="library")
    for name, (spec, _, _) in CASES.items():
        cluster.create(genai_model(name, namespace, **{"resources": TINY, **spec}))
    yield namespace
    cluster.delete("Namespace", namespace)
    folder.remove()


def columns(cluster: LiveCluster, name: str, namespace: str) -> dict[str, str]:
    """What `kubectl get` prints of it, by column."""
    header, line = cluster.kubectl("get", "genaimodel", name, "-n", namespace).splitlines()
    starts = [header.index(title) for title in header.split()]
    ends = [*starts[1:], len(line) + 1]
    return {title: line[start:end].strip() for title, start, end in zip(header.split(), starts, ends, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_the_columns_say_why(cluster: LiveCluster, bad_models: str, name: str) -> None:
    _, reason, named = CASES[name]
    model = ModelAccess(cluster, name, bad_models)

    def said() -> bool:
        found = columns(cluster, name, bad_models)
        return (found["READY"], found["REASON"]) == ("False", reason)

    try:
        wait_until(f"READY False and REASON {reason}", said, SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}; status is {model.status()}") from None
    assert named in model.condition("Ready")["message"]


def test_bad_models_do_no_harm_to_others(cluster: LiveCluster, bad_models: str, shared_model: ModelAccess) -> None:
    assert shared_model.namespace != bad_models
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in shared_model.pods()] == [0]
    shared_model.wait_ready()


@pytest.mark.parametrize("name", ["no-image", "no-memory", "no-claim"])
def test_a_bad_model_can_be_deleted(cluster: LiveCluster, bad_models: str, name: str) -> None:
    cluster.delete("GenAIModel", name, bad_models)
    model = ModelAccess(cluster, name, bad_models)
    wait_until(
        "gone with its pods", lambda: cluster.get("GenAIModel", name, bad_models) is None and not model.pods(), 60
    )
