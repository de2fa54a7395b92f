"""`oci://`: an artifact or image of a registry, over the distribution API. Who may pull is `oci_access.py`'s.

A layer with a title is a file of that name; another one is a tar archive, as images have them.
"""

import hashlib
import json
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from genai_runtime.fetch.access import DOCKER_CONFIG, Access
from genai_runtime.fetch.errors import checksum_mismatch, invalid, not_found, unavailable
from genai_runtime.fetch.oci_access import RegistryAccess
from genai_runtime.fetch.source import Body, Listing, RemoteFile
from genai_runtime.fetch.uri import ArtifactPlace
from genai_runtime.fetch.web import Web, Words

_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_TITLES = ("org.opencontainers.image.title", "org.cncf.model.filepath")
_UNPACK = "io.deis.oras.content.unpack"  # a folder that the client packed
_MODEL_TAR = re.compile(r"application/vnd\.cncf\.model\..*\.tar(\+gzip)?")
_TAR = re.compile(r".*[.+](tar|tar\.gzip|tar\+gzip|gzip)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LOCAL = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?")
_DOCKER_HUB = "docker.io"
_REMEDY = f"put a registry credential that may pull it into the key {DOCKER_CONFIG} of spec.model.secretName"


class ArtifactSource:
    """See `Source`."""

    def __init__(self, place: ArtifactPlace, uri: str, access: Access) -> None:
        """Raises `InvalidSettings`."""
        self._uri = uri
        self._reference = place.reference
        repository = place.repository
        if place.registry == _DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        root = access.endpoint or _server(place.registry)
        self._base = f"{root}/v2/{repository}"
        self._web = Web(access, Words(uri, _REMEDY))
        self._access = RegistryAccess(root, place.registry, repository, access, self._web)

    def listing(self) -> Listing:
        """The manifest's layers; of an index, those of the only manifest or of this machine's."""
        digest, manifest = self._manifest(self._reference)
        if manifest.get("mediaType") in _INDEXES or "manifests" in manifest:
            digest, manifest = self._manifest(self._chosen(manifest))
        layers = manifest.get("layers")
        if not isinstance(layers, list) or not layers:
            raise invalid(f"{self._uri}: its manifest has no layers; push the model's files as layers")
        return Listing(digest, tuple(self._file(number, each) for number, each in enumerate(layers)))

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[Body]:
        """See `Source`; a blob's digest is its name."""
        with self._web.read(f"{self._base}/blobs/{file.version}", offset, self._access.headers()) as body:
            yield body

    def close(self) -> None:
        """See `Source`."""
        self._web.close()

    def _manifest(self, reference: str) -> tuple[str, dict[str, Any]]:
        url = f"{self._base}/manifests/{reference}"
        headers = {"Accept": ", ".join((*_MANIFESTS, *_INDEXES))} | self._access.headers()
        response = self._web.document(url, headers)
        digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
        if _DIGEST.fullmatch(reference) and digest != reference:
            raise checksum_mismatch(
                f"{self._uri}: the registry gives another manifest than {reference}; it was changed"
            )
        try:
            manifest = json.loads(response.content)
        except (ValueError, RecursionError):
            manifest = None
        if not isinstance(manifest, dict):
            raise unavailable(f"{self._uri}: the server's manifest is no JSON object; is it a registry?")
        return digest, manifest

    def _chosen(self, index: dict[str, Any]) -> str:
        """A model is the same on every machine; of an image for several, this machine's is taken."""
        found = index.get("manifests")
        entries = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        images = [each for each in entries if (each.get("platform") or {}).get("architecture") != "unknown"]
        if len(images) > 1:
            images = [each for each in images if (each.get("platform") or {}).get("architecture") == _architecture()]
        if len(images) != 1 or not _DIGEST.fullmatch(str(images[0].get("digest"))):
            raise not_found(
                f"{self._uri} is an index with {len(entries)} manifests, and not just one is for {_architecture()}; "
                "name the manifest that is meant by its digest"
            )
        return str(images[0]["digest"])

    def _file(self, number: int, layer: Any) -> RemoteFile:
        try:
            digest, size, media = str(layer["digest"]), int(layer["size"]), str(layer.get("mediaType", ""))
            annotations = layer.get("annotations") or {}
            title = next((str(annotations[each]) for each in _TITLES if annotations.get(each)), "")
            unpack = str(annotations.get(_UNPACK, "")).lower() == "true"
        except (KeyError, TypeError, ValueError, AttributeError):
            raise invalid(f"{self._uri}: layer {number} of its manifest has no digest or size") from None
        if not _DIGEST.fullmatch(digest) or size < 0:
            raise invalid(f"{self._uri}: layer {number} has the digest {digest[:80]!r}; sha256 is read alone")
        checks = (("sha256", digest.removeprefix("sha256:")),)
        if title and not unpack and not _MODEL_TAR.fullmatch(media):
            return RemoteFile(title.removeprefix("./"), size, digest, checks)
        if not unpack and not _TAR.fullmatch(media):
            raise invalid(
                f"{self._uri}: layer {number} ({media[:80]!r}) is neither a file with a title nor a tar or tar+gzip "
                "archive; push the model with `oras push`, or build the image with gzip layers"
            )
        return RemoteFile(f"layer-{number:04}", size, digest, checks, archive="tar")


def _server(registry: str) -> str:
    if registry == _DOCKER_HUB:
        return "https://registry-1.docker.io"
    return f"{'http' if _LOCAL.fullmatch(registry) else 'https'}://{registry}"


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
