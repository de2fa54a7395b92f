"""When a pod that does not answer is asked again, as numbers and as words. Waiting is `services.live_options`'s."""

FIRST_SECONDS = 0.5
LAST_SECONDS = 30.0
# A pod that was silent for this long is left to the slow pace; a new container, or other options, begin anew.
PATIENCE_SECONDS = 600.0
SLOW_SECONDS = 300.0

WORDS = (
    f"asked again about every {LAST_SECONDS:.0f} s for {PATIENCE_SECONDS / 60:.0f} minutes, "
    f"then about every {SLOW_SECONDS / 60:.0f} minutes"
)


def retry_after(failures: int, silent_seconds: float, jitter: float) -> float:
    """Seconds until a pod is asked again after so many failures in a row; `jitter` in [0, 1) moves it by a quarter."""
    delay = SLOW_SECONDS
    if silent_seconds < PATIENCE_SECONDS:
        delay = min(FIRST_SECONDS * 2.0 ** min(failures - 1, 32), LAST_SECONDS)
    return delay * (0.75 + 0.5 * jitter)
