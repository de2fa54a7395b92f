"""What an exchange adds to a `Call`: whose request it is, its id, and the trace it belongs to."""

from dataclasses import replace

from genai_runtime.front.http.exchange import Exchange
from genai_runtime.front.validation import Call


def signed(exchange: Exchange, call: Call, number: int | None = None) -> Call:
    """`number` tells apart the calls of one exchange."""
    return replace(
        call,
        request_id=exchange.request_id if number is None else f"{exchange.request_id}.{number}",
        client=exchange.client,
        trace_parent=exchange.header(b"traceparent"),
        trace_state=exchange.header(b"tracestate"),
    )
