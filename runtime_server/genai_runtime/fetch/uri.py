"""The URIs that a model can be fetched from, taken apart. `builtin`, `pvc` and `configmap` are mounted, not fetched.

What is done with the parts is the sources' business; the operator has refused most of what is wrong here before.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from genai_runtime.errors import InvalidSettings

_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]*"
_PATH = rf"{_SEGMENT}(?:/{_SEGMENT})*"
_HUB = re.compile(
    r"hf://(?P<repository>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})"
    rf"(?:@(?P<revision>[A-Za-z0-9][\w./+-]{{0,127}}))?(?:\?path=(?P<path>{_PATH}))?",
    re.ASCII,
)
_BUCKET = re.compile(rf"(?P<scheme>s3|gs)://(?P<bucket>[a-z0-9][a-z0-9._-]{{1,61}}[a-z0-9])(?:/(?P<prefix>{_PATH}))?/?")
_ARCHIVE = re.compile(rf"https://(?P<host>[A-Za-z0-9.-]+(?::\d{{1,5}})?)/(?P<path>{_PATH})")
_KINDS = {".tar": "tar", ".tar.gz": "tar", ".tgz": "tar", ".zip": "zip"}
_ARTIFACT = re.compile(
    r"oci://(?P<registry>[A-Za-z0-9.-]+(?::\d{1,5})?)/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>\w[\w.-]{0,127}))?",
    re.ASCII,
)
_FORMS = (
    "it is hf://ORG/REPO[@REVISION][?path=FOLDER], s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, https://HOST/PATH.tar "
    "(.tar.gz, .tgz, .zip) or oci://REGISTRY/REPOSITORY[:TAG|@sha256:DIGEST]"
)
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A folder of a model repository of the Hugging Face hub; `path` is empty for all of it."""

    repository: str
    revision: str
    path: str


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """The objects below a prefix, which has no outer slashes. `scheme`: s3 or gs."""

    scheme: str
    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class ArchivePlace:
    """One archive of a web server. `kind`: tar or zip."""

    host: str
    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class ArtifactPlace:
    """An artifact or image of a registry. `reference`: a tag or a digest."""

    registry: str
    repository: str
    reference: str


Place = HubPlace | BucketPlace | ArchivePlace | ArtifactPlace


def parse_uri(uri: str) -> Place:
    """What a URI names. Raises `InvalidSettings`."""
    if len(uri) <= _LONGEST:
        if found := _HUB.fullmatch(uri):
            return HubPlace(found["repository"], found["revision"] or "main", found["path"] or "")
        if found := _BUCKET.fullmatch(uri):
            return BucketPlace(found["scheme"], found["bucket"], found["prefix"] or "")
        if found := _ARTIFACT.fullmatch(uri):
            return ArtifactPlace(found["registry"], found["repository"], found["digest"] or found["tag"] or "latest")
        found = _ARCHIVE.fullmatch(uri)
        kind = next((kind for ending, kind in _KINDS.items() if uri.endswith(ending)), None)
        if found and kind:
            return ArchivePlace(found["host"], found["path"], kind)
    raise InvalidSettings(f"--uri {uri[:_LONGEST]!r} is nothing that can be fetched; {_FORMS}")


def parse_endpoint(endpoint: str) -> str:
    """`endpoint` without a closing slash; empty stays empty. Raises `InvalidSettings`."""
    if not endpoint:
        return ""
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and endpoint.isprintable()
    except ValueError:
        usable = None
    if not usable:
        raise InvalidSettings("--endpoint is not http://HOST:PORT or https://HOST:PORT")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidSettings("--endpoint may hold no credentials and no query; credentials are files of --secret-dir")
    return endpoint.rstrip("/")
