"""What was built, remembered in the cache: `builds/KEY.json`, one a build. The folder itself is named by its digest."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from genai_runtime.fetch.room import unwritable

_log = structlog.get_logger("genai_builder")


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """`quality` as it is told, empty until it was measured; `evaluation` names the text that it was measured on."""

    digest: str
    builder: str
    seconds: float
    quality: dict[str, Any]
    evaluation: str = ""


class Records:
    """Of one cache."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "builds"

    def read(self, key: str) -> BuildRecord | None:
        """A record that cannot be read is none."""
        path = self._folder / f"{key}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            texts = {name: str(found[name]) for name in ("digest", "builder", "evaluation")}
            return BuildRecord(seconds=float(found["seconds"]), quality=dict(found["quality"]), **texts)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            _log.warning("this record cannot be read, and is not used", file=str(path))
            return None

    def write(self, key: str, record: BuildRecord) -> None:
        """In one step. Raises `ModelUnusable`."""
        path = self._folder / f"{key}.json"
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("w", encoding="utf-8") as file:
                json.dump(asdict(record), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise unwritable(path, error) from None
