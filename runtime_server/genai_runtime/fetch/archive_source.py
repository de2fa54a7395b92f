"""`https://`: one archive of a web server, resumed where the server says what it has. Unpacking is `unpack.py`'s."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from genai_runtime.fetch.access import TOKEN, Access
from genai_runtime.fetch.source import Body, Listing, RemoteFile
from genai_runtime.fetch.uri import ArchivePlace
from genai_runtime.fetch.web import Web, Words

_REMEDY = "put a token that may read it into the key token of spec.model.secretName"


class ArchiveSource:
    """See `Source`."""

    def __init__(self, place: ArchivePlace, uri: str, access: Access) -> None:
        self._url = f"{access.endpoint or f'https://{place.host}'}/{place.path}"
        self._kind = place.kind
        self._name = place.path.rpartition("/")[2]
        self._web = Web(access, Words(uri, _REMEDY))
        token = access.secret(TOKEN)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def listing(self) -> Listing:
        """The archive with its size and version, without its bytes: servers that sign URLs refuse HEAD."""
        with self._web.get(self._url, self._headers) as response:
            length = response.headers.get("Content-Length", "")
            size = int(length) if length.isdecimal() else None
            file = RemoteFile(self._name, size, _version(response), archive=self._kind)
        return Listing(file.version, (file,))

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[Body]:
        """See `Source`."""
        with self._web.read(self._url, offset, self._headers, file.version) as body:
            yield body

    def close(self) -> None:
        """See `Source`."""
        self._web.close()


def _version(response: httpx2.Response) -> str:
    """What If-Range takes: a strong entity tag, or a date."""
    tag = str(response.headers.get("ETag", ""))
    return tag if tag.startswith('"') else str(response.headers.get("Last-Modified", ""))
