"""Runtime options between our types and the control protocol's messages. Calls are `runtime.py`'s."""

from dataclasses import dataclass

from genai_operator.api.cancel_rule import CancelRule
from genai_operator.api.runtime_options import FetchedAdapter, Profiling, Recorder, RuntimeOptions
from genai_protocol.v1 import control_pb2

_TEXT_LIMIT, _NAME_LIMIT = 500, 253
_ADAPTER_STATES = {
    control_pb2.ADAPTER_LOADING_FETCHING: "Fetching",
    control_pb2.ADAPTER_LOADING_LOADING: "Loading",
    control_pb2.ADAPTER_LOADING_LOADED: "Loaded",
    control_pb2.ADAPTER_LOADING_UNLOADING: "Unloading",
    control_pb2.ADAPTER_LOADING_REJECTED: "Rejected",
}


@dataclass(frozen=True, slots=True)
class RecordingReply:
    """The newest window of a pod, which it opened by itself."""

    profile_id: str
    trigger: str
    opened_unix_ms: int


@dataclass(frozen=True, slots=True)
class AdapterReply:
    """What became of a LoRA adapter on a pod: Fetching, Loading, Loaded, Unloading or Rejected."""

    name: str
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class OptionsReply:
    """What a pod has applied: the revision it holds and the options its engine cannot do, by annotation name."""

    revision: str
    unsupported: tuple[str, ...]
    requests: int = 0  # that run or wait
    cancelled_requests: int = 0  # by the present cancel rule
    recording: RecordingReply | None = None
    adapters: tuple[AdapterReply, ...] = ()


def options_message(options: RuntimeOptions) -> control_pb2.RuntimeOptions:
    """What a pod is sent; what is not wanted is absent."""
    return control_pb2.RuntimeOptions(
        terminate_session=options.terminate_session,
        profiling=_profiling(options.profiling),
        log_level=options.log_level,
        arena_shrinkage=options.arena_shrinkage,
        drain=control_pb2.DrainOption(deadline_seconds=options.drain_seconds) if options.drain_seconds else None,
        cancel=_cancel(options.cancel),
        flight_recorder=_recorder(options.flight_recorder),
        adapters=control_pb2.AdaptersOption(
            adapters=[
                *(control_pb2.Adapter(name=name, path=path) for name, path in options.adapters),
                *(_fetched(each) for each in options.fetched_adapters),
            ]
        ),
    )


def options_reply(state: control_pb2.RuntimeOptionsState) -> OptionsReply:
    """What a pod answered, to Set as to Get."""
    return OptionsReply(
        revision=state.revision,
        unsupported=tuple(state.unsupported),
        requests=state.requests,
        cancelled_requests=state.cancelled_requests,
        recording=_recording(state.window),
        adapters=tuple(
            AdapterReply(each.name[:_NAME_LIMIT], _ADAPTER_STATES[each.state], each.message[:_TEXT_LIMIT])
            for each in state.adapters
            if each.state in _ADAPTER_STATES
        ),
    )


def _fetched(adapter: FetchedAdapter) -> control_pb2.Adapter:
    source = control_pb2.AdapterSource(
        uri=adapter.uri,
        sha256=adapter.sha256,
        endpoint=adapter.endpoint,
        region=adapter.region,
        secret_name=adapter.secret_name,
        max_bytes=adapter.max_bytes,
    )
    return control_pb2.Adapter(name=adapter.name, path=adapter.path, source=source)


def _profiling(window: Profiling | None) -> control_pb2.ProfilingOption | None:
    if window is None:
        return None
    return control_pb2.ProfilingOption(
        label=window.label, max_runs=window.max_runs, max_bytes=window.max_bytes, max_seconds=window.max_seconds
    )


def _cancel(rule: CancelRule | None) -> control_pb2.CancelRule | None:
    if rule is None:
        return None
    return control_pb2.CancelRule(
        request_id=rule.request_id,
        client=rule.client,
        older_than_seconds=rule.older_than_seconds,
        tokens_over=rule.tokens_over,
    )


def _recorder(recorder: Recorder | None) -> control_pb2.FlightRecorderOption | None:
    if recorder is None:
        return None
    return control_pb2.FlightRecorderOption(
        inter_token_p99_seconds=recorder.inter_token_p99_seconds,
        time_to_first_token_p99_seconds=recorder.first_token_p99_seconds,
        for_seconds=recorder.for_seconds,
        max_per_hour=recorder.max_per_hour,
    )


def _recording(window: control_pb2.Profile) -> RecordingReply | None:
    if not window.trigger:
        return None
    return RecordingReply(window.id[:_NAME_LIMIT], window.trigger[:_TEXT_LIMIT], window.opened_unix_ms)
