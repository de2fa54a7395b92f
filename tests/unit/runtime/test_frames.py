"""Frames between front and engine: what goes in comes out, and damaged bytes are named without being quoted."""

import asyncio
import socket
import struct
from pathlib import Path

import msgpack
import pytest

from genai_runtime.engine import frames
from genai_runtime.engine.protocol import AdapterState, EngineSpec, EngineStats, ModelInfo, Window
from genai_runtime.errors import EngineFailure
from genai_runtime.generation import (
    Finished,
    FinishReason,
    GenerationRequest,
    Sampling,
    TokenLogprob,
    Tokens,
    WindowProgress,
)
from genai_runtime.profiling.selection import Selection

SPEC = EngineSpec(
    *(Path("/models/a"), Path("/profiles"), "cuda"),
    intra_op_threads=3,
    inter_op_threads=2,
    spinning=False,
    exclusive_cpus=(4, 6, 7),
    graph_optimization_level="basic",
    memory_arena=True,
    session_entries={"session.dynamic_block_base": "4"},
    max_sequence_length=77,
    max_concurrent=9,
)
INFO = ModelInfo("llama", 4096, 1280, 2048, [2, 7], 3, "single", "auto", "cpu", 2, "1", "2", ["adapter"])
MESSAGES: list[frames.Message] = [
    frames.Load(SPEC, "auto"),
    frames.Submit(GenerationRequest("r", [0, 2**31 - 1], 5, Sampling(0.5, 4, 0.25, 1.5, 2**64 - 1))),
    frames.Submit(GenerationRequest("r", [1], 5)),
    frames.Cancel("r", FinishReason.DEADLINE),
    frames.Halt(),
    frames.Resume(),
    frames.OpenWindow(Window("w-1", 10, 2**40, 1.5)),
    frames.OpenWindow(Window("w-1", 1, 2, 3.5, Selection("prefill,0-3", 0.25, ("a",), ("alice", "::1")))),
    frames.CloseWindow("disabled"),
    frames.SetLogLevel("debug"),
    frames.SetArenaShrinkage(on=True),
    frames.SetAdapters({"a": Path("/models/a")}),
    frames.Adapters([AdapterState("a", "rejected", "ünïcode")]),
    frames.Ping(7),
    frames.Shutdown(),
    frames.Loaded(INFO),
    frames.LoadFailed("ModelInvalid", "ünïcode"),
    frames.Pong(7, EngineStats(1, 2, 3)),
    frames.Events(
        [
            Tokens("b", [5, 6]),
            Tokens("c", [7]),
            Tokens("d", [7, 8], [TokenLogprob(7, -0.5, [(1, -1.5), (2, -2.5)]), TokenLogprob(8, -1.0)]),
        ],
        [Finished("a", FinishReason.STOP, 1, 2, 0.5, 0.25, "m")],
        [
            WindowProgress("w-1", 1, 1, 99, 0, closed=True, close_reason="max_runs"),
            WindowProgress("w-2", 1, 1, 99, 0, skipped_runs=7, overhead_percent=-0.5),
        ],
    ),
    frames.Fatal("no"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives(message: frames.Message) -> None:
    data = frames.encode(message)
    assert struct.unpack(">I", data[:4]) == (len(data) - 4,)
    assert frames.decode(data[4:]) == message


def test_every_kind_is_tested() -> None:
    assert {type(message) for message in MESSAGES} == set(frames.Message.__args__)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgpack.packb("Halt"),
        msgpack.packb(["Nothing", {}]),
        msgpack.packb(["Events", ["secret"], [], []]),
        msgpack.packb(["Events", [["secret", 3]], [], []]),
        msgpack.packb(["Events", [], [["r", "secret", 1, 2]], []]),
        msgpack.packb(["Events", [], [], [["secret", 1]]]),
        msgpack.packb(["Events", []]),
        msgpack.packb(["Cancel", {"request_id": "secret", "reason": "bored"}]),
        msgpack.packb(["Submit", {"request": {"request_id": "r", "prompt": ["secret"], "max_tokens": 1}}]),
    ],
)
def test_a_malformed_body_is_refused_without_its_content(body: bytes) -> None:
    with pytest.raises(EngineFailure) as caught:
        frames.decode(body)
    assert "secret" not in caught.value.message


def test_frames_cross_a_socket_and_a_clean_end_is_none() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in MESSAGES:
            frames.send(ours, message)
        ours.close()
        assert [frames.receive(theirs) for _ in MESSAGES] == MESSAGES
        assert frames.receive(theirs) is None


@pytest.mark.parametrize("sent", [b"\0\0", b"\0\0\0\x09abc"])
def test_a_cut_off_frame_is_an_error(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(sent)
        ours.close()
        with pytest.raises(EngineFailure, match="closed inside"):
            frames.receive(theirs)


def test_a_length_beyond_the_cap_is_refused_before_it_is_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(struct.pack(">I", frames.MAX_FRAME_BYTES + 1))
        with pytest.raises(EngineFailure, match="larger"):
            frames.receive(theirs)


def test_a_message_beyond_the_cap_is_not_sent() -> None:
    with pytest.raises(EngineFailure, match="larger"):
        frames.encode(frames.Fatal("x" * (frames.MAX_FRAME_BYTES + 1)))


async def test_an_event_loop_reads_the_same() -> None:
    reader = frames.FrameReader()
    reader.data_received(b"".join(map(frames.encode, MESSAGES)))
    reader.connection_lost(None)
    assert [await reader.receive() for _ in MESSAGES] == MESSAGES
    assert await reader.receive() is None
    assert reader.at_eof


async def test_an_event_loop_reads_frames_that_come_in_pieces() -> None:
    reader = frames.FrameReader()
    receiving = asyncio.create_task(receive_all(reader))
    for byte in b"".join(map(frames.encode, MESSAGES)):
        reader.data_received(bytes([byte]))
        await asyncio.sleep(0)
    reader.connection_lost(None)
    assert await receiving == MESSAGES


async def receive_all(reader: frames.FrameReader) -> list[frames.Message]:
    found: list[frames.Message] = []
    while (message := await reader.receive()) is not None:
        found.append(message)
    return found


@pytest.mark.parametrize("sent", [b"\0\0", b"\0\0\0\x09abc", b"\0\0\0\x09"])
async def test_an_event_loop_sees_a_cut_off_frame(sent: bytes) -> None:
    reader = frames.FrameReader()
    reader.data_received(sent)
    reader.connection_lost(None)
    with pytest.raises(EngineFailure, match="closed inside"):
        await reader.receive()


async def test_a_listener_hears_what_came_before_it_and_then_each_at_once() -> None:
    first, *others = MESSAGES
    reader = frames.FrameReader()
    reader.data_received(frames.encode(first))
    heard: list[frames.Message] = []
    listening = asyncio.create_task(reader.listen(heard.append))
    await asyncio.sleep(0)
    for number, message in enumerate(others, 2):
        reader.data_received(frames.encode(message))
        assert len(heard) == number, "it was kept for a later pass of the loop"
    reader.connection_lost(None)
    await listening
    assert heard == MESSAGES


async def test_a_listener_that_fails_ends_the_listening() -> None:
    def hear(message: frames.Message) -> None:
        heard.append(message)
        raise EngineFailure("not this one")

    heard: list[frames.Message] = []
    reader = frames.FrameReader()
    listening = asyncio.create_task(reader.listen(hear))
    await asyncio.sleep(0)
    reader.data_received(b"".join(map(frames.encode, MESSAGES)))
    reader.data_received(frames.encode(MESSAGES[0]))
    with pytest.raises(EngineFailure, match="not this one"):
        await listening
    assert heard == MESSAGES[:1]


async def test_a_broken_connection_is_an_error() -> None:
    reader = frames.FrameReader()
    listening = asyncio.create_task(reader.listen(lambda message: None))
    await asyncio.sleep(0)
    reader.connection_lost(ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError):
        await listening
