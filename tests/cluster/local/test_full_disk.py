"""A window on a volume that is really full: a small one of its own, mounted for the test, which needs root."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc, inference_pb2
from support.hello_server import HelloServer, hello_server
from support.runtime import collect, eventually

MIB = 1 << 20
# 64 MiB have to stay free.
VOLUME_MIB = 72


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "profiles"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={VOLUME_MIB}m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@asynccontextmanager
async def served(tmp_path: Path, volume: Path) -> AsyncIterator[tuple[HelloServer, Any]]:
    """A server that keeps its profiles there, and its control service."""
    async with hello_server(tmp_path, profile_dir=volume) as hello:
        socket = hello.server.addresses["control_socket"]
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            yield hello, control_pb2_grpc.ControlServiceStub(channel)


async def generate(hello: HelloServer) -> None:
    options = inference_pb2.GenerationOptions(max_tokens=300, ignore_eos=True)
    _, error = await collect(hello.genai.Generate(inference_pb2.GenerateRequest(prompt="The", options=options)))
    assert error is None


async def window(control: Any, window_id: str) -> pb.Profile:
    """A window over a request, when its trace is there or it has failed."""
    await control.OpenWindow(pb.OpenWindowRequest(window_id=window_id, spec=pb.WindowSpec(label=window_id)))
    return await ended(control, window_id)


async def ended(control: Any, window_id: str) -> pb.Profile:
    found: list[pb.Profile] = []

    async def over() -> bool:
        found[:] = [await control.GetWindow(pb.GetWindowRequest(window_id=window_id))]
        return found[0].state in (pb.PROFILE_STATE_COMPLETE, pb.PROFILE_STATE_FAILED)

    await eventually(over)
    return found[0]


async def test_a_window_ends_before_the_volume_is_full_and_the_model_serves_on(tmp_path: Path, volume: Path) -> None:
    async with served(tmp_path, volume) as (hello, control):
        filler = volume / "filler"
        filler.write_bytes(bytes((VOLUME_MIB - 68) * MIB))
        await control.OpenWindow(pb.OpenWindowRequest(window_id="near", spec=pb.WindowSpec(label="near")))
        await generate(hello)
        near = await ended(control, "near")
        assert (near.state, near.close_reason) == (pb.PROFILE_STATE_COMPLETE, "max_bytes")
        assert near.runs > 0
        assert "were left free" in near.message

        filler.write_bytes(b"")
        while True:  # to the last byte
            try:
                with filler.open("ab", buffering=0) as file:
                    assert file.write(bytes(MIB))
            except OSError:
                break
        full = await window(control, "full")
        assert (full.state, full.runs) == (pb.PROFILE_STATE_FAILED, 0)
        assert "must stay free" in full.message
        await generate(hello)

        filler.unlink()
        await control.OpenWindow(pb.OpenWindowRequest(window_id="again", spec=pb.WindowSpec(label="again", max_runs=3)))
        await generate(hello)
        again = await ended(control, "again")
        assert (again.state, again.runs) == (pb.PROFILE_STATE_COMPLETE, 3)
