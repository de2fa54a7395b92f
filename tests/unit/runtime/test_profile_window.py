"""A window in the engine process: prefixes, files accounted, caps, faults of the volume."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from genai_runtime.profiling.manifest import read_manifest
from genai_runtime.profiling.selection import InvalidSelection, Selection
from genai_runtime.profiling.window import OpenWindow
from support.raw_runs import WINDOW_ID, capture, window, write_raw


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


Opener = Callable[..., OpenWindow]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Opener]:
    """Opens windows in the test's folder, as `OpenWindow` does, and closes them at the end."""
    made: list[OpenWindow] = []

    def open_one(
        folder: Path = tmp_path, caps: dict[str, float] | None = None, selection: Selection | None = None, **more: Any
    ) -> OpenWindow:
        made.append(OpenWindow(window(selection, **caps or {}), folder, **more))
        return made[-1]

    yield open_one
    for opened in made:
        opened.close("test over")


def test_every_run_has_its_own_prefix_and_is_accounted(make: Opener, tmp_path: Path) -> None:
    opened = make()
    before = time.monotonic_ns()
    files = [
        capture(opened, "a", "prefill", 12),
        capture(opened, "a", "decode", 1),
        capture(opened, "b", "decode", 1),
    ]
    assert len({file.name for file in files}) == 3
    size = sum(file.stat().st_size for file in (tmp_path / f"{WINDOW_ID}.raw").glob("r0*.json"))
    progress = opened.progress()
    assert (progress.runs, progress.requests, progress.dropped_runs) == (3, 2, 0)
    assert progress.captured_bytes == size > 0
    manifest = read_manifest(tmp_path / f"{WINDOW_ID}.raw")
    assert [(run.kind, run.requests) for run in manifest.runs] == [
        ("prefill", {"a": 12}),
        ("decode", {"a": 1}),
        ("decode", {"b": 1}),
    ]
    moments = [moment for run in manifest.runs for moment in (run.start_ns, run.end_ns)]
    assert moments == sorted(moments)
    assert moments[0] >= before >= manifest.opened_ns


def test_a_run_of_several_requests_names_them_all(make: Opener, tmp_path: Path) -> None:
    opened = make()
    prefix = opened.before_run("decode", {"a": 5, "b": 900})
    assert prefix is not None
    write_raw(prefix)
    opened.after_run()
    (run,) = read_manifest(tmp_path / f"{WINDOW_ID}.raw").runs
    assert run.requests == {"a": 5, "b": 900}
    assert (opened.progress().runs, opened.progress().requests) == (1, 2)


def test_a_prefill_in_chunks_keeps_all_its_files_in_order(make: Opener, tmp_path: Path) -> None:
    opened = make()
    prefix = opened.before_run("prefill", {"a": 64})
    assert prefix is not None
    for stamp in ("_2026-11-21_05-17-14_925.json", "_2026-11-21_05-17-14_818.json"):
        write_raw(prefix, stamp=stamp)
    opened.after_run()
    (run,) = read_manifest(tmp_path / f"{WINDOW_ID}.raw").runs
    assert [file.name[-8:-5] for file in run.files] == ["818", "925"]
    assert opened.progress().runs == 1


def test_the_files_name_tells_when_the_run_began_if_it_fits(make: Opener, tmp_path: Path) -> None:
    opened = make()
    prefix = opened.before_run("decode", {"a": 1})
    assert prefix is not None
    stamp = datetime.now().strftime("_%Y-%m-%d_%H-%M-%S_%f")[:-3] + ".json"
    write_raw(prefix, stamp=stamp)
    opened.after_run()
    capture(opened, "a", "decode", 2)  # its stamp is another day's
    fitting, foreign = read_manifest(tmp_path / f"{WINDOW_ID}.raw").runs
    assert fitting.start_ns - 2_000_000 <= fitting.files[0].start_ns <= fitting.end_ns + 2_000_000
    assert foreign.files[0].start_ns == 0


def test_a_run_without_a_file_is_dropped_with_the_reason(make: Opener, tmp_path: Path) -> None:
    opened = make()
    assert opened.before_run("decode", {"a": 1}) is not None
    opened.after_run()
    last = opened.close("disabled")
    assert (last.runs, last.dropped_runs, last.closed) == (0, 1, True)
    assert "wrote no file" in last.message
    assert "Nothing was captured" in last.message


def test_an_interrupted_run_that_never_began_is_no_loss(make: Opener, tmp_path: Path) -> None:
    opened = make()
    assert opened.before_run("prefill", {"a": 9}) is not None
    opened.after_run(interrupted=True)
    prefix = opened.before_run("prefill", {"a": 9})
    assert prefix is not None
    write_raw(prefix)
    opened.after_run(interrupted=True)
    assert (opened.progress().runs, opened.progress().dropped_runs) == (1, 0)
    (run,) = read_manifest(tmp_path / f"{WINDOW_ID}.raw").runs
    assert run.interrupted


def test_after_run_without_before_run_does_nothing(make: Opener, tmp_path: Path) -> None:
    opened = make()
    opened.after_run()
    assert opened.progress().dropped_runs == 0


@pytest.mark.parametrize(("cap", "caps"), [("max_runs", {"max_runs": 2}), ("max_bytes", {"max_bytes": 1500})])
def test_caps_end_the_window_exactly(make: Opener, tmp_path: Path, cap: str, caps: dict[str, float]) -> None:
    opened = make(caps=caps)
    runs = 0
    while opened.cap_reached() is None:
        capture(opened, "a", "decode", runs)
        runs += 1
    assert runs == 2
    assert opened.cap_reached() == cap
    assert opened.before_run("decode", {"a": 3}) is None
    opened.after_run()
    last = opened.close(cap)
    assert (last.runs, last.close_reason, last.message) == (2, cap, "")


def test_lost_runs_count_for_the_cap_on_runs(make: Opener, tmp_path: Path) -> None:
    opened = make(caps={"max_runs": 1})
    opened.before_run("decode", {"a": 1})
    opened.after_run()
    assert opened.cap_reached() == "max_runs"


def test_time_ends_a_window_without_any_run(make: Opener, tmp_path: Path) -> None:
    clock = Clock()
    opened = make(caps={"max_seconds": 5}, monotonic=clock)
    clock.now += 4.9
    assert opened.cap_reached() is None
    clock.now += 0.1
    assert opened.cap_reached() == "max_seconds"
    last = opened.close("max_seconds")
    assert "No run of the model happened" in last.message


def test_a_closed_window_stays_as_it_was(make: Opener, tmp_path: Path) -> None:
    opened = make()
    capture(opened, "a", "decode", 1)
    last = opened.close("max_runs")
    assert opened.close("disabled") is last
    assert opened.progress() is last
    assert opened.before_run("decode", {"a": 2}) is None
    assert read_manifest(tmp_path / f"{WINDOW_ID}.raw").close_reason == "max_runs"


def test_a_folder_that_cannot_be_written_is_refused_by_name(make: Opener, tmp_path: Path) -> None:
    blocked = tmp_path / "profiles"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(OSError, match=f"profiles cannot be kept in {blocked}"):
        make(blocked)


def test_a_window_is_never_captured_into_anothers_folder(make: Opener, tmp_path: Path) -> None:
    make()
    with pytest.raises(OSError, match="profiles cannot be kept"):
        make()


def test_a_path_that_is_too_long_is_refused(make: Opener, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 200] * 20)
    with pytest.raises(OSError, match="too long"):
        make(deep)


def test_a_full_volume_is_refused_and_leaves_nothing(make: Opener, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="must stay free"):
        make(reserve_bytes=2**62)
    assert list(tmp_path.iterdir()) == []


def test_a_volume_that_fills_up_ends_the_window(make: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = make()
    capture(opened, "a", "decode", 1)
    monkeypatch.setattr("genai_runtime.profiling.window.free_bytes", lambda folder: 0)
    assert opened.cap_reached() == "max_bytes"
    last = opened.close("max_bytes")
    assert "left free" in last.message


def test_a_file_that_vanishes_is_a_dropped_run_not_a_failure(make: Opener, tmp_path: Path) -> None:
    opened = make()
    prefix = opened.before_run("decode", {"a": 1})
    assert prefix is not None
    Path(prefix).parent.rmdir()
    opened.after_run()
    last = opened.close("disabled")
    assert last.dropped_runs == 1
    assert "cannot be kept" in last.message


def test_user_text_in_a_request_id_never_becomes_a_path(make: Opener, tmp_path: Path) -> None:
    opened = make()
    prefix = opened.before_run("decode", {"../../x": 1})
    assert prefix is not None
    assert Path(prefix).parent == tmp_path / f"{WINDOW_ID}.raw" / "running"
    assert "x" not in Path(prefix).name


def test_runs_that_are_not_chosen_are_skipped_without_a_look_at_the_disk(
    make: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    opened = make(selection=Selection(runs="every 100"), monotonic=clock)
    assert opened.wants("decode", dict)
    capture(opened, "a", "decode", 1)
    looks = 0

    def look(folder: Path) -> int:
        nonlocal looks
        looks += 1
        return 2**62

    monkeypatch.setattr("genai_runtime.profiling.window.free_bytes", look)
    assert opened.cap_reached() is None
    assert looks == 1  # after the captured run
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert [opened.wants("decode", dict) for _ in range(99)] == [False] * 99
    assert looks == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    progress = opened.progress()
    assert (progress.runs, progress.skipped_runs, progress.dropped_runs) == (1, 99, 0)
    assert opened.wants("decode", dict)


def test_a_selection_that_no_run_met_says_so(make: Opener) -> None:
    opened = make(selection=Selection(runs="50-60"))
    for number in range(1, 4):
        assert not opened.wants("decode", lambda: {"a": number})  # noqa: B023
    last = opened.close("disabled")
    assert (last.runs, last.skipped_runs) == (0, 3)
    assert last.message.startswith("None of the 3 runs")


def test_nothing_is_skipped_after_the_end(make: Opener) -> None:
    opened = make(selection=Selection(runs="5"), caps={"max_runs": 1})
    assert opened.wants("decode", lambda: {"a": 6})
    capture(opened, "a", "decode", 6)
    assert not opened.wants("decode", lambda: {"a": 7})
    assert opened.progress().skipped_runs == 0


def test_a_selection_that_cannot_be_read_opens_nothing(make: Opener, tmp_path: Path) -> None:
    with pytest.raises(InvalidSelection):
        make(selection=Selection(runs="../x"))
    assert list(tmp_path.iterdir()) == []
