"""What Prometheus reads. Names are `genai_*`; labels are methods and finish reasons (closed lists), never users' text.

Measuring is done where things happen; here they only get a name.
"""

from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric

from genai_runtime.engine.protocol import ModelInfo
from genai_runtime.errors import InvalidSettings
from genai_runtime.front.state import ServingState
from genai_runtime.profiling.record import Profile, ProfileState

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_TOKEN_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
METHODS = ("generate", "chat", "warmup")
# Requests that were refused before they reached the engine; accepted ones end with a FinishReason.
REFUSALS = ("invalid", "not_found", "overloaded", "not_serving", "deadline_in_queue", "failed")


class Metrics:
    """One registry a server, so that several can live in one process of tests."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("genai_requests", "Requests by their end.", ["method", "reason"], registry=registry)
        self.running = Gauge("genai_requests_running", "Requests that hold an engine slot.", registry=registry)
        self.waiting = Gauge("genai_requests_waiting", "Requests in the admission queue.", registry=registry)
        self.queue_seconds = Histogram(
            "genai_queue_seconds", "Wait for an engine slot.", buckets=_SECONDS, registry=registry
        )
        self.first_token_seconds = Histogram(
            "genai_time_to_first_token_seconds", "From arrival to the first token.", buckets=_SECONDS, registry=registry
        )
        self.inter_token_seconds = Histogram(
            "genai_inter_token_seconds",
            "Between two tokens of one request; tokens that arrive together share their interval.",
            buckets=_TOKEN_SECONDS,
            registry=registry,
        )
        self.request_seconds = Histogram(
            "genai_request_seconds", "From arrival to the finish.", buckets=_SECONDS, registry=registry
        )
        self.prompt_tokens = Counter("genai_prompt_tokens", "Prompt tokens accepted.", registry=registry)
        self.generated_tokens = Counter("genai_generated_tokens", "Tokens generated.", registry=registry)
        self.engine_up = Gauge("genai_engine_up", "1 while the engine process can generate.", registry=registry)
        self.engine_restarts = Counter("genai_engine_restarts", "Restarts of the engine process.", registry=registry)
        self.halted = Gauge("genai_halted", "1 while terminate-session halts generation.", registry=registry)
        self._build = Info("genai_build", "Versions and what the model runs on.", registry=registry)
        self._build.info({"version": version("genai-operator")})
        self._state = ServingState.LOADING
        self._engine_came_up = False
        registry.register(_StateCollector(self))

    def show_state(self, state: ServingState) -> None:
        """A listener of `StateHolder`."""
        self._state = state
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
        self.engine_up.set(up)

    @property
    def state(self) -> ServingState:
        """The state shown."""
        return self._state

    def show_model(self, info: ModelInfo) -> None:
        """Say what was loaded."""
        self._build.info(
            {
                "version": version("genai-operator"),
                "engine": info.engine,
                "provider": info.provider,
                "onnxruntime": info.onnxruntime_version,
                "onnxruntime_genai": info.onnxruntime_genai_version,
            }
        )


class _StateCollector:
    """One series per state, 1 for the present one."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily("genai_state", "1 for the present state.", labels=["state"])
        for state in ServingState:
            family.add_metric([state.value], float(state is self._metrics.state))
        yield family


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
