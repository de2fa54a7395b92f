"""Models that are built before they are served: by the real builder, of safetensors that a pod fetches, once for all.

The hub is a server of this test's process. What the builder refuses and measures is in the tests of its image; how the
operator acts on what Jobs say, in the contract tests.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest

from imagebuild import build
from imagebuild.recipes import BUILDER
from localkube.cluster import Cluster
from support.client_pod import ClientPod
from support.hello_source import write_source
from support.hub_server import HubServer, hub_server
from support.live_cluster import LiveCluster, Object, wait_until
from support.model_folder import ModelFolder
from support.model_resource import ModelAccess, condition, genai_model

pytestmark = pytest.mark.timeout(3600)

SERVING = {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
BUILDING = {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"cpu": "2", "memory": "3Gi"}}
# PyTorch, GenAI's builder and two measurements, on a machine that does other things as well.
BUILD_SECONDS = 900.0
SECONDS = 180.0
TOKENS = 256


@dataclass
class World:
    """A namespace with a claim `cache` and a text, and a hub with what the demo model is built of."""

    cluster: LiveCluster
    namespace: str
    hub: HubServer

    def make(self, name: str, **spec: Any) -> ModelAccess:
        """A model that is to be built."""
        building: Object = {
            "resources": BUILDING,
            "evaluation": {"configMapName": "text", "key": "a", "maxTokens": TOKENS},
        }
        source = {
            "uri": f"hf://{self.hub.repository}",
            "endpoint": self.hub.url,
            "cache": {"claimName": "cache"},
            "build": building,
        }
        fields = {"model": source, "precision": "int4", "resources": SERVING, **spec}
        self.cluster.create(genai_model(name, self.namespace, **fields))
        return ModelAccess(self.cluster, name, self.namespace)


@pytest.fixture(scope="module")
def world(
    cluster: LiveCluster, new_namespace: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    build.load(Cluster.select(), [BUILDER])
    namespace = new_namespace()
    folder = ModelFolder(cluster, namespace)
    folder.make_empty("cache")
    text = "The capital of France is Paris. " * TOKENS
    metadata = {"name": "text", "namespace": namespace}
    cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": text}})
    source: Path = write_source(tmp_path_factory.mktemp("source") / "hello")
    with hub_server("team/hello", host=cluster.own_address()) as hub:
        hub.commit({each.name: each.read_bytes() for each in source.iterdir()})
        yield World(cluster, namespace, hub)
    cluster.delete("Namespace", namespace)
    folder.remove()


def built(model: ModelAccess) -> Object:
    """`status.build`, once the build that the spec asks for has ended well."""

    def ended() -> Object | None:
        found = dict(model.status().get("build", {}))
        assert found.get("state") != "Failed", found
        seen = model.status().get("observedGeneration") == model.get()["metadata"]["generation"]
        return found if seen and found.get("state") == "Complete" else None

    return wait_until(f"{model.name} is built", ended, BUILD_SECONDS)


def options(model: ModelAccess) -> set[tuple[int, int]]:
    """(block size, accuracy level) of the 4-bit products in the graph that the newest pod has."""
    pod = max(model.ready_pods(), key=lambda each: str(each["metadata"]["creationTimestamp"]))["metadata"]["name"]
    arguments = ("exec", "-n", model.namespace, pod, "-c", "model", "--", "cat", "/models/model/model.onnx")
    graph = onnx.load_model_from_string(model.cluster.kubectl_bytes(*arguments)).graph
    products = [each for each in graph.node if each.op_type == "MatMulNBits"]
    found = [{each.name: each.i for each in node.attribute} for node in products]
    return {(each["block_size"], each["accuracy_level"]) for each in found}


def test_a_model_is_built_served_and_built_anew_while_it_serves(world: World, client: ClientPod) -> None:
    model = world.make("hello")

    def followed() -> Object | None:
        """What the builder's own container says of itself."""
        body = model.get()
        found: Object = body.get("status", {}).get("build", {})
        assert found.get("state") not in ("Complete", "Failed"), found
        return body if found.get("step") in ("Building", "Measuring") else None

    seen = wait_until("the builder says how far it is", followed, BUILD_SECONDS)
    assert seen["status"]["build"]["pod"].startswith("hello-build-")
    assert condition(seen, "Ready")["reason"] == "Building"
    first = built(model)
    quality = first["quality"]
    assert quality["perplexity"] > 0
    assert quality["referencePerplexity"] > 0
    assert 0 < quality["tokens"] <= TOKENS
    assert first["builder"].startswith("onnxruntime-genai ")
    assert (first["cached"], first["served"]["precision"]) == (False, "int4")
    model.wait_ready(seconds=SECONDS)
    status = model.status()
    assert (status["model"]["digest"], status["model"]["cached"]) == (first["digest"], True)
    assert status["effective"]["precision"] == "int4"
    answer, code = client.ask(model.address)
    assert (answer.strip(), code) == ("The capital of France is Paris.", "OK")
    assert options(model) == {(32, 4)}

    same = world.make("same", replicas=0)
    found = built(same)
    assert (found["digest"], found["cached"], found["quality"]) == (first["digest"], True, quality)

    (pod,) = model.ready_pods()
    model.patch_spec(model={"build": {"int4BlockSize": 128, "int4AccuracyLevel": 1}})
    wait_until("another build", lambda: model.status()["build"]["state"] != "Complete", SECONDS)
    serving = [each["metadata"]["uid"] for each in model.ready_pods()]
    still = model.get()
    assert client.ask(model.address)[1] == "OK"
    if still["status"]["build"]["state"] != "Complete":  # nobody says how long this process is kept waiting
        assert serving == [pod["metadata"]["uid"]]
        assert condition(still, "Ready")["status"] == "True"
    second = built(model)
    assert second["digest"] != first["digest"]
    wait_until(
        "pods of the new build", lambda: model.status().get("model", {}).get("digest") == second["digest"], SECONDS
    )
    model.wait_ready(seconds=SECONDS)
    assert client.ask(model.address)[1] == "OK"
    assert options(model) == {(128, 1)}


def test_tuning_tries_another_build_beside_the_one_that_is_served(world: World) -> None:
    """After the test above, which has made both: what is in the cache is not built again."""
    nothing: Object = {"threads": [], "spinning": [], "batch": [], "prefillChunk": []}
    sweep = {**nothing, "int4BlockSize": [32], "int4AccuracyLevel": [4], "maxPerplexityIncreasePercent": 1000}
    load = {"clients": 1, "promptTokens": 8, "newTokens": 4}
    model = world.make("tuned", replicas=0)
    model.patch_spec(
        model={"build": {"int4BlockSize": 128, "int4AccuracyLevel": 1}},
        tuning={"load": load, "sweep": sweep, "maxSeconds": 20},
    )

    def ended() -> Object | None:
        found: Object = model.status().get("recommended", {})
        return found if found.get("state") in ("Complete", "Failed") else None

    found = wait_until("the builds were compared", ended, BUILD_SECONDS)
    assert found["state"] == "Complete", found
    present, other = found["variants"]
    named = [(each["precision"], each["int4BlockSize"], each["int4AccuracyLevel"]) for each in (present, other)]
    assert named == [("int4", 128, 1), ("int4", 32, 4)]
    quality = built(model)["quality"]
    assert (present["perplexity"], present["increasePercent"]) == pytest.approx(
        (quality["perplexity"], quality["increasePercent"]), abs=0.01
    )
    assert present["sizeBytes"] < other["sizeBytes"]
    assert not [each for each in (present, other) if "refused" in each]
    measured = "precision" not in found.get("notMeasured", ())  # a machine that is busy may leave no time for it
    assert [each.get("tokensPerSecond", 0) > 0 for each in (present, other)] == [measured, measured]


def test_what_cannot_be_built_says_why_and_where_the_log_is(world: World) -> None:
    """The builder looks for it: source and cache are of one claim."""
    model = world.make("folder", model={"uri": "pvc://cache/nothing", "cache": {"claimName": "cache"}, "build": {}})
    said = model.wait_condition("ModelBuilt", "False", "ModelNotFound", BUILD_SECONDS)["message"]
    assert "/models/nothing is no folder" in said
    assert f"kubectl logs -n {world.namespace} folder-build-" in said
    assert model.condition("Ready")["reason"] == "ModelNotFound"
