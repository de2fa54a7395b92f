"""How pages of docs/recipes are read, run and compared; and that the index has each of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.recipes import Step, mismatch, steps
from support.terminal import Terminal

FOLDER = Path(__file__).parents[2] / "docs" / "recipes"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
PARTS = ("## What it costs", "## Undo it")

PAGE = """# A page

```sh
kubectl get pods
```

You see:

```text
NAME
…
```

```yaml
spec: {}
```

```sh exits 3
false
```
"""

TABLE = """\
NAME                       PHASE      PODS   RUNS   AGE   COST
slow                       Complete   1/1    30     12s   -0.4 %
"""


def test_a_page_is_its_commands_and_what_is_seen() -> None:
    assert steps(PAGE) == [
        Step(3, "kubectl get pods\n", 0, "NAME\n…\n"),
        Step(18, "false\n", 3, None),
    ]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("```sh\ntrue\n", "line 1: the block is not closed"),
        ("```text\nNAME\n```\n", "line 1: what is seen follows on no commands"),
        ("```sh\ntrue\n```\n```text\na\n```\n```text\nb\n```\n", "line 7: what is seen"),
        ("```sh fails\ntrue\n```\n", "line 1: 'sh fails' is neither"),
    ],
)
def test_a_page_that_cannot_be_run_is_refused(page: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        steps(page)


@pytest.mark.parametrize(
    ("shown", "seen"),
    [
        ("NAME\n…\nb", "NAME\nb\nx\nb"),
        ("…", ""),
        ("a …", "a lot of text"),
        ("pod hello-5cb5d44d47-t8tl4 waits", "pod hello-677d8b9f4c-zx2kq waits"),
        ("slow-20261121T055801Z-1", "slow-20270102T000000Z-17"),
        ("at 2026-11-21T05:58:01Z", "at 2027-01-02T00:00:00.125Z"),
        ("request 43d2a3164e015b1f", "request e3fefb2bca62bd93"),
        ("ended after 7.2s", "ended after 12s"),
        ("1.5 ms / 20 ms", "999 ms / 0.2 ms"),
        ("up -3.2 %, +6.6 µs", "up 14 %, -2 µs"),
        ("0 dropped", "0 dropped"),
        ("a\n\nb", "\na\nb\n\n"),
        (TABLE, TABLE.replace("   ", " ").replace("12s", "2m3s").replace("-0.4", "3.5")),
    ],
)
def test_what_another_run_changes_is_compared_by_its_shape(shown: str, seen: str) -> None:
    assert mismatch(shown, seen) == ""


@pytest.mark.parametrize(
    ("shown", "seen"),
    [
        ("Complete", "Failed"),
        ("0 dropped", "3 dropped"),
        ("30 runs", "0 runs"),
        ("30 runs", "0.0 runs"),
        ("30 runs", "many runs"),
        ("1/1", "0/1"),
        ("1 of 2 pods", "2 of 2 pods"),
        ("p99 5 ms", "p50 5 ms"),
        ("hello-5cb5d44d47-t8tl4", "hello"),
        ("a", "a\nb"),
        ("a\nb", "a"),
        ("NAME\n…\nend", "NAME\nend\nmore"),
        (TABLE, TABLE.replace("Complete", "Failed")),
    ],
)
def test_what_is_something_else_is_told(shown: str, seen: str) -> None:
    assert mismatch(shown, seen) != ""


def test_a_number_that_the_commands_give_is_compared_exactly() -> None:
    assert mismatch("30 runs, 7 pods", "31 runs, 8 pods") == ""
    assert mismatch("30 runs, 7 pods", "30 runs, 8 pods", "start --max-runs 30") == ""
    assert "line 1" in mismatch("30 runs", "31 runs", "start --max-runs 30")
    assert "line 1" in mismatch("older than 2s", "older than 3s", "cancel --older-than 2s")
    assert mismatch("AGE 2s", "AGE 3s", "sleep 2") == ""


def test_the_line_that_is_not_seen_is_named() -> None:
    assert "line 2 of what is shown, 'b'" in mismatch("a\nb", "a\nc")
    assert "more is seen than shown, from line 2" in mismatch("a", "a\nc")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal in an empty folder."""
    for name in ("folder", "records"):
        (tmp_path / name).mkdir()
    with Terminal(tmp_path / "folder", tmp_path / "records", os.environ) as made:
        yield made


def test_a_terminal_keeps_what_a_shell_keeps(terminal: Terminal) -> None:
    assert terminal.run("cd / && pod=hello\nsleep 0.01 &\n").code == 0
    ended = terminal.run("wait\necho $pod in $PWD; echo beside >&2\n")
    assert (ended.code, ended.seen) == (0, "hello in /\nbeside\n")


def test_a_terminal_tells_every_failing_command(terminal: Terminal) -> None:
    assert terminal.run("(exit 3)\ntrue\n").code == 3
    assert terminal.run("(exit 4) | cat\ntrue\n").code == 4
    assert terminal.run("if false; then true; fi; false || true\n").code == 0


def test_commands_have_no_input(terminal: Terminal) -> None:
    ended = terminal.run("cat\ncat <<END\nwritten\nEND\n")
    assert (ended.code, ended.seen) == (0, "written\n")


def test_a_block_that_does_not_end_is_told(terminal: Terminal) -> None:
    with pytest.raises(AssertionError, match="sleep 60"):
        terminal.run("echo begun\nsleep 60\n", seconds=0.2)


def test_there_are_pages() -> None:
    assert len(PAGES) == 6


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_can_be_run_says_its_price_and_how_to_undo_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [step for step in steps(text) if step.shown is not None]
    assert [part for part in PARTS if f"\n{part}\n" not in text] == []


def test_the_index_has_every_page() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"]({page.name})" not in index] == []
