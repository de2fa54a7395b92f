"""`genai-runtime fetch` as an init container runs it: a process, its result, and what it left behind."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from genai_runtime.errors import ModelUnusable
from genai_runtime.fetch.access import Access
from genai_runtime.fetch.cache import Cache
from genai_runtime.fetch.fetching import Fetched, Fetching, Wanted
from genai_runtime.fetch.patience import Patience
from genai_runtime.fetch.progress import Phase, Progress
from genai_runtime.fetch.sources import key_of, source_of
from genai_runtime.models.inspect import inspect_model

HELLO = Path(__file__).parents[2] / "examples/hello-model/model"
_PROGRAM = str(Path(sys.executable).with_name("genai-runtime"))
_END_SECONDS = 240


@dataclass(frozen=True)
class Ended:
    """What a fetch left. `words`: its termination log."""

    code: int
    output: str
    errors: str
    words: dict[str, Any]

    @property
    def reason(self) -> str:
        """Why it failed."""
        return str(self.words.get("reason"))

    @property
    def message(self) -> str:
        """What it said about that."""
        return str(self.words.get("message"))


class Fetches:
    """Fetches into one cache. Whatever they print must not hold one of `secrets`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.link = folder / "model"
        self.secrets: list[str] = []
        self.progress = Progress()
        self._count = 0

    def secret(self, **keys: str) -> list[str]:
        """The arguments for a Secret with these keys; a name's double underscore is a dot."""
        place = self.folder / "secret"
        place.mkdir(exist_ok=True)
        for name, value in keys.items():
            (place / name.replace("__", ".")).write_text(value)
        return ["--secret-dir", str(place)]

    def here(self, uri: str, access: Access | None = None, *, patience: float = 0.0, **wanted: Any) -> Fetched:
        """A fetch in this process, into the same cache; `wanted` are fields of `Wanted`, and `all_files`."""
        access = access or Access()
        all_files = bool(wanted.pop("all_files", False))
        wanted.setdefault("needs", "" if all_files else "genai_config.json")
        asked = Wanted(key_of(uri, access, all_files=all_files), uri, access.endpoint, **wanted)
        inspect = (lambda _: None) if all_files else inspect_model
        fetching = Fetching(asked, Cache(self.cache), self.progress, Patience(uri, patience), inspect)
        with contextlib.closing(source_of(uri, access, all_files=all_files)) as source:
            return fetching.fetch(source)

    def refused(self, reason: str, uri: str, access: Access | None = None, **wanted: Any) -> str:
        """Why a fetch here fails, after `reason`."""
        with pytest.raises(ModelUnusable) as caught:
            self.here(uri, access, **wanted)
        assert caught.value.reason == reason, caught.value.message
        for secret in self.secrets:
            assert secret not in caught.value.message
        assert self.progress.snapshot().phase is not Phase.COMPLETE
        return caught.value.message

    def run(self, uri: str, *more: str) -> Ended:
        """Until it ends."""
        with self.running(uri, *more) as process:
            return self.end(process)

    @contextlib.contextmanager
    def running(self, uri: str, *more: str) -> "Iterator[subprocess.Popen[str]]":
        """While the block runs; killed after it, as a node that fails does it."""
        self._count += 1
        words = self.folder / f"last-words-{self._count}"
        arguments = ["fetch", "--uri", uri, "--cache", str(self.cache), "--link", str(self.link)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HF_"))}
        process = subprocess.Popen(
            [_PROGRAM, *arguments, "--retry-seconds", "0", *more],
            env={**clean, "GENAI_TERMINATION_LOG": str(words), "COLUMNS": "400", "NO_PROXY": "*"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.words = words  # type: ignore[attr-defined]
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()

    def end(self, process: "subprocess.Popen[str]") -> Ended:
        """Waits for one that was started."""
        output, errors = process.communicate(timeout=_END_SECONDS)
        for secret in self.secrets:
            assert secret not in output + errors
        words: Path = process.words  # type: ignore[attr-defined]
        said = json.loads(words.read_text()) if words.exists() else {}
        return Ended(process.returncode, output, errors, said)

    def models(self) -> list[str]:
        """The digests that the cache has."""
        return sorted(path.name for path in (self.cache / "models").glob("*"))

    def partial_bytes(self) -> int:
        """What interrupted fetches left."""
        paths = (self.cache / "partial").rglob("*") if (self.cache / "partial").exists() else ()
        return sum(path.stat().st_size for path in paths if path.is_file() and path.name != "versions.json")


def hello_files() -> dict[str, bytes]:
    """The demo model, by name."""
    return {path.name: path.read_bytes() for path in sorted(HELLO.iterdir())}


def digest_of(files: dict[str, bytes]) -> str:
    """As docs/model-sources.md defines it."""
    lines = sorted(
        f"{hashlib.sha256(data).hexdigest()}  {len(data)}  {name}\n".encode() for name, data in files.items()
    )
    return hashlib.sha256(b"".join(lines)).hexdigest()


def read_folder(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
