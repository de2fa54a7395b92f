"""Models that pods fetch: once for all replicas of a cache, followed in the status, and refused by name.

The hub is a server of this test's process, which pods reach at this machine's address. What else can go wrong with a
source is in the contract tests of fetching.
"""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.fetching import digest_of, hello_files
from support.hub_server import HubServer, hub_server
from support.live_cluster import CommandFailed, LiveCluster, Object, wait_until
from support.lora import head_weights, write_adapter
from support.model_folder import ModelFolder
from support.model_resource import ModelAccess, genai_model
from support.tiny_decoder import TinyDecoder

SMALL = {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
DATA = "model.onnx.data"
WRONG = "0a" * 32
SECONDS = 180.0
# (model, reason of Ready, what its message names)
BAD: dict[str, tuple[Object, str, str]] = {
    "no-secret": ({"uri": "hf://team/hello-onnx", "secretName": "none"}, "InvalidSpec", "(Secret none)"),
    "no-cache": ({"uri": "hf://team/hello-onnx", "cache": {"claimName": "missing"}}, "Unschedulable", "missing"),
    "no-configmap": ({"uri": "configmap://none"}, "ModelNotFound", "configmap://none"),
    "other-digest": ({"uri": "builtin://hello", "sha256": WRONG}, "ChecksumMismatch", WRONG),
}


@dataclass
class World:
    """A namespace with a claim `cache`, and a hub with the demo model, whose weights are held back until `release`."""

    cluster: LiveCluster
    namespace: str
    hub: HubServer
    commit: str

    def make(self, name: str, source: Object, **spec: Any) -> ModelAccess:
        """A model of that source; those of the hub are this one's."""
        if source["uri"].startswith("hf:"):
            source = {**source, "endpoint": self.hub.url}
        self.cluster.create(genai_model(name, self.namespace, **{"model": source, "resources": SMALL, **spec}))
        return ModelAccess(self.cluster, name, self.namespace)

    def fetches(self) -> int:
        """How often the weights were asked for from their beginning; a pause of the network brings the rest alone."""
        return len([each for each in self.hub.network.asked(f"/{self.commit}/{DATA}") if not each.range])


@pytest.fixture(scope="module")
def world(cluster: LiveCluster, new_namespace: Callable[[], str]) -> Iterator[World]:
    namespace = new_namespace()
    folder = ModelFolder(cluster, namespace)
    folder.make_empty("cache")
    with hub_server(host=cluster.own_address()) as hub:
        made = World(cluster, namespace, hub, hub.commit(hello_files()))
        hub.network.faults.hold[f"/{made.commit}/{DATA}"] = 1 << 20
        yield made
    cluster.delete("Namespace", namespace)
    folder.remove()


def test_two_replicas_of_one_cache_fetch_once_and_the_status_says_how_far_it_is(world: World) -> None:
    files = hello_files()
    model = world.make("hello", {"uri": "hf://team/hello-onnx", "cache": {"claimName": "cache"}}, replicas=2)

    def fetching() -> Object | None:
        found: Object = model.status().get("model", {})
        return found if found.get("progress", {}).get("fetchedBytes", 0) >= 1 << 20 else None

    seen = wait_until("status.model.progress", fetching, SECONDS)
    assert seen["state"] == "Fetching"
    assert seen["progress"]["totalBytes"] == sum(map(len, files.values()))
    assert 0 < seen["progress"]["percent"] < 100
    assert model.condition("Ready")["reason"] == "Fetching"
    assert model.condition("ModelAvailable")["reason"] == "Fetching"
    world.hub.network.faults.release.set()
    model.wait_ready(2, SECONDS)
    assert world.fetches() == 1
    said = model.status()["model"]
    assert (said["state"], said["digest"], said["revision"]) == ("Fetched", digest_of(files), world.commit)
    assert "progress" not in said
    ended = [pod["status"]["initContainerStatuses"][0]["state"]["terminated"] for pod in model.pods()]
    assert sorted('"cached": true' in each["message"] for each in ended) == [False, True]
    pod = model.pods()[0]["metadata"]["name"]
    for folder in ("/var/lib/genai/models", "/models"):
        with pytest.raises(CommandFailed, match="Read-only"):
            world.cluster.kubectl("exec", "-n", world.namespace, pod, "-c", "model", "--", "touch", f"{folder}/x")


def test_another_model_of_that_cache_is_served_offline_once_its_digest_is_right(world: World) -> None:
    """After the test above, which filled the cache."""
    files = hello_files()
    source = {"uri": "hf://team/hello-onnx", "cache": {"claimName": "cache"}, "sha256": WRONG}
    model = world.make("pinned", source)
    condition = model.wait_condition("Ready", "False", "ChecksumMismatch", SECONDS)
    assert digest_of(files) in condition["message"]
    assert model.condition("ModelAvailable")["reason"] == "ChecksumMismatch"
    assert model.status()["model"] == {"state": "Failed"}
    model.patch_spec(model={"sha256": digest_of(files), "offline": True})
    model.wait_ready(seconds=SECONDS)
    assert model.status()["model"]["cached"] is True


def test_a_tiny_model_is_served_from_a_configmap_and_its_adapters_from_a_hub(world: World, tmp_path: Path) -> None:
    """The second adapter comes by a patch, and replaces no pod."""
    shape = TinyDecoder(layers=1, hidden=32, heads=2, kv_heads=1, external=False, lora_rank=0)
    folder = shape.write(tmp_path / "tiny")
    files = {each.name: each.read_bytes() for each in folder.iterdir()}
    world.cluster.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "tiny", "namespace": world.namespace},
            "binaryData": {name: base64.b64encode(content).decode() for name, content in files.items()},
        }
    )
    for seed, name in enumerate(("legal", "medical")):
        write_adapter(tmp_path / name, head_weights(shape.hidden, shape.vocabulary, seed))
    loras = {f"{name}/a.onnx_adapter": (tmp_path / name).read_bytes() for name in ("legal", "medical")}
    world.hub.commit(loras, branch="loras")
    legal, medical = (
        {"name": name, "uri": f"hf://team/hello-onnx@loras?path={name}", "endpoint": world.hub.url}
        for name in ("legal", "medical")
    )
    model = world.make("tiny", {"uri": "configmap://tiny", "sha256": digest_of(files)}, adapters=[legal])
    model.wait_ready(seconds=SECONDS)
    wait_until("the adapter", lambda: model.status()["effective"].get("adapters") == ["legal"], SECONDS)
    pod = model.pods()[0]["metadata"]
    plain, changed = (_answer(world, pod["name"], *option) for option in ((), ("--option", "adapter=legal")))
    assert plain != changed
    wrong = {**medical, "name": "wrong", "sha256": WRONG}
    model.patch_spec(adapters=[legal, medical, wrong])

    def told() -> Object | None:
        (each,) = model.status()["runtimeOptions"]["pods"]
        found = {adapter["name"]: adapter for adapter in each.get("adapters") or []}
        ended = {name: found.get(name, {}).get("state") for name in ("legal", "medical", "wrong")}
        return found if ended == {"legal": "Loaded", "medical": "Loaded", "wrong": "Rejected"} else None

    found = wait_until("each adapter is told", told, SECONDS)
    assert "ChecksumMismatch" in found["wrong"]["message"]
    assert _answer(world, pod["name"], "--option", "adapter=medical") not in (plain, changed)
    assert _answer(world, pod["name"], "--option", "adapter=legal") == changed
    assert [each["metadata"]["uid"] for each in model.pods()] == [pod["uid"]]
    said = model.status()["model"]
    assert (said["state"], said["digest"], said["files"]) == ("Verified", digest_of(files), len(files))


def _answer(world: World, pod: str, *options: str) -> str:
    asked = ("genai-runtime", "generate", "a", "--max-tokens", "12", "--temperature", "0", *options)
    return world.cluster.kubectl("exec", "-n", world.namespace, pod, "-c", "model", "--", *asked)


def test_models_that_cannot_be_had_say_why(world: World) -> None:
    """Made at once: each waits while the others do."""
    models = {name: world.make(name, source) for name, (source, _, _) in BAD.items()}
    for name, (_, reason, named) in BAD.items():
        condition = models[name].wait_condition("Ready", "False", reason, SECONDS)
        assert named in condition["message"]
