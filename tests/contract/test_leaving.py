"""A server that is told to go loses no request, not even of clients that keep their connections.

Real servers and signals; the clients are gRPC's own in Python and Go, tritonclient, and HTTP connections kept alive,
each with its defaults and no retry of its own.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.foreign_clients import GHZ, SCRIPTS, TRITON, program, python_of, run_program
from support.ports import free_port
from support.relay import Relay

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from genai_runtime.cli import main; main()"]
CHAT = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}


@dataclass
class Server:
    """A `genai-runtime serve` that serves."""

    process: asyncio.subprocess.Process
    grpc: int
    http: int

    async def end(self) -> int:
        """Tells it to go; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Server]:
    """Connections are a second old at most, so that the test need not wait for ten."""
    grpc, http = free_port(), free_port()
    told = {"run_dir": f"{folder}/run", "profile_dir": f"{folder}/profiles", "model_name": "hello", "metrics_port": 0}
    told |= {"grpc_port": grpc, "http_port": http, "connection_seconds": 1, "drain_seconds": 120}
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "serve",
        str(ROOT / "examples" / "hello-model" / "model"),
        env={**os.environ, "GENAI_SETTINGS": json.dumps(told)},
        stderr=subprocess.PIPE,
    )
    log = process.stderr
    assert log is not None
    reading: asyncio.Task[bytes] | None = None
    try:
        while b'"serving"' not in (line := await log.readline()):
            assert line, f"the server ended with {await process.wait()}"
        reading = asyncio.create_task(log.read())
        yield Server(process, grpc, http)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if reading is not None:
            await reading


class Asking:
    """A program of tests/clients that asks until it is told to end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def start(cls, python: str | Path, script: str, *arguments: str) -> AsyncIterator["Asking"]:
        process = await asyncio.create_subprocess_exec(
            str(python), str(SCRIPTS / script), *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def calls(self) -> list[int]:
        """How many each client has made."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return list(json.loads(await self._process.stdout.readline())["calls"])

    async def all_go_on(self) -> None:
        """Wait until each client has made another four calls."""
        before = await self.calls()
        while any(  # noqa: ASYNC110 - another process counts
            now < then + 4 for then, now in zip(before, await self.calls(), strict=True)
        ):
            await asyncio.sleep(0.2)

    async def failed(self) -> list[str]:
        """Ends it; what went wrong."""
        output, _ = await self._process.communicate(b"")
        return list(json.loads(output.splitlines()[-1])["failed"])


async def test_no_request_is_lost_when_one_of_two_servers_ends(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    async with AsyncExitStack() as stack:
        starting = (stack.enter_async_context(serving(tmp_path / str(number))) for number in range(2))
        servers = await asyncio.gather(*starting)
        # As a Service does: a new connection goes to any server that is Ready; those that are there are left alone.
        grpc, http = Relay(), Relay()
        for relay, ports in ((grpc, [each.grpc for each in servers]), (http, [each.http for each in servers])):
            await stack.enter_async_context(relay.running(ports))
        # As a headless Service whose old answer is still believed.
        addresses = "ipv4:" + ",".join(f"127.0.0.1:{each.grpc}" for each in servers)
        ours = ["--one", f"127.0.0.1:{grpc.port}", "--one", addresses, "--spread", addresses]
        asking = [
            await stack.enter_async_context(Asking.start(*start))
            for start in (
                (sys.executable, "kept_connections.py", *ours, "--http", f"127.0.0.1:{http.port}"),
                (python_of(TRITON, pytestconfig), "triton_kept.py", f"127.0.0.1:{grpc.port}"),
            )
        ]
        load = ("--insecure", "--call", "genai.v1.GenAIService/Chat", "-d", json.dumps(CHAT), "-z", "4s", "-O", "json")
        workers = ("-c", "4", "--connections", "2", "--duration-stop", "wait", f"127.0.0.1:{grpc.port}")
        ghz = asyncio.create_task(run_program(program(GHZ, pytestconfig), *load, *workers))
        await asyncio.gather(*(each.all_go_on() for each in asking))
        grpc.ports.remove(servers[0].grpc)
        http.ports.remove(servers[0].http)
        assert await servers[0].end() == 0
        await asyncio.gather(*(each.all_go_on() for each in asking))
        assert await asyncio.gather(*(each.failed() for each in asking)) == [[], []]
        assert json.loads(await ghz)["statusCodeDistribution"].keys() == {"OK"}
