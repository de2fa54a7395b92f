"""Whom a source is asked as, and how its server is known: credentials from a folder, the endpoint, trusted authorities.

Nothing here is ever written to a log: the fields that hold secrets are not shown.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from genai_runtime.authorities import public_authorities
from genai_runtime.errors import InvalidSettings

TOKEN = "token"
AUTHORITY = "ca.crt"
GOOGLE_KEY = "GOOGLE_SERVICE_ACCOUNT_JSON"
AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
DOCKER_CONFIG = ".dockerconfigjson"
_KNOWN = (TOKEN, AUTHORITY, GOOGLE_KEY, *AWS_KEYS, DOCKER_CONFIG)
_MAX_BYTES = 1 << 20  # of a Secret


@dataclass(frozen=True, slots=True)
class Access:
    """`endpoint` replaces the source's usual server, empty: that one. `secrets`: by the Secret's key, never empty."""

    endpoint: str = ""
    region: str = ""
    secrets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def secret(self, key: str) -> str:
        """Empty where there is none."""
        return self.secrets.get(key, "")

    def trust(self) -> ssl.SSLContext:
        """The public authorities and the Secret's own. Raises `InvalidSettings`."""
        context = ssl.create_default_context()
        public = public_authorities()
        if public is not None:
            context.load_verify_locations(public)
        if authority := self.secret(AUTHORITY):
            try:
                context.load_verify_locations(cadata=authority)
            except ssl.SSLError as error:
                raise InvalidSettings(f"the key {AUTHORITY} of the Secret is no PEM certificate: {error}") from None
        return context


def read_secrets(folder: Path | None) -> Mapping[str, str]:
    """The keys that sources know, of a mounted Secret. Raises `InvalidSettings`, without any content."""
    if folder is None:
        return MappingProxyType({})
    if not folder.is_dir():
        raise InvalidSettings(f"--secret-dir {folder} is no folder; mount the Secret of spec.model.secretName there")
    found = {name: text for name in _KNOWN if (text := _read(folder / name))}
    if not found:
        raise InvalidSettings(f"the Secret has none of the keys that sources know: {', '.join(_KNOWN)}")
    return MappingProxyType(found)


def _read(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidSettings(f"the key {path.name} of the Secret is larger than {_MAX_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise InvalidSettings(f"the key {path.name} of the Secret is not text") from None
    except OSError as error:
        raise InvalidSettings(
            f"{path} cannot be read ({error.strerror}); let group {os.getgid()} read the Secret's files"
        ) from None
    if path.name == TOKEN and not (text.isascii() and text.isprintable() and " " not in text):
        raise InvalidSettings(f"the key {TOKEN} of the Secret is not one word of printable characters")
    return text
