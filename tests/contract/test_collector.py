"""`genai-runtime collect` as the Job runs it: two real pods, a real S3 server, and what it leaves behind."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from genai_runtime.profiling.record import Profile, ProfileState
from genai_traces.check import problems
from genai_traces.summary import summarise
from genai_traces.window_facts import WindowFacts
from support.certificates import Authority
from support.ports import free_port
from support.runtime import running_front
from support.s3_server import S3Server, s3_server
from support.synthetic_traces import Pod, write_synthetic_trace

SERVER = "hello.team.control.genai-operator.io"
SECRET = "a-secret-of-the-bucket"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.make_bucket("traces")
        yield server


@dataclass
class Ended:
    """What a collector left."""

    code: int
    output: str
    errors: str
    last_words: dict[str, object]


class Pods:
    """Running fronts, each with a profile, and a collector's certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.arguments: list[str] = []
        self.events = 0
        self.authority.write(folder / "collector", self.authority.issue("genai-collector"))

    async def collect(self, output: str, *more: str) -> Ended:
        words = self.folder / "last-words"
        program = str(Path(sys.executable).with_name("genai-runtime"))
        command = [program, "collect", "--profile", "slow", "--output", output]
        command += ["--tls-dir", str(self.folder / "collector"), "--server-name", SERVER, *self.arguments, *more]
        keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **keys, "GENAI_TERMINATION_LOG": str(words), "COLUMNS": "400"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = (part.decode() for part in await process.communicate())
        assert SECRET not in out + errors
        said = json.loads(words.read_text()) if words.exists() else {}
        return Ended(process.returncode or 0, out, errors, said)


@asynccontextmanager
async def running_pods(folder: Path) -> AsyncIterator[Pods]:
    pods = Pods(folder)
    async with running_pod(pods, Pod("hello-1", 1, tokens=10)), running_pod(pods, Pod("hello-2", 2, tokens=30)):
        yield pods


@asynccontextmanager
async def running_pod(pods: Pods, pod: Pod) -> AsyncIterator[None]:
    place = pods.folder / pod.name
    pods.authority.write(place / "tls", pods.authority.issue(SERVER))
    port = free_port()
    async with running_front(place, control_port=port, control_tls_dir=place / "tls", host="127.0.0.1") as front:
        trace = place / "trace.json.gz"
        events = write_synthetic_trace(trace, pod)
        profile_id = f"slow-20261121T140102Z-{pod.seed}"
        front.profiles.profiles = [
            Profile(
                profile_id,
                "slow",
                ProfileState.COMPLETE,
                1,
                close_reason="max_runs",
                dropped_runs=pod.seed,
                trace_bytes=trace.stat().st_size,
            )
        ]
        pods.events += sum(event["ph"] != "M" for event in events)
        pods.arguments += ["--pod", f"{pod.name}=127.0.0.1:{port}={profile_id}"]
        yield


async def test_into_a_bucket(tmp_path: Path, s3: S3Server) -> None:
    async with running_pods(tmp_path) as pods:
        ended = await pods.collect("s3://traces/team/slow", "--endpoint", s3.url, "--region", "eu-central-1")
    assert ended.code == 0, ended.errors
    trace, _ = s3.get("traces", "team/slow/trace.json.gz")
    page, content_type = s3.get("traces", "team/slow/report.html")
    wanted = {"location": "s3://traces/team/slow/trace.json.gz", "bytes": len(trace), "events": pods.events}
    assert json.loads(ended.output) == ended.last_words == wanted
    assert content_type.startswith("text/html")
    assert page.startswith(b"<!doctype html>")
    (tmp_path / "joined").write_bytes(trace)
    assert problems(tmp_path / "joined") == []
    summary = summarise(tmp_path / "joined")
    assert summary.pods == ["hello-1", "hello-2"]
    assert summary.facts["hello-2"] == WindowFacts(2, 0, "max_runs", None, "")


async def test_into_a_folder_without_a_pod_that_is_gone(tmp_path: Path) -> None:
    async with running_pods(tmp_path) as pods:
        gone = ["--pod", f"hello-3={pods.arguments[1].split('=')[1]}=gone-20261121T140102Z-1"]
        ended = await pods.collect(f"file://{tmp_path}/out", *gone)
    assert ended.code == 0, ended.errors
    trace = tmp_path / "out" / "trace.json.gz"
    size = trace.stat().st_size
    assert ended.last_words == {"location": f"file://{trace}", "bytes": size, "events": pods.events, "missing": 1}
    assert "pod hello-3 has no profile gone" in (tmp_path / "out" / "report.html").read_text()
    assert "pod hello-3 has no profile gone" in ended.errors
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "trace.json.gz"]


async def test_a_certificate_of_another_name_collects_nothing(tmp_path: Path) -> None:
    async with running_pods(tmp_path) as pods:
        pods.authority.write(tmp_path / "collector", pods.authority.issue("other-model"))
        ended = await pods.collect(f"file://{tmp_path}/out")
    assert ended.code == 1
    assert ended.last_words["reason"] == "CollectorFailed"
    assert "no pod's trace could be fetched: pod hello-1" in str(ended.last_words["message"])
    assert "PERMISSION_DENIED" in str(ended.last_words["message"])
    assert not (tmp_path / "out").exists()


async def test_a_missing_bucket_is_the_last_word(tmp_path: Path, s3: S3Server) -> None:
    async with running_pods(tmp_path) as pods:
        ended = await pods.collect("s3://absent/a", "--endpoint", s3.url)
    assert (ended.code, ended.output) == (1, "")
    assert "s3://absent/a/trace.json.gz" in str(ended.last_words["message"])
    assert "NoSuchBucket" in str(ended.last_words["message"])


async def test_wrong_arguments_are_refused_before_a_pod_is_asked(tmp_path: Path) -> None:
    pods = Pods(tmp_path)
    pods.arguments = ["--pod", "hello-1"]
    ended = await pods.collect(f"file://{tmp_path}/out")
    assert ended.code == 1
    assert "--pod 'hello-1' is not NAME=IP:PORT=PROFILE_ID" in str(ended.last_words["message"])
