"""HTTP as sources need it: bytes from an offset on, few redirects, proxies of the environment, and failures told apart.

What a URL means is the sources' business. No URL that a server redirects to is ever shown: it may be signed.
"""

import logging
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from genai_runtime.errors import ModelUnusable
from genai_runtime.fetch.access import AUTHORITY, Access
from genai_runtime.fetch.errors import Passing, SourceChanged, not_found, unauthorized, unavailable
from genai_runtime.fetch.source import CHUNK_BYTES, Body

_TIMEOUT = httpx2.Timeout(60.0, connect=15.0)
_MAX_REDIRECTS = 5
_MAX_DOCUMENT = 16 << 20
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_MISSING = (404, 410)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
for _name in ("httpx2", "httpcore2"):  # they log every URL
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Words:
    """What messages call the source, and what a person does who may not read it."""

    source: str
    remedy: str


class Web:
    """Requests of one source."""

    def __init__(self, access: Access, words: Words) -> None:
        """Raises `InvalidSettings`."""
        self._words = words
        self._trust = access.trust()
        self._client = self._new_client()

    @contextmanager
    def get(
        self, url: str, headers: Mapping[str, str], accepted: tuple[int, ...] = (200,)
    ) -> Iterator[httpx2.Response]:
        """The answer, before its body is read. Raises `Passing` or `ModelUnusable` for every other status."""
        try:
            request = self._client.build_request("GET", url, headers={"Accept-Encoding": "identity", **headers})
            response = self._follow(request)
            try:
                if response.status_code not in accepted:
                    raise self.refusal(response)
                yield response
            finally:
                response.close()
        except httpx2.InvalidURL:
            raise unavailable(f"{self._words.source}: the URI or the endpoint makes no URL; correct it") from None
        except httpx2.HTTPError as error:
            raise self.failure(error) from None

    def document(self, url: str, headers: Mapping[str, str]) -> httpx2.Response:
        """A small answer with its body."""
        with self.get(url, headers) as response:
            content = bytearray()
            for chunk in response.iter_bytes(CHUNK_BYTES):
                content += chunk
                if len(content) > _MAX_DOCUMENT:
                    raise unavailable(f"{self._words.source}: the server's answer is longer than {_MAX_DOCUMENT} bytes")
            return httpx2.Response(200, headers=response.headers, content=bytes(content))

    @contextmanager
    def read(self, url: str, offset: int, headers: Mapping[str, str], version: str = "") -> Iterator[Body]:
        """Bytes from `offset` on; with `version`, an entity tag or a date, only those of that version."""
        asked = dict(headers)
        if offset:
            asked["Range"] = f"bytes={offset}-"
            if version:
                asked["If-Range"] = version
        with self.get(url, asked, accepted=(200, 206, 416)) as response:
            if response.status_code == 416:
                raise SourceChanged("the server has fewer bytes than it had")
            start = 0
            if response.status_code == 206:
                found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
                if found is None or int(found[1]) != offset:
                    raise unavailable(f"{self._words.source}: the server answers with other bytes than were asked for")
                start = offset
            yield Body(start, response.iter_raw())

    def refusal(self, response: httpx2.Response) -> Exception:
        """What a status means that is no answer."""
        status, source = response.status_code, self._words.source
        if status in (401, 403):
            return unauthorized(f"{source}: the server answers {status}; {self._words.remedy}")
        if status == 407:
            return unauthorized(f"{source}: the proxy wants credentials; put them into HTTPS_PROXY")
        if status in _MISSING:
            return not_found(f"{source}: the server has no such thing ({status}); correct the URI")
        if status in _PASSING:
            wait = response.headers.get("Retry-After", "")
            return Passing(f"the server answers {status}", float(wait) if wait.isdecimal() else 0.0)
        return unavailable(f"{source}: the server answers {status}; is it the right endpoint?")

    def following_client(self) -> httpx2.Client:
        """A client for a library that follows redirects by itself, which has to close it."""
        client = self._new_client(follow_redirects=True, max_redirects=_MAX_REDIRECTS)
        client.event_hooks = {"response": [self._check_redirect]}
        return client

    def close(self) -> None:
        """End its connections; those of clients that libraries have stay theirs."""
        self._client.close()

    def _new_client(self, **more: Any) -> httpx2.Client:
        headers = {"User-Agent": "genai-runtime"}
        return httpx2.Client(verify=self._trust, timeout=_TIMEOUT, headers=headers, **more)

    def _follow(self, request: httpx2.Request) -> httpx2.Response:
        """Credentials stay with the server that they are for: the client drops them when it is another one."""
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._client.send(request, stream=True, follow_redirects=False)
            if response.next_request is None:
                return response
            response.close()
            self._check_redirect(response)
            request = response.next_request
        raise unavailable(f"{self._words.source}: the server redirects more than {_MAX_REDIRECTS} times")

    def _check_redirect(self, response: httpx2.Response) -> None:
        """Never from https to something else. What the client cannot follow at all is an error of its own."""
        schemes = {response.request.url.scheme, "https"}
        location = response.headers.get("Location", "") if response.is_redirect else ""
        if location and response.request.url.join(location).scheme not in schemes:
            raise unavailable(f"{self._words.source}: the server redirects from https to something else; not followed")

    def failure(self, error: httpx2.HTTPError) -> ModelUnusable | Passing:
        """What it means that a request got no answer."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return unavailable(
                    f"{self._words.source}: the server's certificate is not trusted ({cause.verify_message}); put its "
                    f"authority into the key {AUTHORITY} of the Secret"
                )
            cause = cause.__cause__ or cause.__context__
        return Passing(f"the server cannot be reached ({type(error).__name__})")
