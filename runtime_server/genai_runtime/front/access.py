"""Who calls the data ports: API keys from mounted files, and the name that a caller is counted under.

Health and metrics are open and do not come here. How a refusal looks in a protocol is the dialect's business.
"""

import hashlib
import hmac
import secrets
import time
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from genai_runtime.errors import InvalidSettings, Unauthenticated

_log = structlog.get_logger("genai_runtime.access")
# How old what is known of the files may be: a key that was taken away works this much longer.
_FRESH_SECONDS = 1.0
_LONGEST_KEY = 4096  # bytes
_MOST_KEYS = 10_000

Signature = tuple[tuple[str, int, int, int], ...]


class Access:
    """Keys as `kubectl create secret generic NAME --from-literal=CLIENT=KEY` mounts them: one file a client.

    Kept are hashes under a secret of this process, so that neither memory nor timing tells a key. Used from any thread.
    """

    def __init__(self, folder: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """No folder: everybody may call. Raises `InvalidSettings` when the folder's keys cannot be used."""
        self._folder = folder
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._names: dict[bytes, str] = {}
        self._signature: Signature = ()
        self._checked = clock()
        if folder is not None:
            try:
                self._signature = _signature(folder)
                self._names = self._read(folder)
            except (OSError, ValueError) as error:
                raise InvalidSettings(
                    f"the API keys in {folder} cannot be used: {error}; mount a Secret there with one key a file, "
                    "or leave GENAI_API_KEYS_DIR empty to let everybody call"
                ) from error

    @property
    def asks_for_keys(self) -> bool:
        """Whether callers are told apart by their keys."""
        return self._folder is not None

    def client_of(self, headers: Iterable[tuple[str | bytes, str | bytes]], peer: str) -> str:
        """Whose call this is: the key's name, or without keys the peer's address without its port.

        `headers` are HTTP headers or gRPC metadata; the key comes as `authorization: Bearer KEY` or `x-api-key: KEY`.
        Raises `Unauthenticated`.
        """
        if self._folder is None:
            return address_of(peer)
        self._refresh(self._folder)
        key = _key_of(headers)
        if not key:
            raise Unauthenticated("an API key is needed: send it as 'authorization: Bearer KEY' or as 'x-api-key: KEY'")
        name = self._names.get(self._hash(key))
        if name is None:
            raise Unauthenticated("this API key is not known here; it may have been taken away or mistyped")
        return name

    def _refresh(self, folder: Path) -> None:
        """Files that cannot be used leave the last good keys in force."""
        now = self._clock()
        if now - self._checked < _FRESH_SECONDS:
            return
        self._checked = now
        try:
            found = _signature(folder)
            if found == self._signature:
                return
            self._signature = found
            self._names = self._read(folder)
        except (OSError, ValueError) as error:
            _log.warning("the API keys cannot be used, the last ones are kept", reason=str(error))
        else:
            _log.info("API keys renewed", keys=len(self._names))

    def _read(self, folder: Path) -> dict[bytes, str]:
        names: dict[bytes, str] = {}
        for path in _files(folder):
            key = path.read_bytes().strip()
            if not key or len(key) > _LONGEST_KEY:
                raise ValueError(f"{path.name} must hold a key of 1 to {_LONGEST_KEY} bytes")
            digest = self._hash(key)
            if digest in names:
                raise ValueError(f"{names[digest]} and {path.name} hold the same key")
            names[digest] = path.name
        if not names:
            raise ValueError("there is no key")
        return names

    def _hash(self, key: bytes) -> bytes:
        return hmac.digest(self._secret, key, hashlib.sha256)


def address_of(peer: str) -> str:
    """The host of an address as gRPC writes it (`ipv4:1.2.3.4:5`, `ipv6:[::1]:5`, `unix:`), or of a bare one."""
    kind, found, rest = peer.partition(":")
    if kind == "unix":
        return "unix"
    if not found or kind not in ("ipv4", "ipv6"):
        return peer or "unknown"
    return urllib.parse.unquote(rest.rpartition(":")[0]).strip("[]")


def _key_of(headers: Iterable[tuple[str | bytes, str | bytes]]) -> bytes:
    """The first key that the headers carry; empty if they carry none."""
    for name, value in headers:
        lowered = (name if isinstance(name, bytes) else name.encode()).lower()
        text = value if isinstance(value, bytes) else value.encode()
        if lowered == b"x-api-key":
            return text.strip()
        if lowered == b"authorization":
            scheme, _, key = text.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                return key.strip()
    return b""


def _files(folder: Path) -> list[Path]:
    """Kubernetes keeps the real files in hidden folders beside the links to them."""
    found = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    if len(found) > _MOST_KEYS:
        raise ValueError(f"there are {len(found)} files; {_MOST_KEYS} keys are allowed")
    return found


def _signature(folder: Path) -> Signature:
    """Changes when a file does."""
    stats = ((path.name, path.stat()) for path in _files(folder))
    return tuple((name, stat.st_mtime_ns, stat.st_ino, stat.st_size) for name, stat in stats)
