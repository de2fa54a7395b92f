"""Where a collection's files go: a folder (`file:///…`) or a prefix in a bucket (`s3://BUCKET/PREFIX`).

Credentials come from the environment alone and are in no message. Neither output deletes anything.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import urlsplit

from genai_runtime.collector.errors import CollectionFailed

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_FORMS = "it is file:///FOLDER or s3://BUCKET/PREFIX"


class Output(Protocol):
    """A place for files."""

    def write(self, source: Path, name: str, content_type: str) -> str:
        """Put a file there under `name`, instead of an earlier one; returns its URL. Raises `CollectionFailed`."""
        ...


class FolderOutput:
    """A folder, made when it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, source: Path, name: str, content_type: str) -> str:  # noqa: ARG002 - files have none
        """See `Output`; a file is there whole or not at all."""
        target = self._folder / name
        draft = self._folder / f".{name}.tmp"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(source, draft)
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise CollectionFailed(
                f"{target} cannot be written: {error.strerror or error}; make room on the volume, and let group "
                f"{os.getgid()} write to it"
            ) from error
        return f"file://{target}"


def output_of(url: str, endpoint: str, region: str, environment: Mapping[str, str]) -> Output:
    """The place that `url` names. Raises `CollectionFailed`, which says what is wrong with it."""
    if not url.isprintable():
        raise CollectionFailed(f"--output {url!r} holds characters that cannot be printed; {_FORMS}")
    scheme, separator, rest = url.partition("://")
    if scheme == "file" and separator and rest.startswith("/"):
        return FolderOutput(Path("/") / _inside(url, rest))
    if scheme == "s3" and separator:
        from genai_runtime.collector.bucket import BucketOutput  # which needs a library of its own

        bucket, _, prefix = rest.partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise CollectionFailed(f"--output {url!r}: {bucket!r} is no bucket's name; {_FORMS}")
        if region and not _REGION.fullmatch(region):
            raise CollectionFailed(f"--region {region!r} is no region's name, such as eu-central-1")
        return BucketOutput(bucket, str(_inside(url, prefix)), _checked(endpoint), region, environment)
    raise CollectionFailed(f"--output {url!r} is no place for files; {_FORMS}")


def _inside(url: str, path: str) -> PurePosixPath:
    """A path without its outer slashes, that leads nowhere else."""
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise CollectionFailed(f"--output {url!r} may not hold '.' or '..' as a folder")
    return PurePosixPath(*parts)


def _checked(endpoint: str) -> str:
    if not endpoint:
        return ""
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable:
        raise CollectionFailed("--endpoint is not http://HOST:PORT or https://HOST:PORT")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise CollectionFailed(
            "--endpoint may hold no credentials and no query; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return endpoint.rstrip("/")
