"""gRPC reflection that knows methods: protobuf's own pool does not find them by name, and load generators ask for them.

Which services are shown is `listeners.py`'s.
"""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha import reflection


class _Symbols:
    """The generated files' pool, and a method as a symbol of its service's file."""

    def __init__(self) -> None:
        self._pool: Any = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802 - as the pool names it
        """Raises `KeyError` for what there is not."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file


def enable(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Show these services, and reflection itself."""
    reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], server, _Symbols())
