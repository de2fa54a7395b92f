"""A flapping model's Events: a burst, then one every five minutes; other models have their own."""

from genai_operator.services.event_budget import EventBudget
from support.model_world import KEY, World


def test_a_burst_then_one_every_five_minutes() -> None:
    now = 1000.0
    budget = EventBudget(clock=lambda: now)
    assert [budget.take("a/b") for _ in range(30)] == [True] * 25 + [False] * 5
    assert budget.take("a/c")
    now += 299
    assert not budget.take("a/b")
    now += 2
    assert [budget.take("a/b") for _ in range(2)] == [True, False]
    now += 300 * 25
    assert sum(budget.take("a/b") for _ in range(30)) == 25
    budget.forget("a/b")
    assert budget.take("a/b")


async def test_a_model_that_goes_up_and_down_tells_its_conditions_and_not_every_event() -> None:
    world = World()
    world.put_model(replicas=0)
    await world.settle()
    for turn in range(40):
        world.put_model(replicas=0, **({"model": {"uri": "../x"}} if turn % 2 else {}))
        await world.service.reconcile(KEY)
    events = sum(kind == "Event" for kind, _, _ in world.kube.objects)
    assert events == 25
    assert world.condition("Accepted")[:2] == ("False", "InvalidSpec")
