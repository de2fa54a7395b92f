"""Windows with an id of their own: opened once whatever happens, never closed for others, who wait for them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genai_runtime.errors import AnotherWindowOpen, EngineFailure, InvalidRequest, NotServing, ProfileNotFound
from genai_runtime.front.ports import WantedWindow
from genai_runtime.front.profiles import ProfileRegistry
from genai_runtime.profiling.record import Profile, ProfileState, to_json
from genai_runtime.profiling.selection import Selection
from support.hand_engine import WindowsOnly, kept_files
from support.runtime import holds

MINE, OTHER = "gap-1", "gap-2"


@pytest.fixture
def engine(tmp_path: Path) -> WindowsOnly:
    return WindowsOnly(tmp_path)


@pytest.fixture
async def registry(tmp_path: Path, engine: WindowsOnly) -> AsyncIterator[ProfileRegistry]:
    registry = ProfileRegistry(tmp_path, engine, "pod-1")
    await registry.start()
    yield registry
    await registry.close_all("shutdown")
    await registry.settle()
    await registry.stop()


async def test_the_same_id_again_opens_nothing(registry: ProfileRegistry, engine: WindowsOnly) -> None:
    first = await registry.open_with_id(MINE, WantedWindow("slow", selection=Selection(runs="every 100")))
    assert (first.window_id, first.label, first.state) == (MINE, "slow", ProfileState.OPEN)
    assert engine.window is not None
    assert engine.window.selection == Selection(runs="every 100")
    engine.run(2)
    again = await registry.open_with_id(MINE, WantedWindow("other"))
    assert (again.id, again.runs) == (first.id, 2)
    await registry.close_with_id(MINE)
    await registry.settle()
    ended = await registry.open_with_id(MINE, WantedWindow("slow"))
    assert (ended.id, ended.state, ended.close_reason) == (first.id, ProfileState.COMPLETE, "disabled")
    assert engine.opened is None
    assert await registry.close_with_id(MINE) == ended == registry.with_id(MINE)


async def test_two_calls_at_once_open_one_window(registry: ProfileRegistry, engine: WindowsOnly) -> None:
    found = await asyncio.gather(*(registry.open_with_id(MINE, WantedWindow("slow")) for _ in range(10)))
    assert len({profile.id for profile in found}) == 1
    assert engine.opens == 1


async def test_a_restarted_server_knows_the_id(registry: ProfileRegistry, engine: WindowsOnly, tmp_path: Path) -> None:
    first = await registry.open_with_id(MINE, WantedWindow("slow"))
    engine.run(2)
    engine.kill()
    fresh = WindowsOnly(tmp_path)
    other = ProfileRegistry(tmp_path, fresh, "pod-1")
    await other.start()
    again = await other.open_with_id(MINE, WantedWindow("slow"))
    assert (again.id, fresh.opens) == (first.id, 0)
    await other.settle()
    done = other.with_id(MINE)
    assert done is not None
    assert (done.state, done.runs, done.close_reason) == (ProfileState.COMPLETE, 2, "engine_restart")
    engine.tell_dead()


async def test_a_server_that_died_before_the_engine_heard_opens_no_second_one(
    registry: ProfileRegistry, engine: WindowsOnly, tmp_path: Path
) -> None:
    class Died(Exception):
        pass

    engine.fault = Died()
    with pytest.raises(Died):  # as if the process had ended there
        await registry.open_with_id(MINE, WantedWindow("slow"))
    fresh = WindowsOnly(tmp_path)
    other = ProfileRegistry(tmp_path, fresh, "pod-1")
    await other.start()
    again = await other.open_with_id(MINE, WantedWindow("slow"))
    assert (again.state, fresh.opens) == (ProfileState.FAILED, 0)
    assert "open a new window" in again.message


async def test_without_an_engine_nothing_is_remembered(
    registry: ProfileRegistry, engine: WindowsOnly, tmp_path: Path
) -> None:
    engine.dead = True
    with pytest.raises(EngineFailure):
        await registry.open_with_id(MINE, WantedWindow("slow"))
    assert registry.with_id(MINE) is None
    assert kept_files(tmp_path) == []
    engine.dead = False
    assert (await registry.open_with_id(MINE, WantedWindow("slow"))).state is ProfileState.OPEN


async def test_an_open_window_is_never_closed_for_one_with_an_id(
    registry: ProfileRegistry, engine: WindowsOnly
) -> None:
    await registry.open(WantedWindow("option"))
    for _ in range(2):
        with pytest.raises(AnotherWindowOpen, match="option-"):
            await registry.open_with_id(MINE, WantedWindow("slow"))
    assert registry.with_id(MINE) is None
    await registry.close("disabled")
    await registry.settle()
    await registry.open_with_id(MINE, WantedWindow("slow"))
    with pytest.raises(AnotherWindowOpen, match="slow-"):
        await registry.open_with_id(OTHER, WantedWindow("slow"))
    assert engine.opens == 2


async def test_the_options_window_waits_and_opens_afterwards(registry: ProfileRegistry, engine: WindowsOnly) -> None:
    await registry.open_with_id(MINE, WantedWindow("slow"))
    engine.run()
    await registry.open(WantedWindow("earlier"))
    await registry.open(WantedWindow("option", max_runs=7))
    assert [profile.label for profile in registry.list()] == ["slow"]
    await registry.close_with_id(MINE)
    await holds(lambda: len(registry.list()) == 2)
    newest = registry.newest()
    assert newest is not None
    assert (newest.label, newest.state, newest.window_id) == ("option", ProfileState.OPEN, "")
    assert engine.window is not None
    assert engine.window.max_runs == 7


async def test_an_option_taken_back_while_it_waits_opens_nothing(
    registry: ProfileRegistry, engine: WindowsOnly
) -> None:
    await registry.open_with_id(MINE, WantedWindow("slow"))
    await registry.open(WantedWindow("option"))
    await registry.close("disabled")
    mine = registry.with_id(MINE)
    assert mine is not None
    assert mine.state is ProfileState.OPEN  # the option is not the window's owner
    await registry.close_with_id(MINE)
    await registry.settle()
    assert [profile.label for profile in registry.list()] == ["slow"]
    assert engine.opens == 1


async def test_a_waiting_window_opens_when_the_engine_is_back(registry: ProfileRegistry, engine: WindowsOnly) -> None:
    await registry.open_with_id(MINE, WantedWindow("slow"))
    engine.run()
    await registry.open(WantedWindow("option"))
    engine.die()
    await registry.settle()
    engine.dead = False
    await holds(lambda: engine.opens == 2)
    mine, option = registry.with_id(MINE), registry.newest()
    assert mine is not None
    assert option is not None
    assert (mine.state, mine.close_reason) == (ProfileState.COMPLETE, "engine_restart")
    assert option.label == "option"


async def test_a_shutdown_closes_all_and_opens_nothing_that_waits(
    registry: ProfileRegistry, engine: WindowsOnly
) -> None:
    await registry.open_with_id(MINE, WantedWindow("slow"))
    engine.run()
    await registry.open(WantedWindow("option"))
    await registry.close_all("shutdown")
    await registry.settle()
    (profile,) = registry.list()
    assert (profile.state, profile.close_reason) == (ProfileState.COMPLETE, "shutdown")
    with pytest.raises(NotServing, match="shutting down"):
        await registry.open_with_id(OTHER, WantedWindow("slow"))


@pytest.mark.parametrize("window_id", ["", "../../x", "A", "x" * 65, "a b", "é", "gap-1\n", "\0", "gap_1"])
async def test_hostile_ids_are_refused_and_leave_nothing(
    registry: ProfileRegistry, engine: WindowsOnly, tmp_path: Path, window_id: str
) -> None:
    with pytest.raises(InvalidRequest, match="window_id"):
        await registry.open_with_id(window_id, WantedWindow("slow"))
    with pytest.raises(ProfileNotFound):
        await registry.close_with_id(window_id)
    assert registry.with_id(window_id) is None
    assert (engine.opens, kept_files(tmp_path)) == (0, [])


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (WantedWindow("../x"), "spec.label"),
        (WantedWindow("ok", max_runs=2_000_000), "spec.max_runs"),
        (WantedWindow("ok", selection=Selection(runs="7-3")), "spec.runs"),
        (WantedWindow("ok", selection=Selection(sample_rate=2.0)), "spec.sample_rate"),
        (WantedWindow("ok", selection=Selection(request_ids=("../x",))), "spec.request_ids"),
        (WantedWindow("ok", selection=Selection(clients=("a\nb",))), "spec.clients"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_field(
    registry: ProfileRegistry, engine: WindowsOnly, tmp_path: Path, wanted: WantedWindow, field: str
) -> None:
    with pytest.raises(InvalidRequest) as error:
        await registry.open_with_id(MINE, wanted)
    assert error.value.field == field
    assert (engine.opens, kept_files(tmp_path)) == (0, [])


async def test_an_id_from_a_strangers_record_is_not_taken(tmp_path: Path, engine: WindowsOnly) -> None:
    record = Profile("old-20260101T101500Z-1", "old", ProfileState.FAILED, 1, window_id="../x")
    (tmp_path / f"{record.id}.profile.json").write_text(to_json(record))
    registry = ProfileRegistry(tmp_path, engine)
    await registry.start()
    await registry.settle()
    assert registry.with_id("../x") is None
    assert [profile.window_id for profile in registry.list()] == [""]


async def test_what_the_engine_counts_is_told(registry: ProfileRegistry, engine: WindowsOnly) -> None:
    await registry.open_with_id(MINE, WantedWindow("slow"))
    engine.run(3)
    engine.skipped, engine.overhead = 97, 1.5
    await registry.close_with_id(MINE)
    await registry.settle()
    done = registry.with_id(MINE)
    assert done is not None
    assert (done.state, done.runs, done.skipped_runs, done.overhead_percent) == (ProfileState.COMPLETE, 3, 97, 1.5)
