"""What each live option may be, and that nothing else gets into it: hostile values of every annotation."""

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from genai_operator.api.cancel_rule import CancelRule, parse_cancel
from genai_operator.api.duration import parse_duration
from genai_operator.api.options_spec import parse_drain
from genai_operator.api.runtime_options import Recorder, RuntimeOptions, desired_options, revision
from genai_operator.errors import InvalidModel
from support.models import make_model

KEYS = ("enable-profiling", "terminate-session", "log-level", "arena-shrinkage", "drain", "cancel")
HOSTILE = {
    "a word": "yes",
    "an emoji": "🦙",
    "100 KiB": "a" * 100 * 1024,
    "a path": "../../etc/passwd",
    "an absolute path": "/dev/null",
    "a shell": "$(reboot)",
    "a NUL": "0\x00",
    "a line break": "1\n",
    "a huge number": "9" * 400,
    "a negative number": "-1",
    "a negative duration": "-30s",
    "a duration without end": "9" * 20 + "h",
    "an infinite duration": "+inf",
    "not a number": "NaN s",
    "JSON": '{"drain": "1s"}',
    "blanks": "   ",
    "digits of another script": "\u0663\u0660s",
    "an upper-case key": "CLIENT=a",
    "a bare key": "client,",
    "two equals signs": "client=a=b",
    "a rule of nothing but commas": ",,,",
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_value_is_rejected_by_name_and_changes_nothing(key: str, value: str) -> None:
    desired = desired_options(make_model({key: value}))
    (rejected,) = desired.rejected
    assert (rejected.key, rejected.source) == (key, f"annotation genai-operator.io/{key}")
    assert len(rejected.value) <= 40
    assert rejected.value.isascii()
    assert rejected.value.isprintable()
    assert "must be" in rejected.reason
    assert desired.options == RuntimeOptions()


@pytest.mark.parametrize("key", [key for key in KEYS if key != "cancel"])
def test_an_empty_value_is_rejected(key: str) -> None:
    assert desired_options(make_model({key: ""})).rejected


def test_an_empty_cancel_is_no_rule() -> None:
    desired = desired_options(make_model({"cancel": ""}, runtimeOptions={"cancel": "client=a"}))
    assert (desired.options.cancel, desired.rejected) == (None, ())


WANTED: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "log-level": ({"log-level": "debug"}, {"log_level": "debug"}),
    "arena-shrinkage": ({"arena-shrinkage": "1"}, {"arena_shrinkage": True}),
    "arena-shrinkage off": ({"arena-shrinkage": "0"}, {}),
    "drain": ({"drain": "2m"}, {"drain_seconds": 120}),
    "drain off": ({"drain": "0"}, {}),
    "cancel": ({"cancel": "client=a,tokens-over=5"}, {"cancel": CancelRule(client="a", tokens_over=5)}),
    "cancel off": ({"cancel": "0"}, {}),
}


@pytest.mark.parametrize(("annotations", "options"), WANTED.values(), ids=WANTED.keys())
def test_what_each_value_asks_for(annotations: dict[str, str], options: dict[str, Any]) -> None:
    desired = desired_options(make_model(annotations))
    assert desired.options == RuntimeOptions(**options)
    assert desired.rejected == ()


@pytest.mark.parametrize("key", KEYS)
def test_every_option_has_three_sources_and_the_annotation_wins(key: str) -> None:
    field = key.split("-")[0] + "".join(part.title() for part in key.split("-")[1:])
    first, second, third = {
        "log-level": ("debug", "warning", "error"),
        "drain": ("10s", "20s", "30s"),
        "cancel": ("client=a", "client=b", "client=c"),
        "enable-profiling": ("a", "b", "c"),
    }.get(key, ("0", "1", "0"))
    spec, status = {"runtimeOptions": {field: first}}, {"requestedRuntimeOptions": {field: second}}
    alone = {value: desired_options(make_model({key: value})).options for value in (first, second, third)}
    assert desired_options(make_model(**spec)).options == alone[first]
    assert desired_options(make_model(status=status, **spec)).options == alone[second]
    assert desired_options(make_model({key: third}, status, **spec)).options == alone[third]


@pytest.mark.parametrize("value", [5, 1.5, True, ["0"], {"client": "a"}])
@pytest.mark.parametrize("field", ["cancel", "drain", "logLevel"])
def test_what_is_no_text_in_the_status_is_rejected(field: str, value: object) -> None:
    desired = desired_options(make_model(status={"requestedRuntimeOptions": {field: value}}))
    assert len(desired.rejected) == 1
    assert desired.options == RuntimeOptions()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("80ms", "0.08"), ("30s", "30"), ("1m30s", "90"), ("1.5h", "5400"), ("0s", "0"), ("999999h", "3599996400")],
)
def test_durations(text: str, seconds: str) -> None:
    assert parse_duration(text) == Decimal(seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "1 s", "1d", "1e3s", "1h1m1s1ms", ".5s", "1.s", "-1s", "1S", "1s\n"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("1s", 1), ("60m", 3600), ("1h", 3600), ("59m60s", 3600)])
def test_drains(value: str, seconds: int) -> None:
    assert parse_drain(value) == seconds


@pytest.mark.parametrize("value", ["0s", "3601s", "1h1s", "1500ms", "1.5s", "30"])
def test_what_is_no_drain(value: str) -> None:
    with pytest.raises(ValueError, match="whole seconds from 1s to 1h"):
        parse_drain(value)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("request-id=a.B_c-1", CancelRule(request_id="a.B_c-1")),
        ("client=fd00::1", CancelRule(client="fd00::1")),
        ("older-than=1.5s", CancelRule(older_than_seconds=1.5)),
        ("tokens-over=500", CancelRule(tokens_over=500)),
        (
            "tokens-over=9999999,older-than=24h,client=a,request-id=b",
            CancelRule(request_id="b", client="a", older_than_seconds=86400, tokens_over=9999999),
        ),
    ],
)
def test_rules(value: str, rule: CancelRule) -> None:
    assert parse_cancel(value) == rule


@pytest.mark.parametrize(
    "value",
    [
        "client=a,client=b",
        "client=a,",
        "client=",
        "older-than=999ms",
        "older-than=24h1s",
        "tokens-over=0",
        "tokens-over=10000000",
        "request-id=" + "a" * 65,
        "request-id=a/b",
        "client=a b",
        "user=a",
        "client=a;tokens-over=5",
    ],
)
def test_what_is_no_rule(value: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_cancel(value)


RECORDER = {"interTokenP99": "80ms", "for": "1m", "maxPerHour": 2}


def test_the_flight_recorder_is_the_specs_alone() -> None:
    desired = desired_options(make_model(flightRecorder=RECORDER))
    assert desired.options == RuntimeOptions(flight_recorder=Recorder(0.08, 0.0, 60.0, 2))
    default = desired_options(make_model(flightRecorder={"ttftP99": "2s"})).options.flight_recorder
    assert default == Recorder(0.0, 2.0, 30.0, 1)


@pytest.mark.parametrize(
    "recorder",
    [{}, {"for": "30s"}, {"ttftP99": "0s"}, {"interTokenP99": "61s"}, {"ttftP99": "1s", "maxPerHour": 0}, {"x": 1}],
)
def test_a_recorder_without_an_objective_is_no_spec(recorder: dict[str, Any]) -> None:
    with pytest.raises(InvalidModel, match="flightRecorder"):
        make_model(flightRecorder=recorder)


def test_an_option_that_is_off_does_not_change_the_revision() -> None:
    # An operator of an earlier version did not know these: its pods must not be told again at the upgrade.
    off = {"arena-shrinkage": "0", "drain": "0", "cancel": "0"}
    assert desired_options(make_model(off)).revision == "104c6d2dfac5"
    before = make_model({"enable-profiling": "slow", "terminate-session": "1"})
    now = make_model({"enable-profiling": "slow", "terminate-session": "1", **off})
    assert desired_options(before).revision == desired_options(now).revision == "62de85d937fc"


def test_every_new_option_is_part_of_the_revision() -> None:
    options = [
        RuntimeOptions(),
        RuntimeOptions(log_level="debug"),
        RuntimeOptions(log_level="error"),
        RuntimeOptions(arena_shrinkage=True),
        RuntimeOptions(drain_seconds=30),
        RuntimeOptions(drain_seconds=31),
        *(RuntimeOptions(cancel=rule) for rule in _each_changed(CancelRule(client="a"))),
        *(RuntimeOptions(flight_recorder=each) for each in _each_changed(Recorder(0.08, 1.0, 30.0, 1))),
    ]
    assert len({revision(each) for each in options}) == len(options)


def _each_changed(value: Any) -> list[Any]:
    """The value, and for each of its fields one that differs in that field."""
    names = [field.name for field in dataclasses.fields(value)]
    return [
        value,
        *(
            dataclasses.replace(value, **{name: getattr(value, name) * 2 or 7})
            for name in names
            if name != "request_id"
        ),
        *([dataclasses.replace(value, request_id="b")] if "request_id" in names else []),
    ]
