"""The pod's profiles: states, merging in a real process, restarts, retention, refusals."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genai_runtime.engine.protocol import Window
from genai_runtime.errors import EngineFailure, InvalidRequest, NotServing, ProfileNotFound
from genai_runtime.front.ports import WantedWindow
from genai_runtime.front.profile_limits import MIB, ProfileLimits
from genai_runtime.front.profiles import ProfileRegistry
from genai_runtime.profiling.record import PROFILE_ID, Profile, ProfileState, from_json, to_json
from genai_runtime.profiling.store import ProfileStore
from genai_runtime.profiling.window import OpenWindow
from support.chrome_trace import read_trace
from support.hand_engine import WindowsOnly, kept_files
from support.raw_runs import capture

OLD_ID = "old-20260101T101500Z-1"


@pytest.fixture
def engine(tmp_path: Path) -> WindowsOnly:
    return WindowsOnly(tmp_path)


@pytest.fixture
async def registry(tmp_path: Path, engine: WindowsOnly) -> AsyncIterator[ProfileRegistry]:
    registry = ProfileRegistry(tmp_path, engine, "pod-1")
    await registry.start()
    yield registry
    await registry.close("shutdown")
    await registry.settle()
    await registry.stop()


async def closed(registry: ProfileRegistry, engine: WindowsOnly) -> Profile:
    """The newest window, as soon as it is not open any more."""
    await asyncio.wait_for(engine.ended.wait(), 60)
    profile = registry.newest()
    assert profile is not None
    return profile


async def take(registry: ProfileRegistry, engine: WindowsOnly, label: str, runs: int = 1) -> Profile:
    """A whole window with some runs, until its end."""
    await registry.open(WantedWindow(label))
    if runs:
        engine.run(runs)
    await registry.close("disabled")
    await registry.settle()
    profile = registry.newest()
    assert profile is not None
    return profile


async def test_a_window_from_open_to_complete(registry: ProfileRegistry, engine: WindowsOnly, tmp_path: Path) -> None:
    await registry.open(WantedWindow("slow"))
    opened = registry.newest()
    assert opened is not None
    assert (opened.label, opened.state, opened.runs) == ("slow", ProfileState.OPEN, 0)
    assert PROFILE_ID.fullmatch(opened.id)
    engine.run(3)
    captured = registry.newest()
    assert captured is not None
    assert (captured.state, captured.runs) == (ProfileState.OPEN, 3)
    await registry.close("disabled")
    await registry.settle()
    done = registry.newest()
    assert done is not None
    assert (done.state, done.close_reason, done.runs, done.requests) == (ProfileState.COMPLETE, "disabled", 3, 1)
    assert done.closed_unix_ms >= done.opened_unix_ms > 0
    assert done.events > 0
    assert [share.op_type for share in done.top_operators] == ["MatMul", "Gather"]
    trace = registry.trace_path("")
    assert trace == registry.trace_path(done.id)
    assert done.trace_bytes == trace.stat().st_size
    assert read_trace(trace)[0]["args"] == {"name": "pod-1"}
    assert set(kept_files(tmp_path)) == {f"{done.id}.trace.json.gz", f"{done.id}.profile.json"}


async def test_a_window_without_runs_fails_and_says_why(
    registry: ProfileRegistry, engine: WindowsOnly, tmp_path: Path
) -> None:
    done = await take(registry, engine, "idle", runs=0)
    assert (done.state, done.close_reason) == (ProfileState.FAILED, "disabled")
    assert done.message.startswith("No run of the model happened")
    assert kept_files(tmp_path) == [f"{done.id}.profile.json"]
    with pytest.raises(ProfileNotFound, match="No run of the model happened"):
        registry.trace_path(done.id)


async def test_caps_are_defaults_or_as_asked(registry: ProfileRegistry, engine: WindowsOnly) -> None:
    await registry.open(WantedWindow("a"))
    first = engine.window
    assert first is not None
    assert (first.max_runs, first.max_bytes, first.max_seconds) == (500, 64 * MIB, 60.0)
    await registry.open(WantedWindow("b", 7, 8000, 9))
    second = engine.window
    assert second is not None
    assert (second.max_runs, second.max_bytes, second.max_seconds) == (7, 8000, 9.0)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (WantedWindow("../../x"), "label"),
        (WantedWindow(""), "label"),
        (WantedWindow("x" * 41), "label"),
        (WantedWindow("a\n"), "label"),
        (WantedWindow("ok", max_runs=2_000_000), "max_runs"),
        (WantedWindow("ok", max_bytes=513 * MIB), "max_bytes"),
        (WantedWindow("ok", max_seconds=-1), "max_seconds"),
    ],
)
async def test_bad_windows_are_refused_and_leave_nothing(
    registry: ProfileRegistry, engine: WindowsOnly, tmp_path: Path, wanted: WantedWindow, field: str
) -> None:
    with pytest.raises(InvalidRequest, match=field):
        await registry.open(wanted)
    assert engine.window is None
    assert registry.list() == []
    assert kept_files(tmp_path) == []


async def test_a_second_window_replaces_the_first_and_both_are_kept(
    registry: ProfileRegistry, engine: WindowsOnly
) -> None:
    await registry.open(WantedWindow("one"))
    engine.run()
    await registry.open(WantedWindow("one"))
    engine.run()
    await registry.close("disabled")
    await registry.settle()
    newest, first = registry.list()
    assert newest.id != first.id
    assert (first.close_reason, newest.close_reason) == ("replaced", "disabled")
    assert {first.state, newest.state} == {ProfileState.COMPLETE}
    assert registry.newest() == newest


async def test_an_engine_that_dies_leaves_what_it_had_captured(registry: ProfileRegistry, engine: WindowsOnly) -> None:
    await registry.open(WantedWindow("crash"))
    engine.run(2)
    engine.die()
    await registry.settle()
    done = registry.newest()
    assert done is not None
    assert (done.state, done.close_reason, done.runs) == (ProfileState.COMPLETE, "engine_restart", 2)


async def test_without_an_engine_no_window_is_listed(registry: ProfileRegistry, engine: WindowsOnly) -> None:
    engine.dead = True
    with pytest.raises(EngineFailure):
        await registry.open(WantedWindow("x"))
    assert registry.list() == []
    await registry.close("disabled")
    await registry.settle()


async def test_an_engine_that_sits_idle_is_told_when_the_time_is_over(
    registry: ProfileRegistry, engine: WindowsOnly
) -> None:
    await registry.open(WantedWindow("idle", max_seconds=1))
    engine.run()
    profile = await closed(registry, engine)
    assert profile.close_reason == "max_seconds"


async def test_a_restarted_server_lists_and_merges_what_was_left(
    registry: ProfileRegistry, engine: WindowsOnly, tmp_path: Path
) -> None:
    complete = await take(registry, engine, "done")
    await registry.open(WantedWindow("cut"))
    engine.run(2)
    engine.dead = True
    assert engine.opened is not None
    engine.opened._manifest.close()
    other = ProfileRegistry(tmp_path, WindowsOnly(tmp_path), "pod-1")
    await other.start()
    await other.settle()
    cut, kept = other.list()
    assert kept == complete
    assert (cut.state, cut.close_reason, cut.runs) == (ProfileState.COMPLETE, "engine_restart", 2)
    assert cut.closed_unix_ms >= cut.opened_unix_ms
    assert other.newest() is None
    assert other.trace_path("").name == f"{cut.id}.trace.json.gz"
    engine.die()
    await registry.settle()


async def test_leftovers_of_all_kinds_are_taken_as_they_are(tmp_path: Path, engine: WindowsOnly) -> None:
    store = ProfileStore(tmp_path)
    store.save(Profile("gone-20260101T101500Z-3", "gone", ProfileState.OPEN, 5))
    store.raw_folder(OLD_ID).mkdir()
    (tmp_path / "bad-20260101T101500Z-2.profile.json").write_text("{}")
    (tmp_path / "stranger.profile.json").write_text("{}")
    (tmp_path / "lost+found").mkdir()
    registry = ProfileRegistry(tmp_path, engine)
    await registry.start()
    await registry.settle()
    found = {profile.label: profile for profile in registry.list()}
    assert set(found) == {"gone", "old", "bad"}
    assert {profile.state for profile in found.values()} == {ProfileState.FAILED}
    assert all(profile.message for profile in found.values())
    assert found["old"].opened_unix_ms == 1767262500000
    assert (tmp_path / "stranger.profile.json").exists()
    with pytest.raises(ProfileNotFound):
        registry.trace_path("")


async def test_the_reason_of_a_shutdown_survives_it(tmp_path: Path, engine: WindowsOnly) -> None:
    engine.window = Window(OLD_ID, 10, 10**6, 60.0)
    engine.opened = OpenWindow(engine.window, tmp_path)
    capture(engine.opened, "a", "decode", 1)
    engine.opened.close("shutdown")
    registry = ProfileRegistry(tmp_path, engine)
    await registry.start()
    await registry.settle()
    (profile,) = registry.list()
    assert (profile.state, profile.close_reason) == (ProfileState.COMPLETE, "shutdown")


async def test_old_profiles_make_room_and_the_newest_stays(tmp_path: Path, engine: WindowsOnly) -> None:
    registry = ProfileRegistry(tmp_path, engine, limits=ProfileLimits(kept_profiles=2))
    await registry.start()
    taken = [await take(registry, engine, label) for label in ("one", "two", "three")]
    assert [profile.label for profile in registry.list()] == ["three", "two"]
    assert {name.split("-")[0] for name in kept_files(tmp_path)} == {"two", "three"}
    with pytest.raises(ProfileNotFound):
        registry.trace_path(taken[0].id)


async def test_bytes_beyond_the_limit_make_room_but_for_the_newest(tmp_path: Path, engine: WindowsOnly) -> None:
    registry = ProfileRegistry(tmp_path, engine, limits=ProfileLimits(kept_bytes=1))
    await registry.start()
    for label in ("one", "two"):
        await take(registry, engine, label)
    assert [profile.label for profile in registry.list()] == ["two"]


async def test_windows_cannot_pile_up_faster_than_they_are_merged(tmp_path: Path, engine: WindowsOnly) -> None:
    registry = ProfileRegistry(tmp_path, engine, limits=ProfileLimits(most_bytes=100, default_bytes=100))
    await registry.start()
    await registry.open(WantedWindow("one"))
    engine.run()
    with pytest.raises(NotServing, match="still being merged"):
        await registry.open(WantedWindow("two"))
    await registry.close("disabled")
    await registry.settle()
    await registry.open(WantedWindow("two"))
    await registry.close("disabled")
    await registry.settle()
    assert [profile.label for profile in registry.list()] == ["two", "one"]


@pytest.mark.parametrize("profile_id", ["../../etc/passwd", "/etc/passwd", "x", OLD_ID, "\0", "é" * 300])
async def test_no_text_but_a_listed_id_finds_a_file(registry: ProfileRegistry, profile_id: str) -> None:
    with pytest.raises(ProfileNotFound):
        registry.trace_path(profile_id)


async def test_stopping_keeps_raw_runs_for_the_next_process(tmp_path: Path, engine: WindowsOnly) -> None:
    registry = ProfileRegistry(tmp_path, engine)
    await registry.start()
    await registry.open(WantedWindow("cut"))
    engine.run()
    await registry.close("shutdown")
    profile = await closed(registry, engine)
    await registry.stop()
    assert ProfileStore(tmp_path).raw_folder(profile.id).is_dir()
    successor = ProfileRegistry(tmp_path, WindowsOnly(tmp_path))
    await successor.start()
    await successor.settle()
    (again,) = successor.list()
    assert (again.id, again.state, again.close_reason) == (profile.id, ProfileState.COMPLETE, "shutdown")


async def test_a_folder_that_cannot_be_made_leaves_the_server_running(tmp_path: Path) -> None:
    blocked = tmp_path / "profiles"
    blocked.write_text("")
    registry = ProfileRegistry(blocked, WindowsOnly(blocked))
    await registry.start()
    assert registry.list() == []


def test_a_record_reads_back_as_it_was() -> None:
    profile = Profile(OLD_ID, "old", ProfileState.FAILED, 1, 2, "max_runs", message="é")
    assert from_json(to_json(profile)) == profile


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 1}', to_json(Profile("../x", "x", ProfileState.OPEN, 1))])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a profile's|Expecting"):
        from_json(text)
