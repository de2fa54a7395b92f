"""The contestants of a run, and turns: while one is measured all others are stopped.

Every figure is a row: which round, what was measured, of whom, and the numbers. Ratios are made later, round by round.
"""

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from bench.serving import contestants
from bench.serving.contestants import Contestant, Ours, OverHttp, Raw
from bench.serving.model import Q4_GGUF, Files
from bench.serving.processes import ForeignCpu

THREADS = 2
OURS = "ours"
OURS_HTTP = "ours http"
OURS_128 = "ours block 128"
LLAMA = "llama-server"
GENERATOR = "og.Generator"
ENGINE = "og.Engine"


@dataclass
class Arena:
    """Started and paused contestants, and the rows so far."""

    console: Console
    ours: Ours
    http: OverHttp
    block_128: Ours
    generator: Raw
    engine: Raw
    llama: OverHttp | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)

    @contextmanager
    def turn(self, contestant: Contestant) -> Iterator[None]:
        """It alone runs; what others on this machine took of its cores meanwhile goes to `foreign`, 0 to 1."""
        contestant.process.resume()
        clock = ForeignCpu(contestant.process)
        try:
            yield
        finally:
            self.foreign.append(clock.share())
            contestant.process.pause()

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """A part that fails is told and kept; the rest is measured all the same."""
        try:
            yield
        except Exception as error:  # whatever a server or a client may raise
            self.failures.append(f"{what}: {error!r}")
            self.console.print(f"[bold red]{what} failed[/]")
            self.console.print("".join(traceback.format_exception(error)[-6:]), markup=False, highlight=False)

    def add(self, number: int, section: str, contestant: str, **figures: Any) -> None:
        """One row."""
        self.rows.append({"round": number, "section": section, "contestant": contestant, **figures})

    def everybody(self) -> list[Contestant]:
        """Those that take requests one by one, in no order that means anything."""
        found: list[Contestant] = [self.ours, self.http, self.block_128, self.engine]
        return found + ([self.llama] if self.llama else [])


@contextmanager
def arena(files: Files, console: Console) -> Iterator[Arena]:
    """All contestants, started one after the other and stopped when ready."""
    with ExitStack() as stack:

        def start(entered: Any) -> Any:
            found = stack.enter_context(entered)
            found.process.pause()
            return found

        ours = start(contestants.ours(OURS, files.folder(32), THREADS))
        http = contestants.over_http(ours, files.folder(32).name)
        http.name = OURS_HTTP
        yield Arena(
            console,
            ours,
            http,
            start(contestants.ours(OURS_128, files.folder(128), THREADS)),
            start(contestants.raw(GENERATOR, "generator", files.folder(32), THREADS)),
            start(contestants.raw(ENGINE, "engine", files.folder(32, paged=True), THREADS)),
            start(contestants.llama(LLAMA, files.llama, Q4_GGUF, THREADS)) if files.llama else None,
        )
