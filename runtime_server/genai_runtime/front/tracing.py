"""Whether requests are traced, decided from the `OTEL_*` variables alone. Until they say so nothing is imported.

What a span holds is `span_export.py`'s business.
"""

import os
from collections.abc import Mapping
from typing import Protocol

from genai_runtime.errors import InvalidSettings
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.front.validation import Call

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Tracing(Protocol):
    """Where requests' spans go."""

    def request_ended(self, record: RequestRecord, call: Call) -> None:
        """Never waits."""
        ...

    def close(self) -> None:
        """Send what is left; may wait a few seconds."""
        ...


def make_tracing(model_name: str, environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """None where traces are not asked for. Raises `InvalidSettings` for a way of exporting that is not there."""
    if not _wanted(environment):
        return None
    for name in _PROTOCOLS:
        if environment.get(name, "grpc") != "grpc":
            raise InvalidSettings(f"{name} is {environment[name]!r}; this server exports traces by grpc")
    from genai_runtime.front.span_export import SpanExport  # several megabytes, which most pods can spare

    return SpanExport.to_collector(model_name)


def _wanted(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    if exporter not in ("", "otlp", "none"):
        raise InvalidSettings(f"OTEL_TRACES_EXPORTER is {exporter!r}; it must be otlp or none")
    return exporter == "otlp" or (exporter == "" and any(environment.get(name) for name in _ENDPOINTS))
