"""What options do to the engine: compared with what was applied, terminate first, nothing for what is unsupported."""

from dataclasses import replace
from pathlib import Path

import pytest

from genai_runtime.errors import EngineFailure, InvalidRequest
from genai_runtime.front.cancel_rules import CancelRule, StandingRule
from genai_runtime.front.drain import Drain
from genai_runtime.front.live_adapters import LiveAdapters
from genai_runtime.front.logs import LogLevel
from genai_runtime.front.ports import WantedRecorder, WantedWindow
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.runtime_options import Options, Parts, RuntimeOptions
from genai_runtime.front.state import ServingState, StateHolder
from support.runtime import RecordedProfiles, ScriptedEngine


def no_end(record: RequestRecord, words: str) -> bool:
    raise AssertionError("there are no requests")


@pytest.fixture
def starting(tmp_path: Path) -> RuntimeOptions:
    engine, state = ScriptedEngine(), StateHolder()
    adapters = LiveAdapters(engine, tmp_path, {"own": tmp_path / "own"}, lambda names: None)
    level, drain = LogLevel(engine.set_log_level), Drain(state, lambda words: None)
    parts = Parts(level, drain, StandingRule(list, no_end), adapters)
    return RuntimeOptions(engine, RecordedProfiles(tmp_path), state, parts)


@pytest.fixture
async def options(starting: RuntimeOptions) -> RuntimeOptions:
    await starting.begin_serving()
    return starting


async def test_a_window_asked_for_during_the_start_opens_when_the_pod_serves(starting: RuntimeOptions) -> None:
    await starting.set("r", Options(profiling=WantedWindow("a")))
    assert starting.profiles.calls == []  # type: ignore[attr-defined]
    assert starting.revision == "r"
    await starting.begin_serving()
    await starting.set("r", Options(profiling=WantedWindow("a")))
    assert starting.profiles.calls == ["open a"]  # type: ignore[attr-defined]


async def test_a_window_taken_back_during_the_start_never_opens(starting: RuntimeOptions) -> None:
    await starting.set("r", Options(profiling=WantedWindow("a")))
    await starting.set("s", Options())
    await starting.begin_serving()
    assert starting.profiles.calls == []  # type: ignore[attr-defined]
    assert starting.applied == Options()


async def test_a_halt_asked_for_during_the_start_waits_for_the_warm_up(starting: RuntimeOptions) -> None:
    await starting.set("r", Options(terminate_session=True))
    assert starting.engine.calls == []  # type: ignore[attr-defined]
    assert starting.revision == "r"
    await starting.begin_serving()
    assert starting.engine.calls == ["halt"]  # type: ignore[attr-defined]
    assert starting.applied == Options(terminate_session=True)
    assert starting.state.halted


async def test_a_window_that_cannot_open_after_the_start_is_asked_for_again(starting: RuntimeOptions) -> None:
    async def fail(wanted: WantedWindow) -> None:
        raise EngineFailure("there is no engine")

    starting.profiles.open = fail  # type: ignore[method-assign]
    await starting.set("r", Options(profiling=WantedWindow("a")))
    await starting.begin_serving()
    assert starting.revision == ""
    assert starting.applied == Options()


async def test_a_halt_comes_before_a_window(options: RuntimeOptions) -> None:
    order: list[str] = []
    options.engine.calls = options.profiles.calls = order  # type: ignore[attr-defined]
    await options.set("r", Options(terminate_session=True, profiling=WantedWindow("a")))
    assert order == ["halt", "open a"]
    assert options.received.is_set()


async def test_other_caps_are_another_window(options: RuntimeOptions) -> None:
    for runs in (1, 1, 2):
        await options.set("r", Options(profiling=WantedWindow("a", max_runs=runs)))
    assert options.profiles.calls == ["open a", "open a"]  # type: ignore[attr-defined]


async def test_a_window_that_cannot_open_is_not_acknowledged(options: RuntimeOptions) -> None:
    async def fail(wanted: WantedWindow) -> None:
        raise EngineFailure("there is no engine")

    options.profiles.open = fail  # type: ignore[method-assign]
    with pytest.raises(EngineFailure):
        await options.set("r", Options(terminate_session=True, profiling=WantedWindow("a")))
    assert options.revision == ""
    assert options.applied == Options(terminate_session=True)


async def test_what_the_engine_cannot_do_is_left_out_and_named(options: RuntimeOptions) -> None:
    options.unsupported = ["terminate-session", "enable-profiling"]
    await options.set("r", Options(terminate_session=True, profiling=WantedWindow("a")))
    assert options.revision == "r"
    assert options.applied == Options()
    assert options.state.state is not ServingState.HALTED


@pytest.mark.parametrize("revision", ["", "x" * 129, "é", "a\n"])
async def test_revisions_are_short_and_printable(options: RuntimeOptions, revision: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^revision: "):
        await options.set(revision, Options())


def test_the_state_is_the_first_that_holds() -> None:
    state, heard = StateHolder(), []
    state.listen(heard.append)
    state.update(engine_up=True)
    state.update(warmed_up=True)
    state.update(halted=True)
    state.update(halted=True)
    state.update(engine_up=False)
    state.update(engine_up=True, draining=True)
    assert heard == [
        ServingState.LOADING,
        ServingState.SERVING,
        ServingState.HALTED,
        ServingState.ENGINE_DOWN,
        ServingState.DRAINING,
    ]
    assert state.refusal() is not None
    assert not state.ready


async def test_what_needs_the_engine_waits_until_it_serves(starting: RuntimeOptions) -> None:
    await starting.set("r", Options(arena_shrinkage=True))
    assert (starting.engine.calls, starting.revision) == ([], "r")  # type: ignore[attr-defined]
    await starting.begin_serving()
    assert starting.engine.calls == ["arena 1"]  # type: ignore[attr-defined]
    await starting.set("s", Options())
    assert starting.engine.calls == ["arena 1", "arena 0"]  # type: ignore[attr-defined]


async def test_what_turns_out_unsupported_after_the_start_is_not_acknowledged(starting: RuntimeOptions) -> None:
    await starting.set("r", Options(arena_shrinkage=True))
    starting.unsupported = ["arena-shrinkage"]
    await starting.begin_serving()
    assert (starting.revision, starting.applied, starting.missing()) == ("", Options(), ["arena-shrinkage"])
    await starting.set("r", Options(arena_shrinkage=True))
    assert (starting.revision, starting.engine.calls) == ("r", [])  # type: ignore[attr-defined]


async def test_only_what_is_asked_for_is_missing(options: RuntimeOptions) -> None:
    options.unsupported = ["arena-shrinkage"]
    await options.set("r", Options(log_level="error"))
    assert options.missing() == []
    await options.set("s", Options(flight_recorder=WantedRecorder(0.1), arena_shrinkage=True))
    assert options.missing() == ["arena-shrinkage", "flight-recorder"]
    assert options.applied == Options()


async def test_the_flight_recorder_hears_of_changes_alone(options: RuntimeOptions) -> None:
    heard: list[WantedRecorder | None] = []

    class Recorder:
        def configure(self, wanted: WantedRecorder | None) -> None:
            heard.append(wanted)

    options.recorder = Recorder()
    for wanted in (WantedRecorder(0.1), WantedRecorder(0.1), WantedRecorder(0.2), None):
        await options.set("r", Options(flight_recorder=wanted))
    assert heard == [WantedRecorder(0.1), WantedRecorder(0.2), None]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Options(log_level="verbose"), "options.log_level"),
        (Options(log_level="DEBUG"), "options.log_level"),
        (Options(log_level="x" * 100_000), "options.log_level"),
        (Options(drain_seconds=0), "options.drain.deadline_seconds"),
        (Options(drain_seconds=3601), "options.drain.deadline_seconds"),
        (Options(cancel=CancelRule()), "options.cancel"),
        (Options(cancel=CancelRule(client="a\r\nb")), "options.cancel.client"),
        (Options(flight_recorder=WantedRecorder()), "options.flight_recorder"),
        (Options(flight_recorder=WantedRecorder(float("nan"))), "options.flight_recorder.inter_token_p99_seconds"),
        (Options(flight_recorder=WantedRecorder(1.0, -1.0)), "options.flight_recorder.time_to_first_token_p99_seconds"),
    ],
)
async def test_a_hostile_value_changes_nothing_and_is_named(
    options: RuntimeOptions, wanted: Options, field: str
) -> None:
    with pytest.raises(InvalidRequest) as error:
        await options.set("r", replace(wanted, terminate_session=True))
    assert error.value.field == field
    assert len(error.value.message) < 300
    assert (options.revision, options.applied, options.engine.calls) == ("", Options(), [])  # type: ignore[attr-defined]


async def test_adapters_are_compared_with_those_of_the_start(options: RuntimeOptions) -> None:
    calls = options.engine.calls  # type: ignore[attr-defined]
    await options.set("r", Options())
    assert calls == []
    await options.set("s", Options(adapters=(("a", "adapters/a"),)))
    await options.set("t", Options(adapters=(("a", "adapters/a"),)))
    await options.set("u", Options(adapters=()))
    await options.set("v", Options())
    assert calls == ["adapters ['a']", "adapters []", "adapters ['own']"]


async def test_adapters_asked_for_during_the_start_come_when_the_pod_serves(starting: RuntimeOptions) -> None:
    await starting.set("r", Options(adapters=(("a", "a"),)))
    assert starting.engine.calls == []  # type: ignore[attr-defined]
    await starting.begin_serving()
    assert starting.engine.calls == ["adapters ['a']"]  # type: ignore[attr-defined]
    assert starting.applied.adapters == (("a", "a"),)


@pytest.mark.parametrize(
    "adapters",
    [(("a", "../b"),), (("a", "/etc/passwd"),), (("a b", "c"),), (("a", "b"), ("a", "c")), (("a", ""),)],
)
async def test_an_adapter_outside_the_models_folder_changes_nothing(
    options: RuntimeOptions, adapters: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(InvalidRequest, match=r"options\.adapters"):
        await options.set("r", Options(adapters=adapters))
    assert options.engine.calls == []  # type: ignore[attr-defined]


async def test_an_engine_that_has_not_answered_is_told_so(options: RuntimeOptions) -> None:
    """A pod in the middle of a long run acknowledges in time, and says what is not known yet."""
    live, engine = options.parts.adapters, options.engine
    await options.set("r", Options(adapters=(("a", "a"), ("b", "b"))))
    engine.adapter_listeners.clear()  # type: ignore[attr-defined]
    await options.set("s", Options(adapters=(("b", "b"), ("c", "c"))))
    assert options.revision == "s"
    assert {each.name: each.state for each in live.states} == {"a": "unloading", "b": "loading", "c": "loading"}
