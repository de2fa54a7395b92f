"""How many tokens of a joining prompt one run reads where nobody said: what this machine reads in a moment.

The running streams wait for such a run, and a machine that is half as fast would hold them up for twice as long.
"""

import time
from collections.abc import Callable

# The largest of these that fits; the first, where no stream waits. A shorter run than the last costs more in weights
# read than it spares the others: 24 tokens at a time take an eighth longer than 64.
CHOICES = (64, 48, 32, 24)
# With the decode run after it, a long context and the tokens' way to their clients, a stream stays under 65 ms.
MOST_SECONDS = 0.033
_RUNS = 3


def fitting_chunk(prefill: Callable[[int], None], clock: Callable[[], float] = time.perf_counter) -> int:
    """Tokens of a run. `prefill` computes so many; a size's first run is not counted, for it allocates.

    The fastest of some runs decides: others on the machine make a run slower, and nothing makes it faster.
    """
    for count in CHOICES[:-1]:
        prefill(count)
        if min(_seconds(prefill, count, clock) for _ in range(_RUNS)) <= MOST_SECONDS:
            return count
    return CHOICES[-1]


def _seconds(prefill: Callable[[int], None], count: int, clock: Callable[[], float]) -> float:
    began = clock()
    prefill(count)
    return clock() - began
