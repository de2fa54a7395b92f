"""The folder that one build works in: links to what the builder may see of the source, room for what it makes.

It is below the cache's `partial`, so that the finished folder comes into the cache by one rename; the program's own
root file system may be read-only.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from genai_builder.source_folder import Source
from genai_runtime.cpu_limit import usable_cpus

_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ")


@dataclass(frozen=True, slots=True)
class Stage:
    """`source` is shown to the builder, `built` is what it makes, `work` is for whatever else it writes."""

    root: Path

    @property
    def source(self) -> Path:
        """Links to the files of the source."""
        return self.root / "source"

    @property
    def built(self) -> Path:
        """Where the model comes."""
        return self.root / "built"

    @property
    def work(self) -> Path:
        """Home, temporary files and caches of the libraries."""
        return self.root / "work"

    def prepare(self, source: Source) -> None:
        """From nothing: what a build that was interrupted left is of no use. Raises `OSError`."""
        self.remove()
        for folder in (self.source, self.built, self.work):
            folder.mkdir(parents=True)
        for name in source.files:
            (self.source / name).symlink_to((source.folder / name).resolve())

    def remove(self) -> None:
        """All of it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """Of the processes that build and measure: nothing is asked of a network, nothing is told to anybody."""
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        work = str(self.work)
        return kept | {
            "HOME": work,
            "TMPDIR": work,
            "HF_HOME": str(self.work / "huggingface"),
            "USER": "genai",  # the user of a container has no name in /etc/passwd
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "DO_NOT_TRACK": "1",
            "ORT_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "OMP_NUM_THREADS": str(usable_cpus()),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
