"""What is compared: this project's server, llama-server, and raw onnxruntime-genai. Each is started, asked, paused.

All have the same cores (the benchmark's own, inherited), the same number of threads, and 16 rows.
"""

import json
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.serving import loads, streams
from bench.serving.clients import GrpcClient, HttpClient, llama_completion, openai_completion
from bench.serving.llama import Llama
from bench.serving.loads import Planned, play
from bench.serving.processes import Process, running, wait_until
from bench.serving.streams import Stream
from support.bench import FOLDER
from support.ports import free_port

ROWS = 16
SERVICE = "genai.v1.GenAIService"
_LLAMA_CONTEXT = 2048  # tokens a slot; what is measured needs 1100


class Contestant(Protocol):
    """Something that plays a plan of requests."""

    name: str
    process: Process

    async def play(self, plan: Sequence[Planned]) -> list[Stream]: ...


@dataclass
class Ours:
    """One server of this project; `play` is over gRPC."""

    name: str
    process: Process
    grpc_address: str
    http_port: int
    metrics_port: int
    control_socket: Path

    async def play(self, plan: Sequence[Planned]) -> list[Stream]:
        client = GrpcClient(self.grpc_address)
        try:
            return await play(client, plan)
        finally:
            await client.close()

    @property
    def engine(self) -> psutil.Process:
        """The process that runs the model."""
        (child,) = [
            each for each in self.front.children() if any("genai_runtime.engine" in part for part in each.cmdline())
        ]
        return child

    @property
    def front(self) -> psutil.Process:
        """The process that speaks to clients; the engine is its child."""
        return psutil.Process(self.process.popen.pid)


@dataclass
class OverHttp:
    """A server asked over HTTP: llama-server, or ours by the OpenAI protocol."""

    name: str
    process: Process
    client: HttpClient

    async def play(self, plan: Sequence[Planned]) -> list[Stream]:
        return await play(self.client, plan)


@dataclass
class Raw:
    """`raw.py` in its own process."""

    name: str
    process: Process

    async def play(self, plan: Sequence[Planned]) -> list[Stream]:
        """For the engine; the generator takes only batches that begin together."""
        return streams.from_json(self._ask({"plan": loads.to_json(plan)}))

    def generate(self, prompts: Sequence[Sequence[int]], count: int) -> list[Stream]:
        """For the generator: one batch."""
        return streams.from_json(self._ask({"prompts": prompts, "count": count}))

    def _ask(self, request: object) -> list[dict[str, object]]:
        pipes = self.process.popen
        assert pipes.stdin is not None
        assert pipes.stdout is not None
        pipes.stdin.write(json.dumps(request) + "\n")
        pipes.stdin.flush()
        answer = pipes.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended:\n{self.process.last_words()}")
        return list(json.loads(answer))


@contextmanager
def ours(name: str, folder: Path, threads: int) -> Iterator[Ours]:
    """`genai-runtime serve` as a pod runs it, on loopback."""
    ports = [free_port() for _ in range(3)]
    with tempfile.TemporaryDirectory(prefix="genai-bench-") as private:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GENAI_")}
        environment |= {
            "GENAI_GRPC_PORT": str(ports[0]),
            "GENAI_HTTP_PORT": str(ports[1]),
            "GENAI_METRICS_PORT": str(ports[2]),
            "GENAI_THREADS": str(threads),
            "GENAI_SPINNING": "enabled",  # as in a pod with as many CPUs as its limit; here is no limit
            "GENAI_MAX_CONCURRENT_REQUESTS": str(ROWS),
            # the others have no limits to their queues either
            "GENAI_MAX_QUEUE_LENGTH": "1000",
            "GENAI_MAX_QUEUE_SECONDS": "600",
            "GENAI_RUN_DIR": f"{private}/run",
            "GENAI_PROFILE_DIR": f"{private}/profiles",
            "GENAI_LOG_LEVEL": "warning",
        }
        command = [str(Path(sys.executable).with_name("genai-runtime")), "serve", str(folder)]
        with running(command, _log(name), environment) as process:
            socket = Path(private, "run", "control.sock")
            found = Ours(name, process, f"127.0.0.1:{ports[0]}", ports[1], ports[2], socket)
            wait_until(lambda: _serving(found.grpc_address), process, name)
            yield found


@contextmanager
def llama(name: str, programs: Llama, model: str, threads: int) -> Iterator[OverHttp]:
    """`llama-server` with its own settings, but for threads and slots."""
    port = free_port()
    with running(programs.server(model, port, threads, ROWS, _LLAMA_CONTEXT), _log(name)) as process:
        found = OverHttp(name, process, HttpClient(port, "/completion", llama_completion))
        wait_until(lambda: _healthy(port), process, name)
        yield found


@contextmanager
def raw(name: str, kind: str, folder: Path, threads: int) -> Iterator[Raw]:
    """A `generator` or an `engine`."""
    command = [sys.executable, "-m", "bench.serving.raw", kind, str(folder), str(threads)]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    with running(command, _log(name), environment, pipes=True) as process:
        assert process.popen.stdout is not None
        if not process.popen.stdout.readline():
            raise RuntimeError(f"{name} ended:\n{process.last_words()}")
        yield Raw(name, process)


def over_http(server: Ours, model: str) -> OverHttp:
    """The same server, asked by the OpenAI protocol."""
    client = HttpClient(server.http_port, "/v1/completions", openai_completion(model))
    return OverHttp(f"{server.name} http", server.process, client)


def _log(name: str) -> Path:
    folder = FOLDER / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name.replace(' ', '-')}.log"


def _serving(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=SERVICE), timeout=2
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
