"""Who may pull from a registry: the credential of a .dockerconfigjson, turned into what each request carries.

A registry says by its first refusal whether it takes the credential itself (Basic) or a token that another server
gives for it (Bearer).
"""

import base64
import binascii
import json
import re
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from genai_runtime.errors import InvalidSettings
from genai_runtime.fetch.access import DOCKER_CONFIG, Access
from genai_runtime.fetch.errors import unavailable
from genai_runtime.fetch.web import Web

_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=:-]+")
# Tokens hold for a minute where nothing else is said.
_TOKEN_SECONDS = 45.0
_CHALLENGE_STATUSES = (200, 401)


class RegistryAccess:
    """For one repository of the registry at `root`, a URL."""

    def __init__(self, root: str, registry: str, repository: str, access: Access, web: Web) -> None:
        """Raises `InvalidSettings`."""
        self._root = root
        self._repository = repository
        self._web = web
        self._basic = _basic(access.secret(DOCKER_CONFIG), registry, access.endpoint)
        self._challenge: tuple[str, dict[str, str]] | None = None
        self._token = ""
        self._token_from = 0.0

    def headers(self) -> dict[str, str]:
        """What the next request carries. Raises `Passing` or `ModelUnusable`."""
        if self._challenge is None:
            self._challenge = self._ask()
        scheme, parameters = self._challenge
        if scheme == "bearer":
            if not self._token or time.monotonic() - self._token_from > _TOKEN_SECONDS:
                self._token, self._token_from = self._new_token(parameters), time.monotonic()
            return {"Authorization": f"Bearer {self._token}"}
        # Some registries ask for nothing at their root and refuse strangers further down.
        return {"Authorization": f"Basic {self._basic}"} if scheme in ("basic", "") and self._basic else {}

    def _ask(self) -> tuple[str, dict[str, str]]:
        with self._web.get(f"{self._root}/v2/", {}, accepted=_CHALLENGE_STATUSES) as response:
            challenge = str(response.headers.get("WWW-Authenticate", "")) if response.status_code == 401 else ""
        scheme, _, rest = challenge.partition(" ")
        return scheme.lower(), dict(_PARAMETER.findall(rest))

    def _new_token(self, parameters: dict[str, str]) -> str:
        realm = parameters.get("realm", "")
        schemes = ("https", urlsplit(self._root).scheme)
        if urlsplit(realm).scheme not in schemes:
            raise unavailable(f"{self._root}: the registry names no https server that gives tokens")
        query = {"scope": f"repository:{self._repository}:pull"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        headers = {"Authorization": f"Basic {self._basic}"} if self._basic else {}
        response = self._web.document(f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}", headers)
        try:
            found = json.loads(response.content)
            token = str(found.get("token") or found["access_token"])
        except (ValueError, KeyError, TypeError, AttributeError):
            token = ""
        if not _TOKEN.fullmatch(token):
            raise unavailable(f"{self._root}: the server that should give a token gives none")
        return token


def _basic(config: str, registry: str, endpoint: str) -> str:
    """Base64 of USER:PASSWORD; empty where the config has none for this registry. Raises `InvalidSettings`."""
    if not config:
        return ""
    try:
        entries = json.loads(config)["auths"]
        hosts = {_host(str(name)): entry for name, entry in entries.items() if isinstance(entry, dict)}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidSettings(f'the key {DOCKER_CONFIG} of the Secret is no JSON object with "auths"') from None
    names = [*([urlsplit(endpoint).netloc] if endpoint else []), registry]
    names += _DOCKER_HUB if registry in _DOCKER_HUB else ()
    entry = next((hosts[name] for name in names if name in hosts), None)
    return "" if entry is None else _credential(entry, registry)


def _credential(entry: dict[str, Any], registry: str) -> str:
    if entry.get("username") and entry.get("password"):
        return base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()
    try:
        decoded = base64.b64decode(str(entry.get("auth", "")), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if b":" not in decoded:
        raise InvalidSettings(
            f"the key {DOCKER_CONFIG} of the Secret has neither a user with a password nor auth for {registry}; make "
            "it with `kubectl create secret docker-registry`"
        )
    return base64.b64encode(decoded).decode()


def _host(name: str) -> str:
    """Docker's own entry is a URL."""
    return name.removeprefix("https://").removeprefix("http://").partition("/")[0]
