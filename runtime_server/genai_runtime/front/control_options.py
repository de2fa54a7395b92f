"""RuntimeOptions of the control protocol, to and from the server's own plain data. Pure; what they do is elsewhere."""

from collections.abc import Iterable

from genai_protocol.v1 import control_pb2 as pb
from genai_runtime.engine.protocol import AdapterState
from genai_runtime.front.adapter_fetch import AdapterSource
from genai_runtime.front.cancel_rules import CancelRule
from genai_runtime.front.live_adapters import FETCHING, LOADING
from genai_runtime.front.ports import WantedRecorder, WantedWindow
from genai_runtime.front.runtime_options import Options

_ADAPTER_STATES = {
    FETCHING: pb.ADAPTER_LOADING_FETCHING,
    LOADING: pb.ADAPTER_LOADING_LOADING,
    "loaded": pb.ADAPTER_LOADING_LOADED,
    "unloading": pb.ADAPTER_LOADING_UNLOADING,
    "rejected": pb.ADAPTER_LOADING_REJECTED,
}


def options_of(message: pb.RuntimeOptions) -> Options:
    """What is wanted; `Options` says what of it makes no sense."""
    return Options(
        terminate_session=message.terminate_session,
        profiling=_window(message.profiling) if message.HasField("profiling") else None,
        log_level=message.log_level,
        arena_shrinkage=message.arena_shrinkage,
        drain_seconds=message.drain.deadline_seconds if message.HasField("drain") else None,
        cancel=_rule(message.cancel) if message.HasField("cancel") else None,
        flight_recorder=_recorder(message.flight_recorder) if message.HasField("flight_recorder") else None,
        adapters=tuple((each.name, _adapter(each)) for each in message.adapters.adapters)
        if message.HasField("adapters")
        else None,
    )


def message_of(options: Options) -> pb.RuntimeOptions:
    """The other way round."""
    window, rule, recorder = options.profiling, options.cancel, options.flight_recorder
    return pb.RuntimeOptions(
        terminate_session=options.terminate_session,
        profiling=None
        if window is None
        else pb.ProfilingOption(
            label=window.label, max_runs=window.max_runs, max_bytes=window.max_bytes, max_seconds=window.max_seconds
        ),
        log_level=options.log_level,
        arena_shrinkage=options.arena_shrinkage,
        drain=None if options.drain_seconds is None else pb.DrainOption(deadline_seconds=options.drain_seconds),
        cancel=None
        if rule is None
        else pb.CancelRule(
            request_id=rule.request_id,
            client=rule.client,
            older_than_seconds=rule.older_than_seconds,
            tokens_over=rule.tokens_over,
        ),
        flight_recorder=None
        if recorder is None
        else pb.FlightRecorderOption(
            inter_token_p99_seconds=recorder.inter_token_p99_seconds,
            time_to_first_token_p99_seconds=recorder.time_to_first_token_p99_seconds,
            for_seconds=recorder.for_seconds,
            max_per_hour=recorder.max_per_hour,
        ),
        adapters=None
        if options.adapters is None
        else pb.AdaptersOption(adapters=[_adapter_message(name, place) for name, place in options.adapters]),
    )


def adapter_messages(states: Iterable[AdapterState]) -> list[pb.AdapterState]:
    """What has become of each."""
    return [pb.AdapterState(name=each.name, state=_ADAPTER_STATES[each.state], message=each.message) for each in states]


def _adapter(asked: pb.Adapter) -> str | AdapterSource:
    if not asked.HasField("source"):
        return asked.path
    source = asked.source
    return AdapterSource(
        source.uri,
        asked.path,
        source.sha256,
        source.endpoint,
        source.region,
        source.secret_name,
        source.max_bytes,
    )


def _adapter_message(name: str, place: str | AdapterSource) -> pb.Adapter:
    if isinstance(place, str):
        return pb.Adapter(name=name, path=place)
    source = pb.AdapterSource(
        uri=place.uri,
        sha256=place.sha256,
        endpoint=place.endpoint,
        region=place.region,
        secret_name=place.secret_name,
        max_bytes=place.max_bytes,
    )
    return pb.Adapter(name=name, path=place.path, source=source)


def _window(asked: pb.ProfilingOption) -> WantedWindow:
    return WantedWindow(asked.label, asked.max_runs, asked.max_bytes, asked.max_seconds)


def _rule(asked: pb.CancelRule) -> CancelRule:
    return CancelRule(asked.request_id, asked.client, asked.older_than_seconds, asked.tokens_over)


def _recorder(asked: pb.FlightRecorderOption) -> WantedRecorder:
    return WantedRecorder(
        asked.inter_token_p99_seconds, asked.time_to_first_token_p99_seconds, asked.for_seconds, asked.max_per_hour
    )
