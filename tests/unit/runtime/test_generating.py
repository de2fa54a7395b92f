"""One request from its arrival to its end: choices, stop strings, cancels, slow readers, a lost engine."""

import asyncio

import pytest

from genai_runtime.errors import InvalidRequest, NotServing
from genai_runtime.front.generation_run import Ending
from genai_runtime.front.validation import Call
from genai_runtime.generation import Finished, FinishReason, Tokens
from support.runtime import holds
from support.service import TOKENIZER, Served, collect, text_of


def say(served: Served, request_id: str, text: str) -> None:
    """The engine generates `text`, a token at a time."""
    for id_ in TOKENIZER.encode(text):
        served.engine.streams[request_id].put(Tokens(request_id, [id_]))


async def started(served: Served, *request_ids: str) -> None:
    await holds(lambda: all(request_id in served.engine.streams for request_id in request_ids))


async def test_choices_are_generated_beside_each_other_and_counted_together() -> None:
    served = Served()
    task = asyncio.create_task(collect(served.stream(n=3, seed=7, temperature=1.0)))
    await started(served, "r", "r-1", "r-2")
    assert [served.engine.streams[id_].request.sampling.seed for id_ in ("r", "r-1", "r-2")] == [7, 8, 9]
    assert (served.admission.running, served.admission.free_slots) == (1, 1)
    for number, request_id in enumerate(["r-2", "r", "r-1"]):
        say(served, request_id, "Paris " * (number + 1))
        served.engine.end(request_id, FinishReason.STOP)
    chunks, endings = await task
    assert {index: text_of(chunks[index]) for index in chunks} == {2: "Paris ", 0: "Paris " * 2, 1: "Paris " * 3}
    assert {chunk.request_id for some in chunks.values() for chunk in some} == {"r"}
    record = endings[0].record
    assert record.prompt_tokens == 2
    assert record.completion_tokens == sum(len(chunk.ids) for some in chunks.values() for chunk in some)
    assert served.value("genai_generated_tokens_total") == record.completion_tokens
    assert (served.admission.running, served.admission.free_slots) == (0, 4)


async def test_a_stop_string_ends_its_choice_and_frees_its_row() -> None:
    served = Served()
    task = asyncio.create_task(collect(served.stream(stop=[" END"], n=2)))
    await started(served, "r", "r-1")
    say(served, "r", "one EN")
    say(served, "r", "D two")
    await served.cancelled("r", FinishReason.STOP)
    say(served, "r-1", "three")
    served.engine.end("r-1", FinishReason.LENGTH)
    chunks, endings = await task
    assert (text_of(chunks[0]), endings[0].reason, endings[0].stop) == ("one", FinishReason.STOP, " END")
    assert (text_of(chunks[1]), endings[1].reason, endings[1].stop) == ("three", FinishReason.LENGTH, None)
    counted = TOKENIZER.encode("one") + TOKENIZER.encode("three")
    assert endings[1].record.completion_tokens == len(counted)
    assert served.value("genai_requests_total", method="generate", reason="length") == 1


async def test_a_stop_id_is_told() -> None:
    served = Served()
    task = asyncio.create_task(collect(served.stream(stop_token_ids=[9])))
    await started(served, "r")
    served.engine.streams["r"].put(Finished("r", FinishReason.STOP, 2, 0, stop_token_id=9))
    assert (await task)[1][0].stop == 9


async def test_the_end_of_sequence_is_no_stop_of_the_callers() -> None:
    served = Served()
    task = asyncio.create_task(collect(served.stream(stop_token_ids=[9])))
    await started(served, "r")
    served.engine.streams["r"].put(Finished("r", FinishReason.STOP, 2, 0, stop_token_id=2))
    assert (await task)[1][0].stop is None


async def test_ids_of_choices_are_taken_as_well() -> None:
    served = Served()
    task = asyncio.create_task(collect(served.stream("a", n=2)))
    await started(served, "a", "a-1")
    with pytest.raises(InvalidRequest, match="request_id: a-1 names a request that has not ended yet"):
        await collect(served.stream("a-1"))
    served.service.cancel("a")
    await task


async def test_requests_are_listed_with_their_stage() -> None:
    served = Served(slots=1)
    first = asyncio.create_task(collect(served.stream("first", client="ann")))
    await started(served, "first")
    second = asyncio.create_task(collect(served.stream("second", client="bob")))
    await holds(lambda: served.admission.waiting == 1)
    assert [(each.request_id, each.client, each.stage) for each in served.service.requests()] == [
        ("first", "ann", "prefill"),
        ("second", "bob", "queued"),
    ]
    say(served, "first", "Paris")
    await holds(lambda: served.service.requests()[0].stage == "decode")
    info = served.service.requests()[0]
    assert (info.prompt_tokens, info.completion_tokens) == (2, len(TOKENIZER.encode("Paris")))
    assert info.age_seconds > 0
    for request_id in ("first", "second"):
        assert served.service.cancel(request_id)
    await asyncio.gather(first, second)
    assert served.service.requests() == []


async def test_a_request_is_cancelled_where_it_is() -> None:
    served = Served(slots=1)
    running = asyncio.create_task(collect(served.stream("running")))
    await started(served, "running")
    waiting = asyncio.create_task(collect(served.stream("waiting", n=2)))
    await holds(lambda: served.admission.waiting == 1)
    assert not served.service.cancel("unknown")
    assert served.service.cancel("waiting")
    chunks, endings = await waiting
    assert chunks == {}
    assert {index: ending.reason for index, ending in endings.items()} == dict.fromkeys((0, 1), FinishReason.CANCELLED)
    assert "waiting" not in served.engine.streams
    say(served, "running", "Paris")
    await holds(lambda: served.service.requests()[0].stage == "decode")
    assert served.service.cancel("running")
    chunks, endings = await running
    assert (text_of(chunks[0]), endings[0].reason) == ("Paris", FinishReason.CANCELLED)
    assert "cancelled" in endings[0].message
    assert served.value("genai_requests_total", method="generate", reason="cancelled") == 2
    assert served.admission.free_slots == 1


async def test_closing_the_stream_ends_all_choices() -> None:
    served = Served()
    stream = served.stream(n=2)
    reading = asyncio.create_task(anext(stream))
    await started(served, "r", "r-1")
    say(served, "r", "Paris")
    await reading
    await stream.aclose()
    assert set(served.engine.cancelled) == {("r", FinishReason.CANCELLED), ("r-1", FinishReason.CANCELLED)}
    assert served.admission.free_slots == 4


async def test_a_lost_engine_ends_every_choice_after_what_had_come() -> None:
    served = Served()
    task = asyncio.create_task(collect(served.stream(n=2, stop=["Paris!"])))
    await started(served, "r", "r-1")
    say(served, "r", "Paris")
    served.engine.crash()
    chunks, endings = await task
    assert text_of(chunks[0]) == "Paris"
    assert [endings[index].engine_lost for index in (0, 1)] == [True, True]
    with pytest.raises(NotServing):
        await collect(served.stream())


async def test_a_reader_that_takes_nothing_is_ended_before_its_answer_fills_the_memory() -> None:
    served = Served(max_unread_bytes=36 * 100)
    stream = served.stream()
    reading = asyncio.create_task(anext(stream))
    await started(served, "r")
    say(served, "r", "x")
    await reading
    assert all(served.engine.streams["r"].put(Tokens("r", [5])) for _ in range(100))
    assert not served.engine.streams["r"].put(Tokens("r", [5]))
    served.engine.cancel("r", FinishReason.CANCELLED)  # as the engine process's link does
    chunks, endings = await collect(stream)
    assert sum(len(chunk.ids) for chunk in chunks[0]) == 100
    assert (endings[0].reason, endings[0].message) == (
        FinishReason.CANCELLED,
        "the client left too much of its answer unread",
    )


async def test_an_engine_that_does_not_end_a_request_cannot_keep_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai_runtime.front.generation_run._END_PATIENCE", 0.01)
    served = Served(max_seconds=0.01)
    served.engine.deaf = True
    _, endings = await collect(served.stream(n=2))
    assert [endings[index].reason for index in (0, 1)] == [FinishReason.DEADLINE] * 2
    assert "0.01 s" in endings[0].message


async def test_more_choices_than_the_server_gives_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"options\.n: is 3; it must be 1 to 2"):
        await collect(Served(choices=2).stream(n=3))


async def test_the_prompt_can_be_counted_without_generating() -> None:
    served = Served()
    assert await served.service.count_prompt_tokens(Call(text="Paris")) == len(TOKENIZER.encode("Paris"))
    assert served.engine.streams == {}


async def test_every_event_of_a_choice_comes_before_its_ending() -> None:
    served = Served()
    stream = served.stream(n=2)
    task = asyncio.create_task(anext(stream))
    await started(served, "r", "r-1")
    served.engine.end("r", FinishReason.STOP)
    first = await task
    assert isinstance(first, Ending)
    assert first.index == 0
    say(served, "r-1", "Paris")
    served.engine.end("r-1", FinishReason.STOP)
    chunks, endings = await collect(stream)
    assert (list(chunks), list(endings)) == ([1], [1])
