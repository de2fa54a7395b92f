"""Profiles from the command line: the manifest of the options, what a status says, and which differences count."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from genai_kubectl.decisions.profile_manifest import Life, Target, Window, profile_manifest
from genai_kubectl.decisions.profile_state import (
    LIST_HEADER,
    LIST_HEADER_WIDE,
    PodTrace,
    explanation,
    list_row,
    missing_pods,
    pod_rows,
    traces,
    waiting_for,
)
from genai_kubectl.decisions.regressions import growth, regressions, row, totals
from genai_kubectl.errors import CommandFailed, WrongUsage
from genai_operator.api.genaiprofile import GenAIProfile

EVERYTHING = Window(
    pod_percent=50,
    sample_rate=0.1,
    request_ids=("r-1",),
    clients=("team-a",),
    runs="prefill,0-3,50-60",
    max_runs=500,
    max_bytes="64Mi",
    max_seconds=60,
)
S3 = Target(s3_uri="s3://bucket/a/b", s3_endpoint="http://minio:9000", s3_region="eu-1", s3_secret="keys")


def read(manifest: dict[str, Any]) -> GenAIProfile:
    """As the operator reads it: the options make what the API's own types take."""
    return GenAIProfile.from_body({**manifest, "metadata": {"name": "p", "namespace": "demo", **manifest["metadata"]}})


def test_all_options_become_the_spec() -> None:
    spec = read(profile_manifest("hello", "p", EVERYTHING, S3, Life(True, 60, 3600))).spec
    plain = spec.model_dump(by_alias=True, exclude_none=True, mode="json")
    assert plain == {
        "model": "hello",
        "pods": {"percent": 50},
        "requests": {"sampleRate": 0.1, "ids": ["r-1"], "clients": ["team-a"]},
        "runs": "prefill,0-3,50-60",
        "limits": {"maxRuns": 500, "maxBytes": "64Mi", "maxSeconds": 60},
        "output": {
            "type": "S3",
            "s3": {
                "uri": "s3://bucket/a/b",
                "endpoint": "http://minio:9000",
                "region": "eu-1",
                "secretName": "keys",
            },
        },
        "suspend": True,
        "startDeadlineSeconds": 60,
        "ttlSecondsAfterFinished": 3600,
    }


def test_what_is_not_given_is_left_out() -> None:
    manifest = profile_manifest("hello", "", Window(), Target(), Life())
    assert manifest["spec"] == {"model": "hello"}
    assert manifest["metadata"] == {"generateName": "hello-"}
    read(manifest)


def test_a_claim_and_pods_by_name() -> None:
    manifest = profile_manifest("hello", "p", Window(pods=("a", "b")), Target(claim="traces", claim_path="x/y"), Life())
    spec = read(manifest).spec
    assert spec.pods is not None
    assert spec.pods.names == ("a", "b")
    assert spec.output.persistent_volume_claim is not None
    assert spec.output.persistent_volume_claim.path == "x/y"


def test_bytes_may_be_a_number() -> None:
    assert profile_manifest("m", "p", Window(max_bytes="1048576"), Target(), Life())["spec"]["limits"] == {
        "maxBytes": 1048576
    }


def test_a_made_up_name_leaves_room_for_its_ending() -> None:
    manifest = profile_manifest("m" * 39 + "-" + "m" * 12, "", Window(), Target(), Life())
    assert manifest["metadata"]["generateName"] == "m" * 39 + "-"


@pytest.mark.parametrize(
    ("window", "target", "named"),
    [
        (Window(pods=("a",), pod_count=1), Target(), "--pods-count"),
        (Window(pod_count=1, pod_percent=1), Target(), "--pods-percent"),
        (Window(), Target(claim="a", s3_uri="s3://b/c"), "--s3-uri"),
        (Window(), Target(claim_path="a"), "--claim"),
        (Window(), Target(s3_region="a"), "--s3-uri"),
    ],
)
def test_options_that_exclude_or_need_each_other(window: Window, target: Target, named: str) -> None:
    with pytest.raises(WrongUsage, match=named):
        profile_manifest("m", "p", window, target, Life())


def profile(phase: str = "Complete", *pods: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "slow", "namespace": "demo", "creationTimestamp": "2026-01-09T23:00:00Z"},
        "spec": {"model": "hello", "output": {"type": "Pod"}},
        "status": {"phase": phase, "pods": list(pods), **status},
    }


COMPLETE = {"name": "hello-1", "state": "Complete", "profileId": "slow-1", "runs": 20, "bytes": 2048, "requests": 2}
GONE = {"name": "hello-2", "state": "Failed", "reason": "PodGone", "message": "it was deleted"}


def test_the_traces_are_those_of_complete_pods() -> None:
    assert traces(profile("Complete", COMPLETE), allow_missing=False) == [PodTrace("hello-1", "slow-1")]


def test_a_pod_that_had_nothing_to_capture_misses_no_trace() -> None:
    idle = {"name": "hello-3", "state": "Failed", "reason": "NothingCaptured"}
    both = profile("Complete", COMPLETE, idle)
    assert traces(both, allow_missing=False) == [PodTrace("hello-1", "slow-1")]
    assert missing_pods(both) == ["no trace of pod hello-3: NothingCaptured"]


def test_a_missing_trace_is_never_left_out_in_silence() -> None:
    with pytest.raises(CommandFailed, match=r"hello-2 PodGone.*--allow-missing"):
        traces(profile("Complete", COMPLETE, GONE), allow_missing=False)
    assert len(traces(profile("Complete", COMPLETE, GONE), allow_missing=True)) == 1


def test_an_open_window_has_no_trace_yet() -> None:
    with pytest.raises(CommandFailed, match="profile stop slow"):
        traces(profile("Running", {**COMPLETE, "state": "Open"}), allow_missing=True)


def test_a_failed_profile_says_why() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "NothingCaptured", "message": "no request ran"}
    with pytest.raises(CommandFailed, match="NothingCaptured: no request ran"):
        traces(profile("Failed", GONE, conditions=[failed]), allow_missing=True)


def test_what_an_unfinished_one_waits_for() -> None:
    busy = {"name": "hello-1", "state": "Pending", "reason": "PodBusy"}
    assert waiting_for(profile("Pending", busy)) == "pod hello-1: PodBusy"
    assert waiting_for({"metadata": {}, "spec": {}}) == "the operator has not taken it up"


def test_a_complete_one_is_explained_by_its_condition() -> None:
    said = {"type": "Complete", "status": "True", "reason": "PartlyCaptured", "message": "hello-2 is gone"}
    assert explanation(profile(conditions=[said])) == "PartlyCaptured: hello-2 is gone"


@pytest.mark.parametrize("wide", [False, True])
def test_a_line_of_the_list_has_a_cell_for_every_header(wide: bool) -> None:
    line = list_row(
        profile("Complete", COMPLETE, GONE, capturedRuns=20, droppedRuns=1, overheadPercent=1.5),
        datetime(2026, 1, 10, tzinfo=UTC),
        wide=wide,
    )
    named = dict(zip(LIST_HEADER_WIDE if wide else LIST_HEADER, line, strict=True))
    assert (named["PODS"], named["DROPPED"], named["OVERHEAD"], named["AGE"]) == ("1/2", "1", "1.5 %", "60m")


def test_a_pods_line_has_state_and_reason() -> None:
    assert pod_rows(profile("Complete", GONE))[0][:2] == ("hello-2", "Failed/PodGone")


@dataclass
class Changed:
    op_type: str
    before: float | None
    after: float | None
    provider: str = "CPU"

    @property
    def percent(self) -> float | None:
        return growth(self.before or 0, self.after or 0)


def test_a_regression_names_what_grew() -> None:
    found = regressions([Changed("MatMulNBits", 100, 118), Changed("Add", 100, 90)], 15)
    assert found == ["+18.0 % in MatMulNBits (CPU)"]


def test_all_operators_together_count() -> None:
    assert regressions([Changed(str(number), 10, 11.1) for number in range(5)], 10)[0] == "+11.0 % in all operators"


def test_what_takes_no_time_may_grow() -> None:
    assert regressions([Changed("MatMul", 1000, 1000), Changed("Shape", 1, 3)], 5) == []


def test_a_new_operator_of_weight_is_a_regression_and_a_small_one_is_not() -> None:
    assert regressions([Changed("MatMul", 1000, 900), Changed("Cast", None, 50), Changed("Add", None, 1)], 5) == [
        "Cast (CPU) is new"
    ]


def test_two_equal_traces_have_none() -> None:
    assert regressions([Changed("MatMul", 10, 10)], 0) == []
    assert regressions([], 0) == []


def test_a_row_shows_both_sides() -> None:
    assert row("Add", "CPU", 2.0, 1.0) == ("Add", "CPU", "2.0 µs", "1.0 µs", "-1.0 µs", "-50.0 %")
    assert row("Cast", "CPU", None, 1.0)[2:] == ("-", "1.0 µs", "+1.0 µs", "new")
    assert totals([Changed("a", None, 1), Changed("b", 2, None)]) == (2, 1)
