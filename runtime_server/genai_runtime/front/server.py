"""The front process from its first port to its last stream: puts the parts together, starts and drains them in order.

Every decision about requests, options or profiles is in the parts.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

import structlog

from genai_runtime.engine.protocol import ModelInfo
from genai_runtime.errors import EngineFailure
from genai_runtime.front.access import Access
from genai_runtime.front.adapter_fetch import AdapterCache
from genai_runtime.front.admission import Admission
from genai_runtime.front.chat import ChatTemplate
from genai_runtime.front.control import ControlService
from genai_runtime.front.defaults import read_limits
from genai_runtime.front.dialects.log_settings import LogSettings
from genai_runtime.front.dialects.model_card import ModelCard
from genai_runtime.front.dialects.native import NativeService
from genai_runtime.front.dialects.oip import OpenInferenceService
from genai_runtime.front.dialects.oip_server import LiveSettings
from genai_runtime.front.dialects.trace_settings import TraceSettings
from genai_runtime.front.drain import Drain
from genai_runtime.front.flight_recorder import FlightRecorder
from genai_runtime.front.generating import GenerationService, ServiceLimits
from genai_runtime.front.http.app import Served, build_app
from genai_runtime.front.http.listener import HttpListener
from genai_runtime.front.leaving import connection_age, nobody_connected, seconds_to_leave
from genai_runtime.front.listeners import ControlListener, DataListener
from genai_runtime.front.live_adapters import LiveAdapters
from genai_runtime.front.logs import LogLevel
from genai_runtime.front.measuring import Measuring
from genai_runtime.front.metrics import Metrics, MetricsServer
from genai_runtime.front.ports import EngineLink, Profiles
from genai_runtime.front.runtime_options import ADAPTERS, Parts, RuntimeOptions
from genai_runtime.front.served_model import ServedModel
from genai_runtime.front.state import ServingState, StateHolder
from genai_runtime.front.tls import CertificateFiles, grpc_credentials
from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.front.tracing import make_tracing
from genai_runtime.front.warmup import WarmupResult, timed, warm_up
from genai_runtime.generation import FinishReason
from genai_runtime.settings import Settings

_log = structlog.get_logger("genai_runtime.server")
# The longest time a client may take for one message.
WRITE_SECONDS = 20.0
# After the drain's time: for last messages to be written, and for a window's trace to be merged.
_FAREWELL_SECONDS = 2.0
_MERGE_SECONDS = 5.0
_CLOSE_SECONDS = 0.5
_WARMUP_ATTEMPTS = 3
_ENGINE_RETURN_SECONDS = 60.0
# How long a starting pod waits for adapters that it fetches; it can serve all else without them.
_ADAPTER_SECONDS = 120.0


class RuntimeServer:
    """One model, served. `folder` has been inspected; `name` is what clients call it."""

    def __init__(self, settings: Settings, folder: Path, name: str, engine: EngineLink, profiles: Profiles) -> None:
        """Binds every port. Raises `InvalidSettings` when one is taken or a certificate is missing."""
        self._settings, self._folder, self._name = settings, folder, name
        self._engine, self._profiles = engine, profiles
        self._stop, self._hurry, self._engine_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._readiness = asyncio.Lock()
        self.state = StateHolder()
        self.metrics = Metrics(name)
        self._admission = Admission(
            settings.max_concurrent_requests, settings.max_queue_length, settings.max_queue_seconds, self._show_load
        )
        choices = min(settings.limit_choices, settings.max_concurrent_requests)
        limits = ServiceLimits(settings.max_request_seconds, settings.max_unread_bytes, choices)
        self._service = GenerationService(engine, self.state, self._admission, self.metrics, limits)
        self._service.tracing = make_tracing(name)
        self._service.timeline = profiles.timeline
        self._card = ModelCard(name, settings.max_concurrent_requests, self._service, self.state)
        self._measuring = Measuring(self._service, profiles)
        self._log_level = LogLevel(engine.set_log_level)
        started_with = {name: path.resolve() for name, path in settings.adapters.items()}
        fetched = AdapterCache.of(settings)
        adapters = LiveAdapters(engine, folder.resolve(), started_with, self._adapters_changed, fetched)
        parts = Parts(self._log_level, Drain(self.state, self._terminate_all), self._service.rule, adapters)
        self._recorder = FlightRecorder(self.metrics, profiles)
        self._options = RuntimeOptions(engine, profiles, self.state, parts, self._recorder)
        self._access = Access(settings.api_keys_dir)
        self._connection_age = connection_age(settings.connection_seconds, settings.drain_seconds)
        self._data, self._control, self._metrics_server = self._listen()
        self._http = self._listen_http() if settings.http_port else None
        self.metrics.watch_windows(profiles.newest)
        engine.on_change(self._engine_changed)
        engine.on_stats(self.metrics.show_engine_stats)

    @property
    def addresses(self) -> dict[str, str]:
        """Where it listens."""
        found = {"grpc": self._data.address, "control_socket": str(self._settings.control_socket)}
        if self._http is not None:
            found["http"] = self._http.address
        if self._settings.control_port:
            found["control"] = f"{self._settings.host}:{self._settings.control_port}"
        if self._metrics_server is not None:
            found["metrics"] = f"http://{self._settings.host}:{self._metrics_server.port}/metrics"
        return found

    def request_stop(self) -> None:
        """The first call drains; a second one hurries."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self) -> None:
        """Serve until `request_stop`, then drain. Raises `ModelUnusable` or `EngineFailure` if it cannot come up."""
        await self._data.start()
        if self._http is not None:
            await self._http.start()
        for listener in self._control:
            await listener.start()
        _log.info("listening", **self.addresses)
        self.state.listen(self._state_changed)
        await self._profiles.start()
        coming_up = asyncio.create_task(self._come_up())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({coming_up, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if coming_up.done():
                coming_up.result()
            await stopped
        finally:
            for task in (coming_up, stopped):
                task.cancel()
            await asyncio.gather(coming_up, stopped, return_exceptions=True)
            await self._drain()
            await self._close()

    def _adapters_changed(self, names: list[str]) -> None:
        """What requests may name from here on."""
        model = self._service.model
        if model is not None:
            features = {*model.info.features} - {ADAPTERS} | ({ADAPTERS} if names else set())
            info = replace(model.info, adapters=names, features=sorted(features))
            self._service.model = replace(model, info=info)
            self.metrics.show_model(info)

    async def _come_up(self) -> None:
        """Load, generate, hear the operator's first word: only then readiness."""
        tokenizer, template = await asyncio.to_thread(
            lambda: (TextTokenizer.from_folder(self._folder), ChatTemplate.from_folder(self._folder))
        )
        limits = read_limits(self._folder, self._settings)
        info = await self._engine.start()
        self._service.model = ServedModel(self._name, info, tokenizer, template, limits)
        self._options.unsupported = info.unsupported_options
        self.metrics.show_model(info)
        _log_loaded(self._name, info)
        self._card.warmup = await self._warm_up()
        self._recorder.warmup = self._card.warmup.operators
        if self._settings.options_wait_seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._options.received.wait(), self._settings.options_wait_seconds)
        await self._options.begin_serving()
        await self._options.parts.adapters.settled(_ADAPTER_SECONDS)
        self.state.update(warmed_up=True)

    async def _warm_up(self) -> WarmupResult:
        """An engine that dies under the warm-up gets as many tries as it has restarts in a row."""
        settings = self._settings
        for attempt in range(1, _WARMUP_ATTEMPTS + 1):
            try:
                async with asyncio.timeout(_ENGINE_RETURN_SECONDS):
                    await self._engine_up.wait()
                result = await warm_up(self._service, self.metrics, settings.warmup_prompts, settings.warmup_max_tokens)
                if not settings.warmup_prompts:
                    return result
                return await timed(self._service, self.metrics, self._profiles, result)
            except (EngineFailure, TimeoutError) as error:
                _log.warning("warm-up failed", attempt=attempt, reason=str(error) or "the engine did not come back")
        raise EngineFailure(f"the model was loaded but {_WARMUP_ATTEMPTS} warm-ups failed; the log above says how")

    async def _leave(self) -> None:
        """Clients hear that they should go elsewhere; until each has heard it, what it asks here is served."""
        self.state.update(leaving=True)
        await self._tell_ready()
        self._data.leave()
        ports = {self._data.port}
        if self._http is not None:
            self._http.leave()
            ports.add(self._http.port)
        _log.info("leaving", running=self._admission.running, waiting=self._admission.waiting)
        longest = seconds_to_leave(self._connection_age, self._settings.drain_seconds)
        await self._before_hurry(nobody_connected(ports), longest)

    async def _drain(self) -> None:
        """Running and waiting streams may finish; when the time is over each gets its typed end."""
        until = time.monotonic() + self._settings.drain_seconds
        if self._connection_age and self.state.refusal() is None:
            await self._leave()
        self.state.update(draining=True)
        await self._tell_ready()
        _log.info("draining", running=self._admission.running, waiting=self._admission.waiting)
        if not await self._before_hurry(self._service.idle(), max(0.0, until - time.monotonic())):
            refusal = self.state.refusal()
            if refusal is not None:
                self._admission.refuse_waiting(refusal)
            self._service.end_all(FinishReason.SHUTDOWN)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._service.idle(), _FAREWELL_SECONDS)
        await self._before_hurry(self._put_profiles_away(), _MERGE_SECONDS)

    async def _put_profiles_away(self) -> None:
        await self._profiles.close_all("shutdown")
        await self._profiles.settle()

    async def _before_hurry(self, work: Coroutine[None, None, None], seconds: float) -> bool:
        """Whether `work` was done in time and before somebody hurried."""
        task, hurry = asyncio.create_task(work), asyncio.create_task(self._hurry.wait())
        await asyncio.wait({task, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        done = task.done()
        for pending in (task, hurry):
            pending.cancel()
        for error in await asyncio.gather(task, hurry, return_exceptions=True):
            if isinstance(error, Exception):
                _log.warning("drain", reason=str(error))
        return done

    async def _close(self) -> None:
        """Ports last: until then health and control have answered."""
        self._options.parts.drain.stop()
        self._options.parts.rule.stop()
        self._recorder.stop()
        await self._options.parts.adapters.fetches.stop()
        await self._profiles.stop()
        await self._engine.stop()
        await asyncio.gather(
            *(listener.close(_CLOSE_SECONDS) for listener in self._control),
            self._data.close(_CLOSE_SECONDS),
            *([self._http.close(_CLOSE_SECONDS)] if self._http is not None else []),
        )
        if self._metrics_server is not None:
            await asyncio.to_thread(self._metrics_server.close)
        if self._service.tracing is not None:
            await asyncio.to_thread(self._service.tracing.close)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        _log.info("stopped")

    def _listen(self) -> tuple[DataListener, list[ControlListener], MetricsServer | None]:
        settings = self._settings
        files = CertificateFiles.of_data(settings.tls_dir, settings.client_ca_dir) if settings.tls_dir else None
        secured = None if files is None else grpc_credentials(files)
        ports = settings.host, settings.grpc_port
        data = DataListener(*ports, self._dialects(), secured, settings.health_port, self._connection_age)
        control = [ControlListener.on_socket(settings.control_socket, self._control_service(None))]
        if settings.control_port:
            service = self._control_service(settings.control_client_name)
            credentials = grpc_credentials(CertificateFiles.of_control(settings.control_tls_dir))
            control.append(ControlListener.on_port(settings.host, settings.control_port, service, credentials))
        if not settings.metrics_port:
            return data, control, None
        return data, control, MetricsServer(self.metrics, settings.host, settings.metrics_port)

    def _listen_http(self) -> HttpListener:
        settings = self._settings
        files = CertificateFiles.of_data(settings.tls_dir, settings.client_ca_dir) if settings.tls_dir else None
        served = Served(self._name, str(self._folder), self._service, self._card, self.state, self._access)
        return HttpListener(settings.host, settings.http_port, build_app(served), files)

    def _dialects(self) -> tuple[NativeService, OpenInferenceService]:
        live = LiveSettings(TraceSettings(self._profiles), LogSettings(self._log_level), self.metrics)
        return (
            NativeService(self._service, self._card, self._access, WRITE_SECONDS),
            OpenInferenceService(self._service, self._card, self._access, live, WRITE_SECONDS),
        )

    def _control_service(self, client_name: str | None) -> ControlService:
        parts = (self._options, self._profiles, self._card, self._service, self._measuring)
        return ControlService(*parts, client_name)

    def _terminate_all(self, words: str) -> None:
        """The end of a drain that was asked for: as terminate-session, for those that are here."""
        refusal = self.state.refusal()
        if refusal is not None:
            self._admission.refuse_waiting(refusal)
        self._service.end_all(FinishReason.TERMINATED, words)

    def _engine_changed(self, up: bool) -> None:
        if up:
            self._engine_up.set()
        else:
            self._engine_up.clear()
        self.metrics.show_engine(up=up)
        self.state.update(engine_up=up)

    def _state_changed(self, state: ServingState) -> None:
        _log.info("state", state=state.value)
        self.metrics.show_state(state)
        task = asyncio.create_task(self._tell_ready())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        refusal = self.state.refusal()
        if refusal is not None and state is not ServingState.DRAINING:
            self._admission.refuse_waiting(refusal)

    async def _tell_ready(self) -> None:
        """One after the other, and each what holds by then: a drain may be taken back within a millisecond."""
        async with self._readiness:
            await self._data.set_ready(ready=self.state.ready)

    def _show_load(self) -> None:
        self.metrics.show_load(self._admission.running, self._admission.waiting)
        self._profiles.timeline.counter("queue", self._admission.waiting)
        self._profiles.timeline.counter("running requests", self._admission.running)


def _log_loaded(name: str, info: ModelInfo) -> None:
    _log.info(
        "model loaded",
        model=name,
        architecture=info.architecture,
        engine=info.engine,
        engine_reason=info.engine_reason,
        provider=info.provider,
        threads=info.intra_op_threads,
        context_length=info.context_length,
        max_sequence_length=info.max_sequence_length,
    )
