"""Runs around a window in the engine's thread: what a run costs that nobody wants to see."""

from pathlib import Path

from genai_runtime.engine.protocol import Window
from genai_runtime.engine.windows import Windows
from genai_runtime.profiling.selection import Selection

WINDOW_ID = "w-20260101T000000Z-1"


def never(*_: object) -> dict[str, int]:
    raise AssertionError("a run that is not captured was asked about")


def profile(value: str) -> None:
    raise AssertionError(f"a run that is not captured was profiled: {value}")


def test_without_a_window_nothing_is_asked_and_nothing_is_made(tmp_path: Path) -> None:
    windows = Windows(tmp_path, kv_tokens=lambda: len(never()))
    first = windows.run("decode", never, profile, never)
    assert first is windows.run("prefill", never, profile, never)  # one object for all of them
    with first:
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_not_chosen_costs_as_little_in_a_window(tmp_path: Path) -> None:
    windows = Windows(tmp_path)
    outside = windows.run("decode", never, profile, never)
    windows.open(Window(WINDOW_ID, 10, 10**9, 600.0, Selection(runs="prefill")))
    windows.events()
    for _ in range(5):
        assert windows.run("decode", never, profile, never) is outside
    windows.close("disabled")
    (last,) = windows.events()
    assert (last.runs, last.skipped_runs, last.closed) == (0, 5, True)


def test_a_window_that_cannot_be_opened_says_so_and_the_engine_goes_on(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for folder, selection in ((blocked, Selection()), (tmp_path, Selection(runs="nonsense"))):
        windows = Windows(folder)
        windows.open(Window(WINDOW_ID, 10, 10**9, 600.0, selection))
        (told,) = windows.events()
        assert (told.closed, told.close_reason) == (True, "failed")
        assert told.message
        with windows.run("decode", never, profile, never):
            pass
