"""What Prometheus reads. Names are `genai_*`; labels are methods and finish reasons (closed lists), never users' text.

Measuring is done where things happen; here they only get a place, and in `metric_families.py` their names.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from threading import Thread
from typing import Protocol
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Info, start_http_server

from genai_runtime.engine.protocol import EngineStats, ModelInfo
from genai_runtime.errors import InvalidSettings
from genai_runtime.front.distribution import Distribution, Tally
from genai_runtime.front.metric_families import OwnFamilies, VllmFamilies
from genai_runtime.front.state import ServingState
from genai_runtime.generation import FinishReason
from genai_runtime.profiling.record import Profile, ProfileState

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_ENGINE_COUNTS = (
    *("prompt_tokens", "generated_tokens", "preemptions", "prefill_runs", "decode_runs"),
    *("prefix_cache_hit_tokens", "prefix_cache_asked_tokens"),
)
_TOKEN_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
# Requests that were refused before they reached the engine; accepted ones end with a FinishReason.
REFUSALS = ("invalid", "not_found", "overloaded", "not_serving", "deadline_in_queue", "failed")


class FinishedRequest(Protocol):
    """What is counted of a request at its end; see `request_record.py`."""

    total_seconds: float
    prefill_seconds: float
    decode_seconds: float
    cached_tokens: int

    @property
    def seconds_per_token(self) -> float:
        """Mean between two tokens of one answer; 0 where nothing was measured."""
        ...


class Metrics:
    """One registry a server, so that several can live in one process of tests."""

    def __init__(self, model_name: str = "") -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("genai_requests", "Requests by their end.", ["method", "reason"], registry=registry)
        self.running = Gauge("genai_requests_running", "Requests that hold an engine slot.", registry=registry)
        self.waiting = Gauge("genai_requests_waiting", "Requests in the admission queue.", registry=registry)
        self.engine_up = Gauge("genai_engine_up", "1 while the engine process can generate.", registry=registry)
        self.engine_restarts = Counter("genai_engine_restarts", "Restarts of the engine process.", registry=registry)
        self.halted = Gauge("genai_halted", "1 while terminate-session halts generation.", registry=registry)
        self.queue_seconds = Distribution(_SECONDS)
        self.first_token_seconds = Distribution(_SECONDS)
        self.inter_token_seconds = Distribution(_TOKEN_SECONDS)
        self.mean_token_seconds = Distribution(_TOKEN_SECONDS)
        self.request_seconds = Distribution(_SECONDS)
        self.prefill_seconds = Distribution(_SECONDS)
        self.decode_seconds = Distribution(_SECONDS)
        self.prompt_tokens, self.generated_tokens, self.cached_tokens = Tally(), Tally(), Tally()
        self.ends = {reason: Tally() for reason in FinishReason}
        self.engine = EngineStats(0, 0, 0)  # the newest snapshot; counts go on over restarts of the engine
        self._engine_before = EngineStats(0, 0, 0)  # counts of the engines before the present one
        self.kv_tokens = 0  # positions that the KV cache has; 0: not known
        self.max_adapters = 0
        self.shown_running = self.shown_waiting = 0
        self.running.set_function(lambda: self.shown_running)
        self.waiting.set_function(lambda: self.shown_waiting)
        self.adapters_in_use: Callable[[], tuple[set[str], set[str]]] = lambda: (set(), set())
        self._build = Info("genai_build", "Versions and what the model runs on.", registry=registry)
        self._build.info({"version": version("genai-operator")})
        self.state = ServingState.LOADING
        self._engine_came_up = False
        registry.register(OwnFamilies(self))
        registry.register(VllmFamilies(self, model_name))

    @property
    def kv_cache_use(self) -> float:
        """0 to 1; 0 where the engine does not count it."""
        return min(1.0, self.engine.kv_tokens_used / self.kv_tokens) if self.kv_tokens else 0.0

    def show_load(self, running: int, waiting: int) -> None:
        """Requests that hold slots, and that wait for one."""
        self.shown_running, self.shown_waiting = running, waiting

    def show_finished(self, request: FinishedRequest, reason: FinishReason) -> None:
        """An accepted request ended."""
        self.ends[reason].inc()
        self.request_seconds.observe(request.total_seconds)
        self.prefill_seconds.observe(request.prefill_seconds)
        self.decode_seconds.observe(request.decode_seconds)
        self.cached_tokens.inc(request.cached_tokens)
        if request.seconds_per_token:
            self.mean_token_seconds.observe(request.seconds_per_token)

    def show_engine_stats(self, stats: EngineStats) -> None:
        """The present engine's own counts."""
        before = self._engine_before
        self.engine = replace(stats, **{name: getattr(before, name) + getattr(stats, name) for name in _ENGINE_COUNTS})

    def show_state(self, state: ServingState) -> None:
        """A listener of `StateHolder`."""
        self.state = state
        self.halted.set(state is ServingState.HALTED)

    def watch_windows(self, newest: Callable[[], Profile | None]) -> None:
        """Ask `newest` for the newest profiling window whenever the metrics are read."""
        shown: dict[str, tuple[str, Callable[[Profile], float]]] = {
            "genai_profile_window_open": (
                "1 while a profiling window is open.",
                lambda p: p.state is ProfileState.OPEN,
            ),
            "genai_profile_window_runs": ("Runs captured by the newest window.", lambda p: p.runs),
            "genai_profile_window_dropped_runs": ("Runs it could not keep.", lambda p: p.dropped_runs),
        }

        def read(value: Callable[[Profile], float]) -> float:
            profile = newest()
            return value(profile) if profile else 0.0

        for name, (text, value) in shown.items():
            Gauge(name, text, registry=self.registry).set_function(partial(read, value))

    def show_engine(self, *, up: bool) -> None:
        """The engine process has loaded, or is gone."""
        if up and self._engine_came_up:
            self.engine_restarts.inc()
        self._engine_came_up |= up
        self._engine_before = self.engine
        self.engine_up.set(up)

    def show_model(self, info: ModelInfo) -> None:
        """Say what was loaded."""
        self.kv_tokens, self.max_adapters = info.kv_tokens, len(info.adapters)
        self._build.info(
            {
                "version": version("genai-operator"),
                "engine": info.engine,
                "provider": info.provider,
                "onnxruntime": info.onnxruntime_version,
                "onnxruntime_genai": info.onnxruntime_genai_version,
            }
        )


class MetricsServer:
    """Serves /metrics from a thread of its own."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        """Raises `InvalidSettings` when the port cannot be bound."""
        self._server: WSGIServer
        self._thread: Thread
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=metrics.registry)
        except OSError as error:
            raise InvalidSettings(
                f"metrics cannot listen on {host}:{port}: {error.strerror or error}; set GENAI_METRICS_PORT, 0 is off"
            ) from error

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
