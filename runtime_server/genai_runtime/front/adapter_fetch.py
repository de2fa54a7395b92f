"""One LoRA adapter fetched by a process of its own, into the pod's cache; what that does is `cli/fetch_adapter.py`'s.

Which are fetched, and when, is `adapter_fetches.py`'s.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from genai_runtime.settings import Settings

_SECRET = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class AdapterSource:
    """Where an adapter is fetched from. `path` inside what comes, empty: the only adapter there; `max_bytes` 0: any."""

    uri: str
    path: str = ""
    sha256: str = ""
    endpoint: str = ""
    region: str = ""
    secret_name: str = ""
    max_bytes: int = 0

    def fault(self) -> str:
        """What of it cannot be used as part of a path; empty if nothing."""
        named = self.secret_name
        return "its secret_name is no name of a Secret" if named and not _SECRET.fullmatch(named) else ""


@dataclass(frozen=True, slots=True)
class AdapterCache:
    """What fetches have. `total_bytes` of all adapters together, 0: none may be fetched."""

    folder: Path = Path()
    total_bytes: int = 0
    credentials: Path = Path()
    proxies: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What a server is told about it."""
        proxies = {str(name): value for name, value in settings.adapter_proxies.items()}
        return cls(settings.adapter_cache_dir, settings.adapter_cache_bytes, settings.adapter_credentials_dir, proxies)


NO_CACHE = AdapterCache()


@dataclass(frozen=True, slots=True)
class Found:
    """A fetched folder."""

    folder: Path
    bytes: int


class FetchFailed(Exception):
    """There is no such adapter, or not now; `reason` is one of docs/status.md."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def fetch_adapter(source: AdapterSource, cache: AdapterCache, held: int) -> Found:
    """Fetch it, beside others of `held` bytes. Raises `FetchFailed`. Cancelling ends the process."""
    if not cache.total_bytes:
        why = "this pod was made without room for adapters that are fetched; one that has it replaces it"
        raise FetchFailed("StorageFull", why)
    left = cache.total_bytes - held
    if left <= 0:
        why = f"the other adapters take all of the {cache.total_bytes} bytes that a pod has for them; remove one"
        raise FetchFailed("StorageFull", why)
    asked = {
        "cache": str(cache.folder),
        "uri": source.uri,
        "path": source.path,
        "sha256": source.sha256,
        "endpoint": source.endpoint,
        "region": source.region,
        "secret_dir": str(cache.credentials / source.secret_name) if source.secret_name else "",
        "max_bytes": min(source.max_bytes or left, left),
    }
    try:
        said = await _run(asked, cache.proxies)
    finally:
        await asyncio.to_thread(shutil.rmtree, cache.folder / "partial", True)
    if "reason" in said:
        capped = said["reason"] == "ModelTooLarge" and not 0 < source.max_bytes <= left
        more = f" (a pod has {cache.total_bytes} bytes for all adapters together)" if capped else ""
        raise FetchFailed(str(said["reason"]), f"{said['message']}{more}")
    return Found(Path(str(said["folder"])), int(str(said["bytes"])))


async def _run(asked: Mapping[str, object], proxies: Mapping[str, str]) -> dict[str, object]:
    """What the fetching process said."""
    command = [sys.executable, "-m", "genai_runtime.cli.fetch_adapter", json.dumps(asked)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env={**os.environ, **proxies}
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    with contextlib.suppress(ValueError, AttributeError):
        said: dict[str, object] = json.loads(output)
        if {"folder", "bytes"} <= said.keys() or {"reason", "message"} <= said.keys():
            return said
    raise FetchFailed("SourceUnavailable", f"fetching ended with status {process.returncode}, and said nothing")
