"""The operator's live options on a real front's control port: they arrive, are counted, and are never lost for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_operator.api.runtime_options import DesiredOptions, desired_options
from genai_operator.clients.option_messages import options_message
from genai_operator.clients.runtime import PodEndpoint, RuntimeClient
from genai_operator.services.certificates import ControlAuthority, control_server_name
from genai_operator.services.live_options import LiveOptions
from genai_operator.settings import OperatorSettings
from genai_operator.status.observed import ObservedPod, PodAnswer, PodOptionsState
from genai_protocol.v1 import control_pb2, inference_pb2
from genai_runtime.errors import EngineFailure
from genai_runtime.front.ports import WantedWindow
from genai_runtime.generation import FinishReason
from support.control_ca import make_ca
from support.models import make_model
from support.ports import free_port
from support.runtime import Front, ScriptedEngine, collect, holds, running_front

KEY = "team/hello"
NAME = control_server_name("hello", "team")
POD = ObservedPod("hello-1", "uid-1", ip="127.0.0.1", phase="Running", ready=True, container_id="c1", running=True)
WANTED = {
    "terminate-session": "0",
    "enable-profiling": "slow",
    "log-level": "warning",
    "drain": "1h",
    "cancel": "client=a,older-than=1h,request-id=b,tokens-over=7",
}


class OnPort(RuntimeClient):
    """All pods have their control service on one port of this machine."""

    def __init__(self, authority: ControlAuthority, port: int) -> None:
        super().__init__(authority.client_identity)
        self._port = port

    async def call(self, pod: PodEndpoint, method: str, request: Any, deadline_seconds: float) -> Any:
        return await super().call(replace(pod, port=self._port), method, request, deadline_seconds)


@dataclass
class Driven:
    """A front process, and the operator's side of its control channel."""

    front: Front
    live: LiveOptions
    woken: list[float] = field(default_factory=list)

    async def push(self, desired: DesiredOptions) -> PodAnswer:
        """What a pass does; the pod's answer."""
        await asyncio.gather(*self.live.push(KEY, NAME, desired, [POD]))
        return self.answer

    @property
    def answer(self) -> PodAnswer:
        return self.live.answers(KEY)[POD.uid]

    async def has(self) -> control_pb2.RuntimeOptionsState:
        """What the pod itself says."""
        state: control_pb2.RuntimeOptionsState = await self.front.control.GetRuntimeOptions(
            control_pb2.GetRuntimeOptionsRequest()
        )
        return state


@asynccontextmanager
async def driven(tmp_path: Path, **front_changes: Any) -> AsyncIterator[Driven]:
    authority, folder, port = ControlAuthority(*make_ca()), tmp_path / "tls", free_port()
    made = authority.server_certificate("hello", "team", "uid")
    folder.mkdir()
    for name, content in (("tls.crt", made.certificate), ("tls.key", made.key), ("ca.crt", made.authority)):
        (folder / name).write_bytes(content)
    async with running_front(tmp_path, control_port=port, control_tls_dir=folder, **front_changes) as front:
        runtime, woken = OnPort(authority, port), list[float]()
        settings = OperatorSettings(review_seconds=0.1, push_deadline_seconds=20)
        live = LiveOptions(runtime, settings, wake=lambda _, seconds: woken.append(seconds))
        try:
            yield Driven(front, live, woken)
        finally:
            await live.close()
            await runtime.close()


async def test_every_option_arrives_and_goes_again(tmp_path: Path) -> None:
    desired = desired_options(make_model(WANTED))
    async with driven(tmp_path) as world:
        answer = await world.push(desired)
        state = await world.has()
        assert (answer.state, answer.revision) == (PodOptionsState.APPLIED, state.revision)
        assert state.options == options_message(desired.options)
        assert state.serving_state == inference_pb2.SERVING_STATE_DRAINING
        nothing = desired_options(make_model())
        await world.push(nothing)
        state = await world.has()
        assert (state.revision, state.options) == (nothing.revision, options_message(nothing.options))
        assert state.serving_state == inference_pb2.SERVING_STATE_SERVING


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.01])
async def test_the_last_of_quick_changes_holds(tmp_path: Path, pause: float) -> None:
    on, off = (desired_options(make_model({"terminate-session": value})) for value in "10")
    async with driven(tmp_path) as world:
        for intents in ((on, off, on), (off, on, off)):
            calls = []
            for desired in intents:
                calls += world.live.push(KEY, NAME, desired, [POD])
                await asyncio.sleep(pause)
            await asyncio.gather(*calls, return_exceptions=True)
            state = await world.has()
            assert (state.revision, state.options.terminate_session) == (desired.revision, desired is on)
            assert (world.answer.revision, world.answer.state) == (desired.revision, PodOptionsState.APPLIED)


async def test_what_is_set_inside_the_pod_is_seen_and_can_be_undone(tmp_path: Path) -> None:
    desired = desired_options(make_model({"log-level": "warning"}))
    async with driven(tmp_path) as world:
        await world.push(desired)
        inside = control_pb2.RuntimeOptions(terminate_session=True)
        await world.front.control.SetRuntimeOptions(
            control_pb2.SetRuntimeOptionsRequest(revision="ctl-1", options=inside)
        )
        await holds(lambda: world.answer.revision == "")
        assert world.woken[-1] == 0.0
        await world.push(desired)
        assert (await world.has()).options == options_message(desired.options)


async def test_a_window_that_could_not_open_after_the_start_is_asked_for_again(tmp_path: Path) -> None:
    desired, engine = desired_options(make_model({"enable-profiling": "slow"})), ScriptedEngine()
    engine.loadable.clear()
    async with driven(tmp_path, engine=engine, wait=False) as world:
        profiles = world.front.profiles
        open_window = profiles.open

        async def full(wanted: WantedWindow) -> None:
            raise EngineFailure("no space left on device")

        profiles.open = full  # type: ignore[method-assign]
        assert (await world.push(desired)).state is PodOptionsState.APPLIED  # it loads: taken, and not yet done
        engine.loadable.set()
        await holds(lambda: world.answer.revision == "")
        profiles.open = open_window  # type: ignore[method-assign]
        assert (await world.push(desired)).state is PodOptionsState.APPLIED
        assert [each.label for each in profiles.list()] == ["slow"]


async def test_a_drain_is_followed_to_its_last_request(tmp_path: Path) -> None:
    async with driven(tmp_path) as world:
        world.front.engine.hold = True
        message = inference_pb2.ChatMessage(role="user", content="hi")
        call = world.front.genai.Chat(inference_pb2.ChatRequest(messages=[message], request_id="slow"))
        await world.front.submitted()
        answer = await world.push(desired_options(make_model({"drain": "1h"})))
        assert answer.requests == 1
        world.front.engine.end("slow", FinishReason.STOP)
        assert [each async for each in call]
        await holds(lambda: world.answer.requests == 0)


async def test_a_rule_counts_what_it_ended(tmp_path: Path) -> None:
    async with driven(tmp_path) as world:
        world.front.engine.hold = True
        message = inference_pb2.ChatMessage(role="user", content="hi")
        call = world.front.genai.Chat(inference_pb2.ChatRequest(messages=[message], request_id="slow"))
        await world.front.submitted()
        answer = await world.push(desired_options(make_model({"cancel": "request-id=slow"})))
        assert answer.cancelled_requests == 1
        messages, error = await collect(call)
        assert [each.finish.reason for each in messages] == [inference_pb2.FINISH_REASON_CANCELLED]
        assert error is not None
        assert error.code() is grpc.StatusCode.CANCELLED
