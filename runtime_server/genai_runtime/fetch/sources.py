"""Which source reads a URI, and what names it in the cache. Each is imported when it is needed: their libraries are
large.
"""

import hashlib
import json

from genai_runtime.errors import InvalidSettings
from genai_runtime.fetch.access import Access
from genai_runtime.fetch.source import Source
from genai_runtime.fetch.uri import ArchivePlace, BucketPlace, HubPlace, Place, parse_uri


def source_of(uri: str, access: Access, *, all_files: bool = False) -> Source:
    """Nothing is asked yet. `all_files`: see `HubSource`. Raises `InvalidSettings`."""
    try:
        return _source_at(parse_uri(uri), uri, access, all_files=all_files)
    except ImportError as error:
        raise InvalidSettings(f"fetching {uri} needs {error.name}: install genai-operator[runtime,fetch]") from error


def _source_at(place: Place, uri: str, access: Access, *, all_files: bool) -> Source:
    if isinstance(place, HubPlace):
        from genai_runtime.fetch.hub_source import HubSource

        return HubSource(place, uri, access, all_files=all_files)
    if isinstance(place, BucketPlace):
        from genai_runtime.fetch.bucket_source import BucketSource

        return BucketSource(place, uri, access)
    if isinstance(place, ArchivePlace):
        from genai_runtime.fetch.archive_source import ArchiveSource

        return ArchiveSource(place, uri, access)
    from genai_runtime.fetch.oci_source import ArtifactSource

    return ArtifactSource(place, uri, access)


def key_of(uri: str, access: Access, *, all_files: bool = False) -> str:
    """The same for the same source, whoever asks; credentials are no part of it."""
    named = json.dumps([uri, access.endpoint, access.region, all_files])
    return hashlib.sha256(named.encode()).hexdigest()[:32]
