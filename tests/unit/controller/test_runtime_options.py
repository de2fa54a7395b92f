"""Live options: sources, merging, bad values, revisions."""

import pytest

from genai_operator.api.runtime_options import Profiling, RuntimeOptions, desired_options, revision, shown
from support.models import make_model


def test_nothing_said_is_what_a_fresh_pod_has() -> None:
    desired = desired_options(make_model())
    assert desired.options == RuntimeOptions(terminate_session=False, profiling=None)
    assert desired.rejected == ()


SPEC = {"enableProfiling": "by-spec", "terminateSession": "1"}
STATUS = {"requestedRuntimeOptions": {"enableProfiling": "by-status"}}


@pytest.mark.parametrize(
    ("annotations", "status", "want_label"),
    [
        ({}, {}, "by-spec"),
        ({}, STATUS, "by-status"),
        ({"enable-profiling": "by-annotation"}, STATUS, "by-annotation"),
        ({"enable-profiling": "1"}, STATUS, "profile"),
        ({"enable-profiling": "0"}, STATUS, None),
    ],
    ids=["spec alone", "status over spec", "annotation over both", "one is the default label", "zero closes"],
)
def test_the_later_source_wins_key_by_key(
    annotations: dict[str, str], status: dict[str, object], want_label: str | None
) -> None:
    desired = desired_options(make_model(annotations, status, runtimeOptions=SPEC))
    assert (desired.options.profiling.label if desired.options.profiling else None) == want_label
    assert desired.options.terminate_session  # the other key still comes from the spec
    assert not desired.rejected


def test_limits_of_the_spec_go_with_any_sources_window() -> None:
    limits = {"maxRuns": 5, "maxBytes": "1Mi", "maxSeconds": 9}
    desired = desired_options(make_model({"enable-profiling": "slow"}, runtimeOptions={"profilingLimits": limits}))
    assert desired.options.profiling == Profiling("slow", max_runs=5, max_bytes=1024**2, max_seconds=9)


BAD_PROFILING = {
    "empty": "",
    "a word for on": "yes",
    "another": "true",
    "a path": "../../x",
    "100 KiB": "a" * 100 * 1024,
    "41 characters": "a" * 41,
    "an emoji": "🦙",
    "two": "2",
    "upper case": "Slow",
    "starts with a dash": "-a",
    "a line break": "slow\n",
}
BAD_TERMINATE = {**{name: BAD_PROFILING[name] for name in ("empty", "a word for on", "a path", "100 KiB", "two")}}


@pytest.mark.parametrize("value", BAD_PROFILING.values(), ids=BAD_PROFILING.keys())
def test_a_bad_label_is_rejected_with_its_source_and_a_short_value(value: str) -> None:
    (rejected,) = desired_options(make_model({"enable-profiling": value})).rejected
    assert rejected.source == "annotation genai-operator.io/enable-profiling"
    assert len(rejected.value) <= 40
    assert rejected.value.isascii()
    assert (rejected.value + "x").isprintable()
    assert "must be" in str(rejected)


@pytest.mark.parametrize("value", [*BAD_TERMINATE.values(), "slow"], ids=[*BAD_TERMINATE.keys(), "a label"])
def test_a_bad_termination_is_rejected(value: str) -> None:
    (rejected,) = desired_options(make_model({"terminate-session": value})).rejected
    assert rejected.key == "terminate-session"


@pytest.mark.parametrize("label", ["a", "a" * 40, "slow-requests", "v2", "on-call"])
def test_good_labels(label: str) -> None:
    desired = desired_options(make_model({"enable-profiling": label}))
    assert desired.rejected == ()
    assert desired.options.profiling == Profiling(label)


@pytest.mark.parametrize("requested", ["text", 5, ["1"], {"terminateSession": 1}, {"terminateSession": "2"}])
def test_nonsense_in_the_status_is_no_crash(requested: object) -> None:
    desired = desired_options(make_model(status={"requestedRuntimeOptions": requested}))
    assert not desired.options.terminate_session
    assert bool(desired.rejected) == isinstance(requested, dict)


def test_a_bad_value_does_not_hide_a_weaker_sources_good_one() -> None:
    desired = desired_options(make_model({"terminate-session": "yes"}, runtimeOptions=SPEC))
    assert desired.options.terminate_session
    assert desired.rejected


def test_equal_options_have_equal_revisions_whatever_their_source() -> None:
    by_spec = desired_options(make_model(runtimeOptions={"terminateSession": "1"}))
    by_annotation = desired_options(make_model({"terminate-session": "1"}))
    assert by_spec.revision == by_annotation.revision
    assert by_spec.revision != desired_options(make_model()).revision


def test_revisions_are_the_same_in_every_version_of_the_operator() -> None:
    # A change of this value sends every option to every pod again at the upgrade, and may open windows.
    assert revision(RuntimeOptions()) == "104c6d2dfac5"


def test_every_option_is_part_of_the_revision() -> None:
    windows = [None, Profiling("a"), Profiling("b"), Profiling("a", 1), Profiling("a", 0, 1), Profiling("a", 0, 0, 1)]
    options = [RuntimeOptions(halt, window) for halt in (False, True) for window in windows]
    assert len({revision(each) for each in options}) == len(options)


def test_a_shown_value_is_short_and_printable() -> None:
    assert shown("plain") == "plain"
    assert shown('a"\n🦙\x1b') == "a????"
    assert shown("x" * 41) == "x" * 37 + "..."
