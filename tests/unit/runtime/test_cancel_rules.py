"""Which requests a standing rule ends, when, and how often it is counted; and what is no rule."""

import asyncio
import math

import pytest

from genai_runtime.errors import InvalidRequest
from genai_runtime.front.cancel_rules import CancelRule
from genai_runtime.generation import FinishReason, Tokens
from support.runtime import holds
from support.service import TOKENIZER, Served, collect, text_of


async def started(served: Served, *request_ids: str) -> None:
    await holds(lambda: all(request_id in served.engine.streams for request_id in request_ids))


def say(served: Served, request_id: str, text: str) -> int:
    """How many tokens it was."""
    ids = TOKENIZER.encode(text)
    for id_ in ids:
        served.engine.streams[request_id].put(Tokens(request_id, [id_]))
    return len(ids)


async def test_a_rule_ends_running_and_waiting_requests_of_a_client_and_later_ones() -> None:
    served = Served(slots=2)
    tasks = [asyncio.create_task(collect(served.stream("a", client="ann"))) for _ in range(1)]
    other = asyncio.create_task(collect(served.stream("b", client="bob")))
    await started(served, "a", "b")
    tasks.append(asyncio.create_task(collect(served.stream("waiting", client="ann", n=2))))
    await holds(lambda: served.admission.waiting == 1)
    say(served, "a", "Paris")
    await holds(lambda: served.service.requests()[0].stage == "decode")
    served.service.rule.set(CancelRule(client="ann"))
    tasks.append(asyncio.create_task(collect(served.stream("late", client="ann"))))
    ended = [await task for task in tasks]
    assert text_of(ended[0][0][0]) == "Paris"
    for _, endings in ended:
        assert {ending.reason for ending in endings.values()} == {FinishReason.CANCELLED}
        assert {ending.message for ending in endings.values()} == {"ended by the runtime option cancel: client=ann"}
    assert ended[0][1][0].record.completion_tokens == len(TOKENIZER.encode("Paris"))
    assert sorted(ended[1][1]) == [0, 1]
    assert not {"waiting", "late"} & set(served.engine.streams)
    assert served.service.rule.count == 3
    served.engine.end("b", FinishReason.STOP)
    assert (await other)[1][0].reason is FinishReason.STOP
    assert served.admission.free_slots == 2


async def test_tokens_are_counted_over_all_choices_as_they_come() -> None:
    served = Served()
    served.service.rule.set(CancelRule(tokens_over=6))
    task = asyncio.create_task(collect(served.stream(n=2)))
    await started(served, "r", "r-1")
    for request_id in ("r", "r-1"):
        served.engine.streams[request_id].put(Tokens(request_id, [5, 6, 7]))
    await holds(lambda: served.service.requests()[0].completion_tokens == 6)
    assert served.engine.cancelled == []
    served.engine.streams["r"].put(Tokens("r", [8]))
    _, endings = await task
    assert {index: ending.reason for index, ending in endings.items()} == dict.fromkeys((0, 1), FinishReason.CANCELLED)
    assert endings[0].message.endswith("tokens-over=6")
    assert (served.service.rule.count, endings[1].record.completion_tokens) == (1, 7)


async def test_a_request_is_ended_when_it_becomes_too_old_and_no_token_comes() -> None:
    served = Served()
    served.service.rule.set(CancelRule(older_than_seconds=0.05))
    for request_id in ("first", "second"):
        _, endings = await collect(served.stream(request_id))
        assert endings[0].message == "ended by the runtime option cancel: older-than=0.05s"
        assert endings[0].record.total_seconds >= 0.05
    assert served.service.rule.count == 2


async def test_every_field_of_a_rule_must_match() -> None:
    served = Served()
    served.service.rule.set(CancelRule(client="ann", older_than_seconds=0.02, tokens_over=1))
    bob = asyncio.create_task(collect(served.stream("bob", client="bob")))
    ann = asyncio.create_task(collect(served.stream("ann", client="ann")))
    await started(served, "bob", "ann")
    served.engine.streams["bob"].put(Tokens("bob", [5, 6, 7]))
    await holds(lambda: served.service.requests()[1].age_seconds > 0.03)
    assert served.engine.cancelled == []
    served.engine.streams["ann"].put(Tokens("ann", [5, 6, 7]))
    assert (await ann)[1][0].reason is FinishReason.CANCELLED
    served.service.rule.set(None)
    served.engine.end("bob", FinishReason.STOP)
    assert (await bob)[1][0].reason is FinishReason.STOP


async def test_the_same_rule_again_keeps_its_count_and_another_begins_anew() -> None:
    served = Served()
    rule = served.service.rule
    rule.set(CancelRule(client="ann"))
    await collect(served.stream(client="ann"))
    rule.set(CancelRule(client="ann"))
    assert rule.count == 1
    rule.set(CancelRule(request_id="x"))
    assert rule.count == 0
    rule.set(None)
    task = asyncio.create_task(collect(served.stream(client="ann")))
    await started(served, "r")
    served.engine.end("r", FinishReason.STOP)
    assert (await task)[1][0].reason is FinishReason.STOP


async def test_one_that_is_ending_is_not_counted_again() -> None:
    served = Served()
    served.engine.deaf = True
    task = asyncio.create_task(collect(served.stream(client="ann")))
    await started(served, "r")
    served.service.cancel("r")
    served.service.rule.set(CancelRule(client="ann"))
    assert served.service.rule.count == 0
    served.engine.end("r", FinishReason.CANCELLED)
    assert (await task)[1][0].message == "cancelled by its request id"


@pytest.mark.parametrize(
    "rule",
    [
        CancelRule(),
        CancelRule(request_id="a\nb"),
        CancelRule(request_id="a" * 257),
        CancelRule(client="\x00"),
        CancelRule(client="b" * 257),
        CancelRule(client="ann", older_than_seconds=-1),
        CancelRule(older_than_seconds=math.nan),
        CancelRule(older_than_seconds=math.inf),
        CancelRule(older_than_seconds=1e9),
    ],
)
def test_what_is_no_rule_is_refused(rule: CancelRule) -> None:
    with pytest.raises(InvalidRequest, match=r"^options\.cancel"):
        rule.check()
