"""The sha256 of every file of a folder, told as progress: for what came out of archives, whose sources state none."""

from pathlib import Path

from genai_runtime.fetch.digests import FileRecord, Hashing, hash_file
from genai_runtime.fetch.progress import Phase, Progress


def hash_folder(folder: Path, progress: Progress) -> list[FileRecord]:
    """Enters the phase of verifying. Raises `OSError`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    progress.enter(Phase.VERIFYING, sum(path.stat().st_size for path in paths), len(paths))
    records = []
    for path in paths:
        hashing = Hashing()
        hash_file(path, hashing, progress.add)
        records.append(FileRecord(path.relative_to(folder).as_posix(), path.stat().st_size, hashing.sha256))
        progress.add_file()
    return records
