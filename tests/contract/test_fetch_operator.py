"""The init container as the operator renders it, run as a process, and what the operator makes of its answers."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genai_operator.api.built import with_built
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders import build_children
from genai_operator.clients.fetch import FetchClient, FetchReply
from genai_operator.clients.runtime import PodEndpoint, RuntimeClient
from genai_operator.errors import PodError
from genai_operator.services.certificates import ControlAuthority, control_server_name
from genai_operator.services.reading import observed_pod
from genai_operator.settings import OperatorSettings
from genai_operator.status import summarise
from genai_runtime.fetch.cache import Cache
from genai_runtime.fetch.hash_folder import hash_folder
from genai_runtime.fetch.progress import Progress
from support.control_ca import make_ca
from support.fetching import digest_of, hello_files, read_folder
from support.hub_server import hub_server
from support.models import conditions, make_model, message, observe
from support.ports import free_port

AUTHORITY = ControlAuthority(*make_ca())
PROGRAM = str(Path(sys.executable).with_name("genai-runtime"))
HELD = 256 << 10
SECONDS = 180.0


def init_container(model: GenAIModel) -> dict[str, Any]:
    deployment = build_children(model, OperatorSettings()).deployment
    assert deployment is not None
    (found,) = deployment["spec"]["template"]["spec"]["initContainers"]
    return dict(found)


def moved(arguments: list[str], places: Mapping[str, str]) -> list[str]:
    """With paths and ports of this machine for those of a pod."""
    return [places.get(each, each) for each in arguments]


@contextmanager
def started(model: GenAIModel, folder: Path, port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """The init container's process; its last words are in `folder`/words."""
    tls = folder / "tls"
    tls.mkdir()
    made = AUTHORITY.server_certificate("hello", "demo", "uid")
    for name, content in (("tls.crt", made.certificate), ("tls.key", made.key), ("ca.crt", made.authority)):
        (tls / name).write_bytes(content)
    places = {
        "/var/lib/genai/models": str(folder / "cache"),
        "/models/model": str(folder / "link"),
        "/etc/genai/control-tls": str(tls),
        "9443": str(port or free_port()),
    }
    environment = {**os.environ, "GENAI_TERMINATION_LOG": str(folder / "words"), "NO_PROXY": "*"}
    process = subprocess.Popen(
        [PROGRAM, *moved(init_container(model)["args"], places)], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def status(model: GenAIModel, folder: Path, code: int, name: str = "fetch") -> dict[str, Any]:
    """What the operator says of a pod whose init container ended so."""
    ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": (folder / "words").read_text()}
    initial = {"name": name, "containerID": "containerd://f", "state": {"terminated": ended}}
    body = {"metadata": {"name": "hello-1", "uid": "u"}, "status": {"initContainerStatuses": [initial]}}
    return summarise(model, observe(observed_pod(body)))


async def progress(client: FetchClient, endpoint: PodEndpoint) -> FetchReply:
    """The first answer that tells of bytes."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                reply = await client.progress(endpoint, deadline_seconds=10)
            except PodError:
                continue
            if reply.fetched_bytes >= HELD:
                return reply
            await asyncio.sleep(0.1)


async def test_a_fetch_is_followed_from_its_bytes_to_its_digest(tmp_path: Path) -> None:
    files, port = hello_files(), free_port()
    runtime = RuntimeClient(AUTHORITY.client_identity)
    with hub_server() as hub:
        commit = hub.commit(files)
        hub.network.faults.hold[f"/{commit}/model.onnx.data"] = HELD
        model = make_model(model={"uri": f"hf://{hub.repository}", "endpoint": hub.url})
        with started(model, tmp_path, port) as process:
            endpoint = PodEndpoint("127.0.0.1", control_server_name("hello", "demo"), port)
            reply = await progress(FetchClient(runtime), endpoint)
            assert reply.state == "Fetching"
            assert reply.total_bytes == sum(map(len, files.values()))
            assert reply.fetched_bytes < reply.total_bytes
            hub.network.faults.release.set()
            assert await asyncio.to_thread(process.wait, SECONDS) == 0
    await runtime.close()
    said = status(model, tmp_path, 0)["model"]
    assert (said["state"], said["digest"], said["files"]) == ("Fetched", digest_of(files), len(files))
    assert (said["revision"], said["cached"], said["sizeBytes"]) == (commit, False, reply.total_bytes)
    assert read_folder((tmp_path / "link").resolve()) == files


def test_another_folder_than_the_wanted_one_is_told_by_its_reason(tmp_path: Path) -> None:
    wanted = "0a" * 32
    with hub_server() as hub:
        hub.commit(hello_files())
        model = make_model(model={"uri": f"hf://{hub.repository}", "endpoint": hub.url, "sha256": wanted})
        with started(model, tmp_path) as process:
            assert process.wait(SECONDS) == 1
    said = status(model, tmp_path, 1)
    assert conditions(said)["Ready"] == ("False", "ChecksumMismatch")
    assert conditions(said)["ModelAvailable"] == ("False", "ChecksumMismatch")
    assert wanted in message(said, "Ready")
    assert said["model"] == {"state": "Failed"}
    assert not (tmp_path / "link").exists()


def test_what_was_built_is_taken_out_of_the_cache_by_its_digest_whatever_it_was_built_of(tmp_path: Path) -> None:
    files, cache = hello_files(), Cache(tmp_path / "cache")
    made = tmp_path / "made"
    made.mkdir()
    for name, content in files.items():
        (made / name).write_bytes(content)
    digest = cache.install(made, hash_folder(made, Progress()))
    served = {
        "revision": "r",
        "uri": "pvc://claim/source",
        "provider": "cpu",
        "precision": "int4",
        "claimName": "cache",
    }
    build = {"state": "Complete", "reason": "Built", "revision": "r", "digest": digest, "served": served}
    source = {"uri": "pvc://claim/source", "cache": {"claimName": "cache"}, "build": {}}
    model = with_built(make_model(status={"build": build}, model=source, precision="int4"))
    with started(model, tmp_path) as process:
        assert process.wait(SECONDS) == 0
    assert read_folder((tmp_path / "link").resolve()) == files
    said = status(model, tmp_path, 0)["model"]
    assert (said["state"], said["digest"], said["cached"]) == ("Fetched", digest, True)


def test_a_build_that_the_cache_has_lost_says_so(tmp_path: Path) -> None:
    model = make_model(
        model={"uri": "hf://org/name", "cache": {"claimName": "cache"}, "sha256": "0a" * 32, "offline": True}
    )
    with started(model, tmp_path) as process:
        assert process.wait(SECONDS) == 1
    said = status(model, tmp_path, 1)
    assert conditions(said)["Ready"] == ("False", "ModelNotFound")
    assert "0a" * 32 in message(said, "Ready")


def test_a_folder_that_is_there_is_compared_by_the_same_digest(tmp_path: Path) -> None:
    files, log = hello_files(), tmp_path / "words"
    folder = tmp_path / "claim"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for sha256, code, want in ((digest_of(files), 0, "Verified"), ("0a" * 32, 1, "Failed")):
        model = make_model(model={"uri": "pvc://claim/hello", "sha256": sha256})
        arguments = moved(init_container(model)["args"], {"/models/hello": str(folder)})
        environment = {**os.environ, "GENAI_TERMINATION_LOG": str(log)}
        done = subprocess.run([PROGRAM, *arguments], env=environment, capture_output=True, check=False)
        assert done.returncode == code, done.stderr
        assert status(model, tmp_path, code, "verify")["model"]["state"] == want
    assert json.loads(log.read_text())["reason"] == "ChecksumMismatch"
