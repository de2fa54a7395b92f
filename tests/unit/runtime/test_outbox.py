"""Tokens are gathered for a moment; what is waited for is told at once."""

from genai_runtime.engine.outbox import Outbox
from genai_runtime.generation import Finished, FinishReason, TokenLogprob, Tokens, WindowProgress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def outbox(interval: float = 0.02) -> tuple[Outbox, Clock]:
    clock = Clock()
    return Outbox(interval, clock), clock


def test_a_first_token_is_told_at_once_and_the_next_ones_together() -> None:
    box, clock = outbox()
    box.add([Tokens("a", [1])])
    first = box.take(hurry=False)
    assert first is not None
    assert first.tokens == [Tokens("a", [1])]
    for token in (2, 3):
        clock.now += 0.005
        box.add([Tokens("a", [token], [TokenLogprob(token, -1.0)])])
        assert box.take(hurry=False) is None
    clock.now += 0.011
    frame = box.take(hurry=False)
    assert frame is not None
    assert frame.tokens == [Tokens("a", [2, 3], [TokenLogprob(2, -1.0), TokenLogprob(3, -1.0)])]
    assert box.take(hurry=True) is None


def test_tokens_are_held_for_as_many_steps_as_come_nearest() -> None:
    box, clock = outbox(0.033)
    box.add([Tokens("a", [1])])
    box.take(hurry=False)
    sent = []
    for token in (2, 3, 4, 5, 6, 7):
        clock.now += 0.012
        box.add([Tokens("a", [token])])
        frame = box.take(hurry=False)
        sent.append(frame.tokens[0].ids if frame else [])
    assert sent == [[], [], [2, 3, 4], [], [], [5, 6, 7]]  # 36 ms are nearer to 33 than 24


def test_another_ones_first_token_or_end_leaves_what_is_held() -> None:
    box, clock = outbox()
    box.add([Tokens("a", [1])])
    box.take(hurry=False)
    clock.now += 0.005
    box.add([Tokens("a", [2]), Tokens("b", [9])])
    first = box.take(hurry=False)
    assert first is not None
    assert first.tokens == [Tokens("b", [9])]
    clock.now += 0.005
    end = Finished("b", FinishReason.LENGTH, 1, 2)
    box.add([Tokens("a", [3]), Tokens("b", [10]), end])
    last = box.take(hurry=False)
    assert last is not None
    assert (last.tokens, last.finished) == ([Tokens("b", [10])], [end])
    clock.now += 0.010
    box.add([Tokens("a", [4])])
    held = box.take(hurry=False)
    assert held is not None, "the others' frames put it off"
    assert held.tokens == [Tokens("a", [2, 3, 4])]


def test_an_end_is_told_at_once_after_all_its_tokens() -> None:
    box, _ = outbox()
    box.add([Tokens("a", [1])])
    box.take(hurry=False)
    box.add([Tokens("a", [2])])
    assert box.take(hurry=False) is None
    end = Finished("a", FinishReason.LENGTH, 1, 3)
    box.add([Tokens("a", [3]), end])
    frame = box.take(hurry=False)
    assert frame is not None
    assert (frame.tokens, frame.finished) == ([Tokens("a", [2, 3])], [end])


def test_a_name_used_again_has_a_first_token_again() -> None:
    box, _ = outbox()
    box.add([Tokens("a", [1]), Finished("a", FinishReason.STOP, 1, 1)])
    box.take(hurry=False)
    box.add([Tokens("a", [5])])
    assert box.take(hurry=False) is not None


def test_nothing_is_held_where_nothing_will_follow_or_nothing_may_be_held() -> None:
    box, _ = outbox()
    box.add([Tokens("a", [1])])
    box.take(hurry=False)
    box.add([Tokens("a", [2])])
    assert box.take(hurry=True) is not None
    every, _ = outbox(0.0)
    for token in (1, 2, 3):
        every.add([Tokens("a", [token])])
        assert every.take(hurry=False) is not None


def test_a_windows_progress_is_told_at_once() -> None:
    box, clock = outbox()
    progress = WindowProgress("w", 1, 1, 1, 0)
    box.add([Tokens("a", [1])])
    box.take(hurry=False)
    clock.now += 0.005
    box.add([Tokens("a", [2]), progress])
    frame = box.take(hurry=False)
    assert frame is not None
    assert (frame.tokens, frame.progress) == ([], [progress])
    assert box.take(hurry=False) is None
    assert box.take(hurry=True) is not None
