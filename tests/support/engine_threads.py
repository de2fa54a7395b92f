"""Runs inside a model pod, with nothing but Python: the engine process's threads, and their CPU time after requests.

Prints one JSON object: `threads`, how many there are; `waiting`, the CPU time in nanoseconds that those beside the
main one took in a few short requests and while they waited afterwards. usage: python -c THIS URL
"""

import json
import sys
import time
import urllib.request
from pathlib import Path

REQUESTS = 5


def engine() -> Path:
    """The engine process."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"genai_runtime.engine.worker" in (folder / "cmdline").read_bytes():
                return folder
        except OSError:
            continue  # it has just ended
    raise SystemExit("there is no engine process")


def waiting(process: Path) -> int:
    """CPU time of all threads but the main one."""
    tasks = [task for task in (process / "task").iterdir() if task.name != process.name]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def asleep(process: Path) -> bool:
    """Whether no thread uses a CPU."""
    stats = [(task / "stat").read_text() for task in (process / "task").iterdir()]
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in stats)


def settle(process: Path) -> None:
    """Wait until they sleep, several looks in a row."""
    looks = 0
    while looks < 3:
        looks = looks + 1 if asleep(process) else 0
        time.sleep(0.02)


def ask(url: str) -> None:
    """One token."""
    body = json.dumps({"model": "", "prompt": "Hello", "max_tokens": 1}).encode()
    request = urllib.request.Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        answer.read()


if __name__ == "__main__":
    found = engine()
    settle(found)
    before = waiting(found)
    for _ in range(REQUESTS):
        ask(sys.argv[1])
        settle(found)
    print(json.dumps({"threads": len(list((found / "task").iterdir())), "waiting": waiting(found) - before}))
