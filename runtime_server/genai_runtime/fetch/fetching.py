"""A fetch from its beginning to its end: the cache first, then the source, then what came is checked and put in place.

Nothing here knows a protocol; what a failure means is in the errors already.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from genai_runtime.fetch.cache import Cache, SourceRecord
from genai_runtime.fetch.digests import FileRecord, digest_of
from genai_runtime.fetch.download import Downloads
from genai_runtime.fetch.errors import SourceChanged, checksum_mismatch, not_found
from genai_runtime.fetch.hash_folder import hash_folder
from genai_runtime.fetch.names import check_names
from genai_runtime.fetch.partial import Partial
from genai_runtime.fetch.patience import Patience
from genai_runtime.fetch.progress import Phase, Progress
from genai_runtime.fetch.room import Room, unwritable
from genai_runtime.fetch.source import Listing, RemoteFile, Source
from genai_runtime.fetch.unpack import unpacked
from genai_runtime.models.defects import shown
from genai_runtime.models.external_data import external_data
from genai_runtime.models.limits import DEFAULT, Limits
from genai_runtime.models.onnx_wire import NotOnnx

_NO_MODEL = "correct the URI, or build the model for ONNX Runtime GenAI first"
_log = structlog.get_logger("genai_runtime.fetch")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. `key` names the source in the cache; `uri` and `endpoint` are for people.

    `sha256`: the folder's digest, empty for any. `max_bytes` 0: no limit but the disk. `offline`: the source is not
    asked. `refresh`: it is asked although the cache has an answer. `needs`: a file without which nothing is fetched.
    """

    key: str
    uri: str
    endpoint: str = ""
    sha256: str = ""
    max_bytes: int = 0
    offline: bool = False
    refresh: bool = False
    needs: str = ""

    @property
    def limits(self) -> Limits:
        """Of the folder."""
        return replace(DEFAULT, total_bytes=self.max_bytes) if self.max_bytes else DEFAULT


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete folder of the cache. `cached`: the source was not asked."""

    folder: Path
    digest: str
    bytes: int
    files: int
    revision: str
    cached: bool


class Fetching:
    """One fetch. `inspect` raises `ModelUnusable` for a folder that is not to be used."""

    def __init__(
        self, wanted: Wanted, cache: Cache, progress: Progress, patience: Patience, inspect: Callable[[Path], object]
    ) -> None:
        self._wanted = wanted
        self._cache = cache
        self._progress = progress
        self._patience = patience
        self._inspect = inspect
        self._room = Room(cache.root, wanted.uri, wanted.max_bytes)

    def fetch(self, source: Source) -> Fetched:
        """The folder, from the cache or the source. Raises `ModelUnusable`."""
        self._progress.enter(Phase.RESOLVING)
        try:
            with self._cache.locked(self._wanted.key, self._waiting):
                found = self._from_cache() or self._from_source(source)
        except OSError as error:
            raise unwritable(self._cache.root, error) from None
        self._progress.complete(found.digest, found.bytes, found.files, cached=found.cached)
        return found

    def _waiting(self) -> None:
        _log.info("another process fetches this source; waiting for it", uri=self._wanted.uri)

    def _from_cache(self, *, anew: bool | None = None) -> Fetched | None:
        anew = self._wanted.refresh if anew is None else anew
        wanted = self._wanted
        record = self._cache.source(wanted.key)
        if wanted.sha256 and (record is None or record.digest != wanted.sha256):
            record = SourceRecord(wanted.uri, wanted.endpoint, "", wanted.sha256)  # another source may have brought it
        if record is None or anew:
            self._not_cached("has not been fetched")
            return None
        records = self._cache.records(record.digest)
        if records is None or not self._cache.folder(record.digest).is_dir():
            self._not_cached(f"with the digest {record.digest} has not been fetched")
            return None
        size = sum(each.size for each in records)
        self._progress.enter(Phase.VERIFYING, size, len(records))
        problem = self._cache.problem(record.digest, records, self._progress.add)
        if problem:
            self._damaged(record.digest, problem)
            return None
        return Fetched(self._cache.folder(record.digest), record.digest, size, len(records), record.revision, True)

    def _not_cached(self, what: str) -> None:
        if self._wanted.offline:
            raise not_found(
                f"{self._wanted.uri} {what} into the cache {self._cache.root}, and offline nothing is fetched; fill "
                "the cache with `genai-runtime fetch`, or set spec.model.offline to false"
            )

    def _damaged(self, digest: str, problem: str) -> None:
        if self._wanted.offline:
            raise checksum_mismatch(
                f"{self._cache.folder(digest)} is damaged: {problem}; fill the cache again, or set spec.model.offline "
                "to false"
            )
        _log.warning("a folder of the cache is damaged, and is fetched again", digest=digest, problem=problem)
        self._cache.discard(digest)
        self._progress.enter(Phase.RESOLVING)

    def _from_source(self, source: Source) -> Fetched:
        while True:
            try:
                listing = self._patience.until_done(source.listing)
                return self._unchanged(listing) or self._carry_out(source, listing)
            except SourceChanged as error:
                self._patience.wait(error)
                self._progress.enter(Phase.RESOLVING)

    def _unchanged(self, listing: Listing) -> Fetched | None:
        """What the cache has of this very revision."""
        record = self._cache.source(self._wanted.key)
        same = record is not None and listing.revision and record.revision == listing.revision
        return self._from_cache(anew=False) if same else None

    def _check_listing(self, listing: Listing) -> None:
        """Before gigabytes come of which there is no use. What is in an archive is seen when it is unpacked."""
        wanted = self._wanted
        names = [each.name for each in listing.files]
        check_names(names, wanted.uri, wanted.limits)
        if not wanted.needs or wanted.needs in names or any(each.archive for each in listing.files):
            return
        folders = sorted(name.removesuffix(f"/{wanted.needs}") for name in names if name.endswith(f"/{wanted.needs}"))
        there = f"it is in {', '.join(map(shown, folders[:5]))}: name one of these folders" if folders else _NO_MODEL
        raise not_found(f"{wanted.uri} has no {wanted.needs}; {there}")

    def _carry_out(self, source: Source, listing: Listing) -> Fetched:
        wanted = self._wanted
        partial = Partial(self._cache.partial(wanted.key))
        self._check_listing(listing)
        there = partial.prepare(listing)
        self._room.check(sum(each.size or 0 for each in listing.files), there)
        records = self._download(source, listing, partial)
        folder = partial.files
        if any(each.archive for each in listing.files):
            folder = unpacked(listing, partial, wanted.uri, self._room, wanted.limits)
            records = hash_folder(folder, self._progress)
        else:
            total = sum(each.size for each in records)
            self._progress.enter(Phase.VERIFYING, total, len(records))
            self._progress.found(total)  # checked as it came
            partial.keep_only({each.name for each in records})
        self._check(records, partial)
        self._inspect(folder)
        digest = self._cache.install(folder, records)
        self._cache.record_source(wanted.key, SourceRecord(wanted.uri, wanted.endpoint, listing.revision, digest))
        partial.remove()
        size = sum(each.size for each in records)
        return Fetched(self._cache.folder(digest), digest, size, len(records), listing.revision, False)

    def _download(self, source: Source, listing: Listing, partial: Partial) -> list[FileRecord]:
        total = sum(each.size or 0 for each in listing.files)
        self._progress.enter(Phase.FETCHING, total, len(listing.files))
        _log.info("fetching", uri=self._wanted.uri, revision=listing.revision, files=len(listing.files), bytes=total)
        downloads = Downloads(source, self._wanted.uri, self._progress, self._patience, self._room)
        records = [downloads.fetch(each, partial.path(each)) for each in listing.files]
        more = self._named_by_graphs(listing, partial)
        if more:
            check_names((each.name for each in (*listing.files, *more)), self._wanted.uri, self._wanted.limits)
            self._room.check(downloads.bytes + sum(each.size or 0 for each in more), downloads.bytes)
            self._progress.more(sum(each.size or 0 for each in more), len(more))
        return records + [downloads.fetch(each, partial.path(each)) for each in more]

    def _named_by_graphs(self, listing: Listing, partial: Partial) -> list[RemoteFile]:
        """Files with weights that no name told to be some. What a graph may name is inspected later."""
        named: set[str] = set()
        for each in listing.files if listing.others else ():
            if each.name.endswith(".onnx"):
                beside = each.name.rpartition("/")[0]
                with suppress(NotOnnx):
                    found = external_data(partial.path(each))
                    named |= {f"{beside}/{data.location}".lstrip("/") for data in found}
        return [each for each in listing.others if each.name in named]

    def _check(self, records: list[FileRecord], partial: Partial) -> None:
        digest = digest_of(records)
        if self._wanted.sha256 and digest != self._wanted.sha256:
            partial.remove()
            raise checksum_mismatch(
                f"{self._wanted.uri} has the digest {digest}, but spec.model.sha256 is {self._wanted.sha256}; correct "
                "it if this is the model that you want, else name the revision that you want in the URI"
            )
