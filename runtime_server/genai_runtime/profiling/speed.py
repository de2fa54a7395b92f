"""How much slower tokens come inside a window than just before it. Pure: who calls it brings the time.

Compared are steps that only decode and make equally many tokens, so that neither an idle server nor requests that come
and go look like a cost of the window.
"""

# Steps of this long are forgotten when twice as much has passed: what counts is just before the window.
_KEPT_SECONDS = 5.0
# Fewer tokens than this, on either side, say nothing.
LEAST_TOKENS = 64

Steps = dict[int, tuple[float, int]]
"""By how many tokens a step made: seconds of all such steps, and how many there were."""


class SpeedMeter:
    """One for an engine's thread; `step` is called after each step, window or not."""

    def __init__(self) -> None:
        self._older: Steps = {}
        self._recent: Steps = {}
        self._inside: Steps | None = None  # None: no window is open
        self._turned = 0.0
        self._last = 0.0
        self._tokens = 0
        self._prefills = 0
        self._was_busy = False

    def step(self, now: float, tokens: int, prefills: int, *, busy: bool) -> None:
        """`tokens` made and `prefills` (any measure of prompts done) are counted since the start.

        `busy`: another step follows at once.
        """
        made = tokens - self._tokens
        if made > 0 and self._was_busy and prefills == self._prefills:
            steps = self._recent if self._inside is None else self._inside
            seconds, count = steps.get(made, (0.0, 0))
            steps[made] = seconds + now - self._last, count + 1
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
        for made, (seconds, steps) in inside.items():
            before, steps_before = self._before(made)
            if steps_before:
                expected += before / steps_before * steps
                actual += seconds
                tokens += made * steps
                tokens_before += made * steps_before
        if min(tokens, tokens_before) < LEAST_TOKENS or actual <= 0:
            return None
        return 100 * (1 - expected / actual)

    def _before(self, made: int) -> tuple[float, int]:
        older, recent = self._older.get(made, (0.0, 0)), self._recent.get(made, (0.0, 0))
        return older[0] + recent[0], older[1] + recent[1]
