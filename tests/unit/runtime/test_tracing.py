"""Traces are made only where they are asked for, join the caller's trace, and hold no text."""

import asyncio
import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from genai_runtime.errors import InvalidRequest, InvalidSettings
from genai_runtime.front.span_export import SpanExport
from genai_runtime.front.tracing import make_tracing
from genai_runtime.front.validation import Call, Options
from genai_runtime.generation import FinishReason, Tokens
from support.runtime import holds
from support.service import TOKENIZER, Served, collect

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Traced:
    """A service whose spans stay in memory."""

    def __init__(self) -> None:
        self.served = Served()
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.served.service.tracing = SpanExport("hello", provider)

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.exporter.get_finished_spans()
        return span


async def test_a_request_is_a_span_of_its_callers_trace() -> None:
    traced = Traced()
    call = Call(
        "r",
        text="a secret question",
        options=Options(temperature=0.5, top_k=3),
        trace_parent=f"00-{TRACE}-{PARENT}-01",
        trace_state="vendor=1",
    )
    task = asyncio.create_task(collect(traced.served.service.stream("generate", call)))
    await holds(lambda: "r" in traced.served.engine.streams)
    for id_ in TOKENIZER.encode("a secret answer"):
        traced.served.engine.streams["r"].put(Tokens("r", [id_]))
    traced.served.engine.end("r", FinishReason.STOP)
    _, endings = await task
    span = traced.span
    assert span.name == "text_completion hello"
    assert span.kind is SpanKind.SERVER
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    attributes = dict(span.attributes or {})
    assert attributes["gen_ai.usage.input_tokens"] == len(TOKENIZER.encode("a secret question"))
    assert attributes["gen_ai.usage.output_tokens"] == endings[0].record.completion_tokens
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert (attributes["gen_ai.request.temperature"], attributes["gen_ai.request.top_k"]) == (0.5, 3)
    assert [event.name for event in span.events] == ["first token"]
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time <= span.events[0].timestamp <= span.end_time
    assert "secret" not in span.to_json()
    assert span.status.status_code is StatusCode.UNSET


async def test_a_refused_request_is_an_error_without_its_text() -> None:
    traced = Traced()
    with pytest.raises(InvalidRequest):
        await collect(traced.served.service.stream("chat", Call("r", text="secret", options=Options(top_p=7.0))))
    assert traced.span.status.status_code is StatusCode.ERROR
    assert dict(traced.span.attributes or {})["error.type"] == "invalid"
    assert "secret" not in traced.span.to_json()


@pytest.mark.parametrize("trace_parent", ["", "nonsense", "00-0-0-00", "é" * 1000])
async def test_a_broken_parent_begins_a_trace_of_its_own(trace_parent: str) -> None:
    traced = Traced()
    traced.served.engine.hold = False
    await collect(traced.served.service.stream("chat", Call(ids=[5], trace_parent=trace_parent)))
    assert traced.span.parent is None


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_nothing_is_traced_unless_it_is_asked_for(environment: dict[str, str]) -> None:
    assert make_tracing("hello", environment) is None


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin'"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'http/protobuf'; this server exports traces by grpc",
        ),
    ],
)
def test_a_way_of_exporting_that_is_not_there_is_named(environment: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidSettings, match=says):
        make_tracing("hello", environment)


def test_a_collector_that_is_not_there_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0.1")
    tracing = make_tracing("hello", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert tracing is not None
    tracing.close()


def test_the_server_imports_nothing_of_it() -> None:
    code = (
        "import sys, genai_runtime.front.server; print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
