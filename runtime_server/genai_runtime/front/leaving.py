"""The sockets of ports that a server leaves: nobody connects any more, while who is connected is still served.

gRPC can only stop at once: it refuses calls from the moment on when it tells clients to go, and those that were on
their way are lost. So connections end by their age (`listeners.py`), and the port is closed here, below the library.
When a server leaves is `server.py`'s.
"""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

# gRPC's own: a connection's age is up to a tenth more or less.
_JITTER = 1.1
# For farewells to go out and be answered, on a machine that is busy: seconds, and a share of the drain.
_FAREWELL_SECONDS, _FAREWELL_SHARE = 1.0, 0.1
_LOOK_SECONDS = 0.1
# More often than that nobody is asked to connect anew.
_SHORTEST_SECONDS = 1.0


def connection_age(longest: float, drain: float) -> float:
    """Seconds after which a connection gets no new calls, 0: never; most of the drain is for running requests."""
    age = min(longest, drain / 3)
    return age if age >= _SHORTEST_SECONDS else 0.0


def seconds_to_leave(age: float, drain: float) -> float:
    """When the last connection of that age has been told, and nothing is on its way any more."""
    return age * _JITTER + max(_FAREWELL_SECONDS, drain * _FAREWELL_SHARE)


def stop_listening(port: int) -> None:
    """New connections are refused. The library's descriptor stays valid: it becomes a socket that nobody reaches."""
    with socket.socket() as deaf:
        for descriptor, found in _sockets({port}):
            if _listens(found):
                os.dup2(deaf.fileno(), descriptor, inheritable=False)


def connections(ports: set[int]) -> int:
    """How many there are to this process."""
    return sum(not _listens(found) for _, found in _sockets(ports))


async def nobody_connected(ports: set[int]) -> None:
    """Wait for it."""
    while connections(ports):  # noqa: ASYNC110 - nothing tells when the last connection ends
        await asyncio.sleep(_LOOK_SECONDS)


def _listens(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _sockets(ports: set[int]) -> Iterator[tuple[int, socket.socket]]:
    """This process's TCP sockets on these ports: the descriptor, and a copy of it that lasts until the next one."""
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if not stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                continue
            copy = os.dup(int(entry.name))
        except OSError:  # closed meanwhile
            continue
        with socket.socket(fileno=copy) as found:
            if found.family in (socket.AF_INET, socket.AF_INET6) and found.getsockname()[1] in ports:
                yield int(entry.name), found
