"""LoRA adapters that a serving pod fetches: a real engine process, told over the control socket, and a hub."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from genai_runtime.front.adapter_fetch import NO_CACHE, AdapterCache, AdapterSource, FetchFailed, fetch_adapter
from support.adapter_server import Served, serving, write_model
from support.fetching import digest_of
from support.hub_server import HubServer, hub_server
from support.lora import write_adapter
from support.runtime import holds

pytestmark = pytest.mark.model
TOKEN = "hf_only-for-readers"
FILE = "adapter.onnx_adapter"


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The two that lie in the model's folder, as bytes, and one that would feed the model what a request asks for."""
    folder = tmp_path_factory.mktemp("adapters")
    made = write_model(folder / "model") / "adapters"
    found = {name: (made / f"{name}.onnx_adapter").read_bytes() for name in ("legal", "medical")}
    feeding = write_adapter(folder / FILE, {"input_ids": np.full((1, 1), 5, np.int64)})
    return {**found, "feeding": feeding.read_bytes()}


@pytest.fixture
def hub(adapters: dict[str, bytes]) -> Iterator[HubServer]:
    with hub_server("team/loras") as server:
        files = {f"{name}/{FILE}": content for name, content in adapters.items()}
        others = {"README.md": b"# Adapters", f"broken/{FILE}": b"PK\3\4 no adapter", "legal/model.safetensors": b"0"}
        server.commit({**files, **others})
        yield server


def of_hub(hub: HubServer, folder: str, **fields: Any) -> dict[str, Any]:
    return {"uri": f"hf://team/loras?path={folder}", "endpoint": hub.url, **fields}


def settings(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "credentials/hub").mkdir(parents=True)
    (tmp_path / "credentials/hub/token").write_text(TOKEN)
    places = {"adapter_cache_dir": tmp_path / "cache", "adapter_credentials_dir": tmp_path / "credentials"}
    return {"adapter_cache_bytes": 1 << 20, "adapter_proxies": {"NO_PROXY": "*"}, **places}


def cached(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache/models").glob("*")}


async def all_tokens(served: Served, *names: str) -> list[list[int]]:
    return [await served.tokens(name) for name in names]


async def test_an_adapter_is_fetched_and_changes_the_tokens_of_those_who_name_it(
    tmp_path: Path, hub: HubServer, adapters: dict[str, bytes]
) -> None:
    async with serving(tmp_path, **settings(tmp_path)) as served:
        await served.set(legal="adapters/legal.onnx_adapter", medical="adapters/medical.onnx_adapter")
        expected = await all_tokens(served, "", "legal", "medical")
        assert await served.set() == {}
        assert await served.refusal("legal") is grpc.StatusCode.NOT_FOUND

        legal = of_hub(hub, "legal", sha256=digest_of({FILE: adapters["legal"]}))
        hub.token = TOKEN
        assert await served.set(legal=legal) == {"legal": "rejected"}
        assert "Unauthorized" in served.words("legal")
        assert "spec.adapters[].secretName" in served.words("legal")
        medical = {"uri": "hf://team/loras", "path": "medical", "endpoint": hub.url, "secret_name": "hub"}
        both = {"legal": {**legal, "secret_name": "hub"}, "medical": medical}
        assert await served.set(**both) == {"legal": "loaded", "medical": "loaded"}
        assert await all_tokens(served, "", "legal", "medical") == expected
        assert not [each for each in hub.network.seen if not each.path.endswith(FILE)]  # nothing but adapters came

        await served.set(medical=medical)
        assert await served.refusal("legal") is grpc.StatusCode.NOT_FOUND
        assert await all_tokens(served, "", "medical") == [expected[0], expected[2]]
        await holds(lambda: cached(tmp_path) == {digest_of({f"medical/{FILE}": adapters["medical"]})})


async def test_one_that_cannot_be_had_says_why_and_the_others_are_there(
    tmp_path: Path, hub: HubServer, adapters: dict[str, bytes]
) -> None:
    wanted = {
        "other": of_hub(hub, "medical", sha256="0a" * 32),
        "large": of_hub(hub, "medical", max_bytes=1000),
        "absent": of_hub(hub, "nothing"),
        "broken": of_hub(hub, "broken"),
        "feeding": of_hub(hub, "feeding"),
        "legal": of_hub(hub, "legal"),
    }
    said = {
        "other": ("ChecksumMismatch", digest_of({FILE: adapters["medical"]}), "spec.adapters[].sha256"),
        "large": ("ModelTooLarge", "1000", "spec.adapters[].maxBytes"),
        "absent": ("ModelNotFound", "no folder 'nothing'"),
        "broken": ("ModelInvalid", "is no LoRA adapter"),
        "feeding": ("does not fit the model", "it replaces 'input_ids'"),
    }
    async with serving(tmp_path, **settings(tmp_path)) as served:
        plain = await served.tokens("")
        states = await served.set(**wanted)
        assert states == {**dict.fromkeys(said, "rejected"), "legal": "loaded"}
        for name, words in said.items():
            assert [word for word in words if word not in served.words(name)] == [], name
        assert await served.tokens("legal") != plain
        assert await served.tokens("") == plain


async def test_all_together_are_bounded_and_a_pod_without_room_fetches_none(tmp_path: Path, hub: HubServer) -> None:
    source, cache = AdapterSource("hf://team/loras?path=legal", endpoint=hub.url), tmp_path / "cache"
    with pytest.raises(FetchFailed, match=r"more than the 100 that .* has 5000 bytes for all adapters together"):
        await fetch_adapter(source, AdapterCache(cache, 5000), 4900)
    with pytest.raises(FetchFailed, match="the other adapters take all of the 5000 bytes"):
        await fetch_adapter(source, AdapterCache(cache, 5000), 5000)
    with pytest.raises(FetchFailed, match="without room for adapters"):
        await fetch_adapter(source, NO_CACHE, 0)
