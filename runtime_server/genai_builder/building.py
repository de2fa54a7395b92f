"""A build from its beginning to its end: the source is looked at, the cache is asked, then it is built, checked, put
into the cache, and measured. Nothing here knows the builder's program, or how a result is told.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from genai_builder.evaluation import Evaluation
from genai_builder.finishing import finish
from genai_builder.making import Share, make
from genai_builder.measuring import measure
from genai_builder.record import BuildRecord, Records
from genai_builder.request import BuildRequest
from genai_builder.size import built_size
from genai_builder.source_folder import Source, read_source
from genai_builder.staging import Stage
from genai_builder.versions import builder_versions
from genai_runtime.fetch.cache import Cache
from genai_runtime.fetch.digests import digest_of
from genai_runtime.fetch.hash_folder import hash_folder
from genai_runtime.fetch.progress import Phase, Progress
from genai_runtime.fetch.room import Room, unwritable

# Percent of a build, as far as its steps can be foreseen; each is where its step begins.
_BUILD, _FINISH, _MEASURE, _END = 2, 65, 72, 99
_log = structlog.get_logger("genai_builder")


@dataclass(frozen=True, slots=True)
class Built:
    """A folder of the cache. `cached`: nothing was built for it now."""

    folder: Path
    digest: str
    bytes: int
    files: int
    cached: bool
    record: BuildRecord

    def told(self) -> dict[str, Any]:
        """The result line."""
        return {
            "digest": self.digest,
            "bytes": self.bytes,
            "files": self.files,
            "cached": self.cached,
            "builder": self.record.builder,
            "seconds": round(self.record.seconds, 1),
            "quality": self.record.quality,
        }


class Building:
    """One build of one source."""

    def __init__(self, request: BuildRequest, evaluation: Evaluation, cache: Cache, progress: Progress) -> None:
        self._request = request
        self._evaluation = evaluation
        self._cache = cache
        self._progress = progress
        self._records = Records(cache.root)
        self._versions = builder_versions()

    def build(self, folder: Path) -> Built:
        """The built folder, from the cache or new. Raises `ModelUnusable`."""
        self._progress.enter(Phase.RESOLVING)
        source = read_source(folder)
        try:
            key = self._request.key(self._source_digest(source.folder), self._versions)
            with self._cache.locked(key, self._waiting):
                found = self._from_cache(key, source) or self._anew(key, source)
        except OSError as error:
            raise unwritable(self._cache.root, error) from None
        self._progress.complete(found.digest, found.bytes, found.files, cached=found.cached)
        return found

    def _source_digest(self, folder: Path) -> str:
        """Of a folder of the cache it is the folder's name; what lies elsewhere is read through."""
        if folder.parent == (self._cache.root / "models").resolve() and self._cache.records(folder.name):
            return folder.name
        return digest_of(hash_folder(folder, self._progress))

    def _waiting(self) -> None:
        _log.info("another process builds the same; waiting for it")

    def _from_cache(self, key: str, source: Source) -> Built | None:
        record = self._records.read(key)
        files = self._cache.records(record.digest) if record else None
        if record is None or files is None or not self._cache.folder(record.digest).is_dir():
            return None
        size = sum(each.size for each in files)
        self._progress.enter(Phase.VERIFYING, size, len(files))
        problem = self._cache.problem(record.digest, files, self._progress.add)
        if problem:
            _log.warning("a built folder is damaged, and is built again", digest=record.digest, problem=problem)
            self._cache.discard(record.digest)
            return None
        built = Built(self._cache.folder(record.digest), record.digest, size, len(files), True, record)
        measured = record.quality and "notMeasured" not in record.quality
        if measured and record.evaluation == self._evaluation.key:
            return built
        with self._stage(key, source) as stage:
            return replace(built, record=self._measure(key, record, source, stage))

    def _anew(self, key: str, source: Source) -> Built:
        Room(self._cache.root, "the model to be built", 0).check(built_size(source, self._request))
        with self._stage(key, source) as stage:
            return self._carry_out(key, source, stage)

    @contextmanager
    def _stage(self, key: str, source: Source) -> Iterator[Stage]:
        """For the holder of the key's lock alone; nothing of it stays."""
        stage = Stage(self._cache.partial(key))
        stage.prepare(source)
        try:
            yield stage
        finally:
            stage.remove()

    def _carry_out(self, key: str, source: Source, stage: Stage) -> Built:
        began = time.monotonic()
        request = self._request
        _log.info("building", architecture=source.architecture, provider=request.provider, precision=request.precision)
        make(request, stage, source.layers, self._share(Phase.BUILDING, _BUILD, _FINISH))
        self._progress.step(Phase.BUILDING, _FINISH)
        finish(stage.built, source, request)
        files = hash_folder(stage.built, Progress())
        digest = self._cache.install(stage.built, files)
        # Before it is measured: who is interrupted there has a model already.
        record = BuildRecord(digest, self._versions, time.monotonic() - began, {})
        self._records.write(key, record)
        record = self._measure(key, record, source, stage)
        size = sum(each.size for each in files)
        return Built(self._cache.folder(digest), digest, size, len(files), False, record)

    def _measure(self, key: str, record: BuildRecord, source: Source, stage: Stage) -> BuildRecord:
        share = self._share(Phase.MEASURING, _MEASURE, _END)
        share(0)
        folder = self._cache.folder(record.digest)
        quality = measure(folder, source, self._request, self._evaluation, stage, share)
        measured = replace(record, quality=quality, evaluation=self._evaluation.key)
        self._records.write(key, measured)
        return measured

    def _share(self, phase: Phase, begin: int, end: int) -> Share:
        return lambda done: self._progress.step(phase, begin + int((end - begin) * done))
