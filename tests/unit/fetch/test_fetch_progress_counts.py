"""How far a fetch is, and how long it takes yet."""

from genai_runtime.fetch.progress import Phase, Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_rest_is_told_by_the_rate_of_the_last_half_minute() -> None:
    clock = Clock()
    progress = Progress(clock)
    assert progress.snapshot().phase is Phase.RESOLVING
    progress.enter(Phase.FETCHING, 1000, 2)
    assert progress.snapshot().remaining_seconds == 0.0  # not known
    for _ in range(10):
        clock.now += 1
        progress.add(10)
    assert progress.snapshot().remaining_seconds == 90.0
    for _ in range(60):
        clock.now += 1
        progress.add(1)
    rest = progress.snapshot()
    assert rest.fetched_bytes == 160
    assert 800.0 < rest.remaining_seconds < 850.0
    progress.add_file()
    assert progress.snapshot().fetched_files == 1


def test_what_an_earlier_run_had_fetched_is_no_speed() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.enter(Phase.FETCHING, 1000, 1)
    progress.found(900)
    clock.now += 10
    progress.add(10)
    assert progress.snapshot().fetched_bytes == 910
    assert progress.snapshot().remaining_seconds == 90.0


def test_bytes_that_come_again_are_counted_once() -> None:
    progress = Progress(Clock())
    progress.enter(Phase.FETCHING, 1000, 1)
    progress.add(500)
    progress.add(-500)
    assert progress.snapshot().fetched_bytes == 0
    assert progress.snapshot().remaining_seconds == 0.0
    progress.failed("Unauthorized", "why")
    ended = progress.snapshot()
    assert (ended.phase, ended.reason, ended.message, ended.total_bytes) == (Phase.FAILED, "Unauthorized", "why", 1000)
