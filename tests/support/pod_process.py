"""A container's first process as this machine sees it, to stop it from outside; only where the cluster's nodes run."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.live_cluster import Object


def first_process(pod: Object) -> int | None:
    """The process id, here, of the first process in the pod's first container; None when it runs on another machine."""
    container = str(pod["status"]["containerStatuses"][0]["containerID"]).rpartition("/")[2]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if container not in (folder / "cgroup").read_text():
                continue
            status = (folder / "status").read_text()
        except OSError:
            continue  # it has just ended
        (inside,) = (line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
        if inside[-1] == "1":
            return int(folder.name)
    return None


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """The process does nothing meanwhile, and its connections stay open: nobody is refused, and nobody is answered."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)
