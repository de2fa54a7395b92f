"""One span a request, by OpenTelemetry's conventions for generative AI, sent to a collector. Never text, nor tokens.

Imported only where traces are asked for. A span is made when its request has ended, from what was measured anyway.
"""

import time
from typing import Self

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.validation import Call
from genai_runtime.generation import FinishReason

_SERVICE = "genai-runtime"
_PROVIDER = "onnxruntime-genai"
_GOOD_ENDS = (FinishReason.STOP, FinishReason.LENGTH, FinishReason.CANCELLED)
_NANOSECONDS = 1_000_000_000


class SpanExport:
    """Implements `tracing.Tracing`."""

    def __init__(self, model_name: str, provider: TracerProvider) -> None:
        self._model_name = model_name
        self._provider = provider
        self._tracer = provider.get_tracer(_SERVICE)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to_collector(cls, model_name: str) -> Self:
        """Address, headers, sampling and batches are OpenTelemetry's own variables."""
        resource = Resource({SERVICE_NAME: _SERVICE}).merge(OTELResourceDetector().detect())
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(model_name, provider)

    def request_ended(self, record: RequestRecord, call: Call) -> None:
        """See `Tracing`."""
        operation = "chat" if call.messages is not None else "text_completion"
        ended = time.time_ns()
        began = ended - int(record.total_seconds * _NANOSECONDS)
        carrier = {"traceparent": call.trace_parent, "tracestate": call.trace_state}
        span = self._tracer.start_span(
            f"{operation} {self._model_name}",
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes=self._attributes(operation, record),
            start_time=began,
        )
        if record.first_token_seconds:
            span.add_event("first token", timestamp=began + int(record.first_token_seconds * _NANOSECONDS))
        self._tell_error(span, record)
        span.end(ended)

    def close(self) -> None:
        """See `Tracing`."""
        self._provider.shutdown()

    def _attributes(self, operation: str, record: RequestRecord) -> dict[str, AttributeValue]:
        found: dict[str, AttributeValue] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.request.model": record.adapter or self._model_name,
            "gen_ai.response.model": self._model_name,
            "gen_ai.response.id": record.request_id,
            "gen_ai.response.finish_reasons": [record.reason],
            "gen_ai.usage.input_tokens": record.prompt_tokens,
            "gen_ai.usage.output_tokens": record.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
            "gen_ai.request.choice.count": record.choices,
            "genai.method": record.method,
            "genai.queue_seconds": record.queue_seconds,
        }
        if record.first_token_seconds:
            found["gen_ai.response.time_to_first_chunk"] = record.first_token_seconds
        if record.request is not None:
            sampling = record.request.sampling
            found["gen_ai.request.max_tokens"] = record.request.max_tokens
            found["gen_ai.request.temperature"] = sampling.temperature
            found["gen_ai.request.top_k"] = sampling.top_k
            found["gen_ai.request.top_p"] = sampling.top_p
            found["gen_ai.request.presence_penalty"] = sampling.presence_penalty
            found["gen_ai.request.frequency_penalty"] = sampling.frequency_penalty
        return found

    def _tell_error(self, span: Span, record: RequestRecord) -> None:
        if record.reason not in _GOOD_ENDS:
            span.set_attribute("error.type", record.reason)
            span.set_status(Status(StatusCode.ERROR))
