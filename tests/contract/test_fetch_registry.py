"""`genai-runtime fetch` from a real container registry: artifacts, images, indexes, credentials, resumed blobs."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_runtime.fetch.access import Access
from genai_runtime.fetch.sources import key_of
from support.archives import tar
from support.fetching import Fetches, hello_files, read_folder
from support.file_server import FileServer, running
from support.registry import (
    IMAGE_LAYER,
    INDEX,
    MANIFEST,
    PASSWORD,
    TITLE,
    USER,
    Layer,
    Registry,
    docker_config,
    files_of,
    packed,
    private_registry,
    registry,
)
from support.token_server import TokenServer

DATA = "model.onnx.data"
# The registry is compiled when it is not in the cache yet.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def fetches(tmp_path: Path) -> Fetches:
    found = Fetches(tmp_path)
    found.secrets = [PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()]
    return found


def test_an_artifact_by_tag_and_by_digest(public: Registry, fetches: Fetches) -> None:
    files = hello_files()
    digest = public.push("team/hello", files_of(files), "v1")
    found = fetches.here(f"oci://{public.host}/team/hello:v1")
    assert read_folder(found.folder) == files
    assert found.revision == digest
    public.push("team/hello", files_of({**files, "more.json": b"{}"}), "v1")
    assert fetches.here(f"oci://{public.host}/team/hello@{digest}").digest == found.digest
    # As with every other source: what a tag was when it was fetched, until somebody asks anew.
    assert fetches.here(f"oci://{public.host}/team/hello:v1").cached
    assert fetches.here(f"oci://{public.host}/team/hello:v1", refresh=True).digest != found.digest


def test_an_image_whose_layers_lie_over_each_other(public: Registry, fetches: Fetches) -> None:
    files = hello_files()
    below = {f"models/{name}": data for name, data in files.items() if name != DATA} | {
        "models/chat_template.jinja": b"old"
    }
    above = {f"models/{name}": files[name] for name in (DATA, "chat_template.jinja")}
    layers = [Layer(packed(tar(each, "w")), IMAGE_LAYER) for each in (below, above)]
    public.push("team/image", layers)
    assert read_folder(fetches.here(f"oci://{public.host}/team/image").folder) == files
    public.push(
        "team/image", [*layers, Layer(packed(tar({"models/.wh.model.onnx": b""}, "w")), IMAGE_LAYER)], "removed"
    )
    assert "FROM scratch" in fetches.refused("ModelInvalid", f"oci://{public.host}/team/image:removed")


def test_a_folder_that_the_client_packed_beside_a_file(public: Registry, fetches: Fetches) -> None:
    files = hello_files()
    folder = {f"tokenizer/{name}": b"{}" for name in ("a.json", "b.json")}
    annotations = {TITLE: "tokenizer", "io.deis.oras.content.unpack": "true"}
    public.push("team/mixed", [*files_of(files), Layer(packed(tar(folder, "w")), IMAGE_LAYER, annotations)])
    assert read_folder(fetches.here(f"oci://{public.host}/team/mixed").folder) == files | folder


def test_an_index_of_one_model_or_of_several(public: Registry, fetches: Fetches) -> None:
    def entry(digest: str, architecture: str) -> dict[str, object]:
        return {
            "mediaType": MANIFEST,
            "digest": digest,
            "size": 1,
            "platform": {"os": "linux", "architecture": architecture},
        }

    digest = public.push("team/index", files_of(hello_files()), "one")
    attestation = entry(digest, "unknown")
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(digest, "s390x"), attestation]}
    public.push_manifest("team/index", index, "index")
    assert fetches.here(f"oci://{public.host}/team/index:index").revision == digest
    index["manifests"] = [entry(digest, "s390x"), entry(digest, "riscv64")]
    public.push_manifest("team/index", index, "several")
    assert "by its digest" in fetches.refused("ModelNotFound", f"oci://{public.host}/team/index:several")


def test_a_blob_is_taken_up_where_an_earlier_run_stopped(public: Registry, fetches: Fetches) -> None:
    files = hello_files()
    public.push("team/resumed", files_of(files))
    uri = f"oci://{public.host}/team/resumed"
    partial = fetches.cache / "partial" / key_of(uri, Access())
    (partial / "files").mkdir(parents=True)
    (partial / "files" / DATA).write_bytes(files[DATA][:3_000_000])
    digest = hashlib.sha256(files[DATA]).hexdigest()
    (partial / "versions.json").write_text(json.dumps({f"files/{DATA}": f"sha256:{digest}"}))
    assert read_folder(fetches.here(uri).folder) == files
    line = next(each for each in public.log.read_text().splitlines() if f"team/resumed/blobs/sha256:{digest} " in each)
    assert f" 206 {len(files[DATA]) - 3_000_000} " in line


def test_a_password_over_basic(fetches: Fetches, tmp_path: Path) -> None:
    with private_registry(tmp_path / "registry") as private:
        private.push("team/hello", files_of(hello_files()))
        uri = f"oci://{private.host}/team/hello"
        message = fetches.refused("Unauthorized", uri)
        assert "key .dockerconfigjson" in message
        other = Access("", "", {".dockerconfigjson": docker_config("registry.example.com")})
        fetches.refused("Unauthorized", uri, other)
        ended = fetches.run(uri, *fetches.secret(__dockerconfigjson=docker_config(private.host)))
        assert ended.code == 0, ended.errors
        assert read_folder(fetches.link.resolve()) == hello_files()


def test_a_registry_that_refuses_strangers_only_further_down(fetches: Fetches) -> None:
    config = {".dockerconfigjson": docker_config("registry.example.com")}
    with running(FileServer()) as server:
        server.put("/v2/", b"{}")
        fetches.refused("ModelNotFound", "oci://registry.example.com/m", Access(server.url, "", config))
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        assert server.asked("/v2/m/manifests/latest")[0].authorization == f"Basic {basic}"
        assert server.asked("/v2/")[0].authorization == ""


def test_a_token_of_another_server(fetches: Fetches, tmp_path: Path) -> None:
    known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    tokens = TokenServer("team/hello", known)
    with running(tokens), registry(tmp_path / "registry", tokens.configuration(tmp_path / "registry")) as found:
        pushing = Registry(found.host, found.log, f"Bearer {tokens.sign('team/hello', 'pull', 'push')}")
        pushing.push("team/hello", files_of(hello_files()))
        uri = f"oci://{found.host}/team/hello"
        config = {".dockerconfigjson": docker_config(found.host)}
        assert not fetches.here(uri, Access("", "", config)).cached
        assert len(tokens.asked("/token")) == 1
        fetches.refused("Unauthorized", uri, refresh=True)


@pytest.mark.parametrize("uri", ["oci://{}/team/absent", "oci://{}/team/hello:absent"])
def test_nothing_there(public: Registry, fetches: Fetches, uri: str) -> None:
    assert "404" in fetches.refused("ModelNotFound", uri.format(public.host))


def test_a_registry_that_changes_what_it_gives(fetches: Fetches) -> None:
    """A registry of our own: the real one does not lie."""
    files = hello_files()
    layers = [
        {
            "mediaType": "application/octet-stream",
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "size": len(data),
            "annotations": {TITLE: name},
        }
        for name, data in files.items()
    ]
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers}).encode()
    named = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    with running(FileServer()) as server:
        server.put("/v2/", b"{}")
        server.put(f"/v2/m/manifests/{named}", manifest + b" ")
        uri = f"oci://registry.example.com/m@{named}"
        assert "another manifest" in fetches.refused("ChecksumMismatch", uri, Access(server.url))
        server.put(f"/v2/m/manifests/{named}", manifest)
        for each, data in zip(layers, files.values(), strict=True):
            server.put(f"/v2/m/blobs/{each['digest']}", data[::-1])
        assert "came damaged twice" in fetches.refused("ChecksumMismatch", uri, Access(server.url))
        assert fetches.models() == []
