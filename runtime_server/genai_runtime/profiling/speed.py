"""How much slower tokens come inside a window than just before it. Pure: who calls it brings the time.

Compared are steps that only decode and make equally many tokens, so that neither an idle server nor requests that come
and go look like a cost of the window. Contexts grow meanwhile, and decoding with them: just before the window, a step's
time is taken as a straight line over the positions in use.
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


class SpeedMeter:
    """One for an engine's thread; `step` is called after each step, window or not."""

    def __init__(self) -> None:
        self._older: dict[int, _Steps] = {}  # by how many tokens a step made
        self._recent: dict[int, _Steps] = {}
        self._inside: dict[int, _Steps] | None = None  # None: no window is open
        self._turned = 0.0
        self._last = 0.0
        self._tokens = 0
        self._prefills = 0
        self._was_busy = False

    def step(self, now: float, tokens: int, prefills: int, positions: int, *, busy: bool) -> None:
        """`tokens` made and `prefills` (any measure of prompts done) are counted since the start.

        `positions` of the KV cache are in use, or a constant where that is not known. `busy`: another step follows at
        once.
        """
        made = tokens - self._tokens
        if made > 0 and self._was_busy and prefills == self._prefills:
            steps = self._recent if self._inside is None else self._inside
            found = steps.get(made)
            if found is None:
                found = steps[made] = _Steps()
            found.add(positions, now - self._last)
        self._last, self._tokens, self._prefills, self._was_busy = now, tokens, prefills, busy
        if self._inside is None and now - self._turned >= _KEPT_SECONDS:
            self._older, self._recent, self._turned = self._recent, {}, now

    def begin(self) -> None:
        """A window opens."""
        self._inside = {}

    def end(self) -> float | None:
        """The window is closed: how much slower tokens came inside it, in percent; None where it cannot be said."""
        inside, self._inside = self._inside or {}, None
        expected = actual = 0.0
        tokens = tokens_before = 0
        for made, steps in inside.items():
            before = self._older.get(made, _NONE).plus(self._recent.get(made, _NONE))
            if before.count:
                expected += before.seconds_of(steps)
                actual += steps.y
                tokens += made * steps.count
                tokens_before += made * before.count
        if min(tokens, tokens_before) < LEAST_TOKENS or actual <= 0:
            return None
        return 100 * (1 - expected / actual)


_NONE = _Steps()
