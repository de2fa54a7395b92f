"""How much slower tokens come inside a window than without it. Pure: who calls it brings the time.

What captured runs took is compared with what they would have taken like the steps that the window skipped, or, where it
skipped too few, like those just before it. Compared are steps that only decode and make equally many tokens, so that
neither an idle server nor requests that come and go look like a cost of the window. Contexts grow meanwhile, and
decoding with them: a step's time is taken as a straight line over the positions in use.
"""

from dataclasses import dataclass

# Steps of this long are forgotten when twice as much has passed: what counts is just before the window.
_KEPT_SECONDS = 5.0
# Fewer tokens than this, on either side, say nothing.
LEAST_TOKENS = 64


@dataclass(slots=True)
class _Steps:
    """Sums over steps that made equally many tokens: `x` are positions of the KV cache in use, `y` seconds."""

    count: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        """One step more."""
        self.count += 1
        self.x += x
        self.y += y
        self.xx += x * x
        self.xy += x * y

    def plus(self, other: "_Steps") -> "_Steps":
        """Both together."""
        return _Steps(
            self.count + other.count, self.x + other.x, self.y + other.y, self.xx + other.xx, self.xy + other.xy
        )

    def seconds_of(self, others: "_Steps") -> float:
        """What the others would have taken at the speed of these.

        More positions are never faster, and slower in proportion at most: few steps cannot mislead by much.
        """
        spread = self.count * self.xx - self.x * self.x
        slope = (self.count * self.xy - self.x * self.y) / spread if spread > 0 else 0.0
        slope = min(max(slope, 0.0), self.y / self.x if self.x > 0 else 0.0)
        return others.count * (self.y - slope * self.x) / self.count + slope * others.x


Sorted = dict[int, _Steps]
"""By how many tokens a step made."""


class SpeedMeter:
    """One for an engine's thread; `step` is called after each step, window or not."""

    def __init__(self) -> None:
        self._older: Sorted = {}
        self._recent: Sorted = {}
        self._captured: Sorted = {}  # of the open window
        self._skipped: Sorted = {}
        self._open = False
        self._turned = 0.0
        self._last = 0.0
        self._tokens = 0
        self._prefills = 0
        self._was_busy = False

    def step(self, now: float, tokens: int, prefills: int, positions: int, *, captured: bool, busy: bool) -> None:
        """`tokens` made and `prefills` (any measure of prompts done) are counted since the start.

        `positions` of the KV cache are in use, or a constant where that is not known. `captured`: a run of the step
        was; `busy`: another step follows at once.
        """
        made = tokens - self._tokens
        if made > 0 and self._was_busy and prefills == self._prefills:
            steps = self._captured if captured else self._skipped if self._open else self._recent
            found = steps.get(made)
            if found is None:
                found = steps[made] = _Steps()
            found.add(positions, now - self._last)
        self._last, self._tokens, self._prefills, self._was_busy = now, tokens, prefills, busy
        if not self._open and now - self._turned >= _KEPT_SECONDS:
            self._older, self._recent, self._turned = self._recent, {}, now

    def begin(self) -> None:
        """A window opens."""
        self._captured, self._skipped, self._open = {}, {}, True

    def end(self) -> float | None:
        """The window is closed: how much slower tokens came inside it, in percent; None where it cannot be said."""
        self._open = False
        found = _slower(self._captured, self._skipped, self._skipped)
        if found is None:
            before = {made: self._before(made) for made in self._captured}
            found = _slower(self._captured, self._skipped, before)
        self._captured, self._skipped = {}, {}
        return found

    def _before(self, made: int) -> _Steps:
        return self._older.get(made, _NONE).plus(self._recent.get(made, _NONE))


def _slower(captured: Sorted, skipped: Sorted, others: Sorted) -> float | None:
    """The captured steps against the `others`, as a part of the time of all steps of the window."""
    extra = seconds = 0.0
    tokens = tokens_of_others = 0
    for made, steps in captured.items():
        like = others.get(made, _NONE)
        if like.count:
            extra += steps.y - like.seconds_of(steps)
            seconds += steps.y + skipped.get(made, _NONE).y
            tokens += made * (steps.count + skipped.get(made, _NONE).count)
            tokens_of_others += made * like.count
    if min(tokens, tokens_of_others) < LEAST_TOKENS or seconds <= 0:
        return None
    return 100 * extra / seconds


_NONE = _Steps()
