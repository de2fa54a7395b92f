"""A collected trace whose pods are gone: read through a pod, or the command for it. What pods print is made up."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from genai_kubectl.commands import profile_reader
from genai_kubectl.commands.profile_files import fetch_joined
from genai_kubectl.decisions.profile_artifact import collected, reader_pod, waits_for
from genai_kubectl.errors import CommandFailed
from genai_traces.check import problems
from genai_traces.join import join_traces
from support.synthetic_traces import three_pods, write_synthetic_trace

IMAGE = "registry.example/genai-runtime:1"


class PodWorld:
    """The pods of a namespace; the model's own are others than those that were profiled."""

    def __init__(self, names: Sequence[str] = ("later",)) -> None:
        self.names = names
        self.made: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.phases = ["Pending", "Running"]

    def pods(self, model: str) -> list[dict[str, Any]]:
        assert model == "hello"
        spec = {"containers": [{"name": "model", "image": IMAGE}]}
        return [{"metadata": {"name": name}, "spec": spec} for name in self.names]

    def create_pod(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.made.append(manifest)
        return {"metadata": {"name": f"{manifest['metadata']['generateName']}x"}}

    def pod(self, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "status": {"phase": self.phases.pop(0)}}

    def delete_pod(self, name: str) -> None:
        self.deleted.append(name)


def profile(kind: str, location: str, **s3: str) -> dict[str, Any]:
    pods = [{"name": pod.name, "state": "Complete", "profileId": f"of-{pod.name}"} for pod in three_pods()]
    return {
        "metadata": {"name": "slow", "namespace": "demo"},
        "spec": {"model": "hello", "output": {"s3": s3}},
        "status": {"phase": "Complete", "pods": pods, "artifact": {"type": kind, "location": location, "bytes": 1}},
    }


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What lies in the claim, as the collector writes it."""
    for pod in three_pods():
        write_synthetic_trace(tmp_path / pod.name, pod)
    join_traces({pod.name: tmp_path / pod.name for pod in three_pods()}, tmp_path / "joined")
    data = (tmp_path / "joined").read_bytes()

    def output_of(kube: object, pod: str, command: Sequence[str]) -> Iterator[bytes]:
        assert (pod, command) == ("slow-reader-x", ("cat", "/var/lib/genai/collected/monday/trace.json.gz"))
        yield from (data[start : start + 999] for start in range(0, len(data), 999))

    monkeypatch.setattr(profile_reader, "output_of", output_of)
    monkeypatch.setattr(profile_reader, "_POLL_SECONDS", 0)
    return data


def test_a_claim_is_read_through_a_pod_that_is_deleted(printed: bytes, tmp_path: Path) -> None:
    world: Any = PodWorld()
    target = tmp_path / "slow.trace.json.gz"
    wanted = profile("PersistentVolumeClaim", "pvc://traces/monday/trace.json.gz")
    written = fetch_joined(world, wanted, target, allow_missing=False)
    assert target.read_bytes() == printed
    assert problems(target) == []
    assert (written.bytes, written.events > 0) == (len(printed), True)
    assert world.made == [reader_pod(wanted, "traces", IMAGE)]
    assert world.deleted == ["slow-reader-x"]


@pytest.mark.parametrize("phases", [["Failed"], ["Running"]], ids=["the pod fails", "the trace is none"])
def test_the_pod_is_deleted_after_a_failure_too(
    phases: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world: Any = PodWorld()
    world.phases = phases
    monkeypatch.setattr(profile_reader, "output_of", lambda *_: iter([b"no trace"]))
    (folder := tmp_path / "here").mkdir()
    with pytest.raises(CommandFailed):
        fetch_joined(world, profile("PersistentVolumeClaim", "pvc://traces/a.gz"), folder / "a.gz", allow_missing=False)
    assert world.deleted == ["slow-reader-x"]
    assert list(folder.iterdir()) == []


def test_without_an_image_the_place_is_told(tmp_path: Path) -> None:
    world: Any = PodWorld(())
    with pytest.raises(CommandFailed, match=r"monday/a\.gz in claim 'traces'"):
        fetch_joined(
            world, profile("PersistentVolumeClaim", "pvc://traces/monday/a.gz"), tmp_path / "a.gz", allow_missing=False
        )


def test_for_a_bucket_the_command_is_told(tmp_path: Path) -> None:
    world: Any = PodWorld()
    wanted = profile("S3", "s3://traces/a b/trace.json.gz", endpoint="http://minio:9000", region="eu-1")
    with pytest.raises(CommandFailed) as told:
        fetch_joined(world, wanted, tmp_path / "slow.gz", allow_missing=False)
    command = f"aws s3 cp 's3://traces/a b/trace.json.gz' {tmp_path / 'slow.gz'}"
    assert str(told.value).endswith(f"{command} --endpoint-url http://minio:9000 --region eu-1")


@pytest.mark.parametrize("location", ["pvc://traces", "pvc://traces/../x", "pvc:///x", "pvc://traces//etc/x", ""])
def test_a_location_outside_the_claim_is_no_trace(location: str) -> None:
    with pytest.raises(CommandFailed, match="no file in a claim"):
        collected(profile("PersistentVolumeClaim", location), "a.gz")


def test_a_pod_that_waits_says_why() -> None:
    pod = {"metadata": {"name": "r"}, "status": {"phase": "Pending"}}
    assert waits_for(pod) == "it starts"
    condition = {"status": "False", "reason": "Unschedulable", "message": "no claim"}
    assert waits_for({**pod, "status": {"phase": "Pending", "conditions": [condition]}}) == "Unschedulable: no claim"
