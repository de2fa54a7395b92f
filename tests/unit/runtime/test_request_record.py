"""The figures of one request: what they are when the front reads the engine's messages late."""

import time

import pytest

from genai_runtime.front.metrics import Metrics
from genai_runtime.front.request_record import RequestRecord
from genai_runtime.generation import Finished, FinishReason


def ended(record: RequestRecord, decode_seconds: float) -> RequestRecord:
    record.choice_finished(Finished(record.request_id, FinishReason.LENGTH, 3, 5, decode_seconds=decode_seconds))
    return record


def test_tokens_that_arrive_in_one_message_have_the_engine_s_rate() -> None:
    record = RequestRecord("test", Metrics(), "r")
    record.tokens(5)
    assert record.tokens_per_second == 0  # one message tells no time
    assert ended(record, decode_seconds=0.5).tokens_per_second == pytest.approx(8.0)
    assert record.seconds_per_token == pytest.approx(0.125)


def test_time_between_the_engine_s_runs_counts() -> None:
    record = RequestRecord("test", Metrics(), "r")
    record.tokens(1)
    time.sleep(0.02)
    record.tokens(4)
    assert ended(record, decode_seconds=0.001).tokens_per_second <= 4 / 0.02


def test_a_single_token_has_no_rate() -> None:
    record = RequestRecord("test", Metrics(), "r")
    record.tokens(1)
    assert ended(record, decode_seconds=0.5).tokens_per_second == 0
