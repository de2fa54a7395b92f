"""A profile's traces on their way from pods to a file, a page and a comparison. Only what pods print is made up."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from genai_kubectl.app import app
from genai_kubectl.commands import profile_files
from genai_kubectl.commands.profile_files import fetch_joined
from genai_kubectl.errors import CommandFailed
from genai_traces.check import problems
from genai_traces.operators import operator_times
from genai_traces.summary import summarise
from support.synthetic_traces import Pod, three_pods, write_synthetic_trace

KUBE: Any = None  # what the pods' programs print is made up
CHUNK = 1000


@pytest.fixture
def pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What each pod's `profile fetch` prints."""
    (tmp_path / "pods").mkdir()
    printed: dict[str, bytes] = {}
    for pod in three_pods():
        write_synthetic_trace(tmp_path / "pods" / pod.name, pod)
        printed[pod.name] = (tmp_path / "pods" / pod.name).read_bytes()

    def output_of(kube: object, pod: str, command: Sequence[str]) -> Iterator[bytes]:
        assert command == ("genai-runtime", "ctl", "profile", "fetch", f"of-{pod}")
        yield from (printed[pod][start : start + CHUNK] for start in range(0, len(printed[pod]), CHUNK))

    monkeypatch.setattr(profile_files, "output_of", output_of)
    return printed


def profile(pods: dict[str, bytes], **others: dict[str, Any]) -> dict[str, Any]:
    complete = [
        {"name": name, "state": "Complete", "profileId": f"of-{name}", "droppedRuns": 2, "message": "two were lost"}
        for name in pods
    ]
    return {
        "metadata": {"name": "slow", "namespace": "demo"},
        "spec": {"model": "hello"},
        "status": {"phase": "Complete", "pods": [*complete, *others.values()]},
    }


def test_all_pods_become_one_valid_file_with_what_no_trace_shows(pods: dict[str, bytes], tmp_path: Path) -> None:
    (folder := tmp_path / "here").mkdir()
    target = folder / "slow.trace.json.gz"
    written = fetch_joined(KUBE, profile(pods), target, allow_missing=False)
    assert [path.name for path in folder.iterdir()] == [target.name]
    assert problems(target) == []
    assert written.bytes == target.stat().st_size
    summary = summarise(target)
    assert sorted(summary.pods) == sorted(pods)
    assert {facts.dropped_runs for facts in summary.facts.values()} == {2}


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-20], lambda data: b"not gzip", lambda data: b""], ids=["cut", "other", "empty"]
)
def test_a_damaged_trace_leaves_nothing_behind(pods: dict[str, bytes], tmp_path: Path, damage: Any) -> None:
    (folder := tmp_path / "here").mkdir()
    name = sorted(pods)[0]
    pods[name] = damage(pods[name])
    with pytest.raises(CommandFailed, match="cannot write the trace of 'slow'"):
        fetch_joined(KUBE, profile(pods), folder / "slow.trace.json.gz", allow_missing=False)
    assert list(folder.iterdir()) == []


def test_the_old_file_stays_when_the_new_one_fails(pods: dict[str, bytes], tmp_path: Path) -> None:
    (folder := tmp_path / "here").mkdir()
    (target := folder / "slow.trace.json.gz").write_text("old")
    pods[sorted(pods)[0]] = b""
    with pytest.raises(CommandFailed):
        fetch_joined(KUBE, profile(pods), target, allow_missing=False)
    assert target.read_text() == "old"


@pytest.fixture
def trace(pods: dict[str, bytes], tmp_path: Path) -> Path:
    target = tmp_path / "slow.trace.json.gz"
    fetch_joined(KUBE, profile(pods), target, allow_missing=False)
    return target


def test_a_page_is_written_beside_and_named_after_the_trace(trace: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["profile", "open", str(trace), "--no-browser", "--directory", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "slow.html") in done.stdout
    assert "ui.perfetto.dev" in done.stderr
    assert str(trace) in done.stderr
    page = (tmp_path / "slow.html").read_text()
    assert operator_times(trace)[0].op_type in page


def test_top_of_a_file(trace: Path) -> None:
    done = CliRunner().invoke(app, ["profile", "top", str(trace), "-o", "json"])
    shown = json.loads(done.stdout)["operators"]
    assert [each["opType"] for each in shown] == [each.op_type for each in operator_times(trace)]
    decode = json.loads(
        CliRunner().invoke(app, ["profile", "top", str(trace), "--kind", "decode", "-o", "json"]).stdout
    )
    assert sum(each["calls"] for each in decode["operators"]) < sum(each["calls"] for each in shown)


def test_a_trace_compared_with_itself_has_no_regression(trace: Path) -> None:
    done = CliRunner().invoke(app, ["profile", "diff", str(trace), str(trace), "--fail-over", "0"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].split() == ["OPERATOR", "PROVIDER", "BEFORE", "AFTER", "CHANGE", "PERCENT"]
    assert "+0.0 %" in done.stdout.splitlines()[-1]


def test_growth_over_the_limit_fails_and_names_the_operator(tmp_path: Path) -> None:
    before, after = tmp_path / "before.gz", tmp_path / "after.gz"
    write_synthetic_trace(before, Pod("a"))
    write_synthetic_trace(after, Pod("a", growth={"MatMulNBits": 1.5}))
    compared = ["profile", "diff", str(before), str(after), "--kind", "decode", "--fail-over"]
    done = CliRunner().invoke(app, [*compared, "30"])
    assert isinstance(done.exception, CommandFailed)
    assert "% in MatMulNBits (" in str(done.exception)
    assert CliRunner().invoke(app, [*compared, "60"]).exit_code == 0


def test_what_is_no_trace_is_said(tmp_path: Path) -> None:
    (other := tmp_path / "x.gz").write_text("no")
    for command in (["top", str(other)], ["diff", str(other), str(other)], ["open", str(other), "--no-browser"]):
        done = CliRunner().invoke(app, ["profile", *command])
        assert isinstance(done.exception, CommandFailed), command
        assert str(other) in str(done.exception)
