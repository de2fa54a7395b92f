"""What the demo says while it runs. Only words and colours; nothing is measured or decided here."""

import shlex
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class Commentary:
    """A running commentary on the terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._step = 0

    def step(self, title: str) -> None:
        """Starts a chapter."""
        self._step += 1
        self._console.print(f"\n[bold cyan]{self._step}. {escape(title)}[/]")

    def say(self, text: str) -> None:
        """One remark."""
        self._console.print(f"   {escape(text)}", soft_wrap=True)

    def command(self, arguments: Sequence[str]) -> None:
        """A command as somebody would type it."""
        self._console.print(f"   [dim]$ {escape(shlex.join(arguments))}[/]", soft_wrap=True)

    def result(self, text: str) -> None:
        """Something that came out."""
        self._console.print(f"   [green]{escape(text)}[/]", soft_wrap=True)

    def begin_stream(self) -> None:
        """The model's words follow."""
        self._console.print("   [bold]model:[/] ", end="")

    def stream(self, text: str) -> None:
        """Some of the model's words, as they arrive."""
        self._console.print(escape(text), end="", style="yellow", soft_wrap=True)

    def end_stream(self) -> None:
        """The model has spoken."""
        self._console.print()

    def problem(self, text: str) -> None:
        """Something that is not as it should be."""
        self._console.print(f"   [bold red]{escape(text)}[/]")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A small table."""
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._console.print(table)

    def checks(self, values: Mapping[str, str], holds: Mapping[str, bool]) -> None:
        """The summary, a line a check."""
        rows = [(name, value, "yes" if holds[name] else "NO") for name, value in values.items()]
        self.table("Summary", ("what", "value", "holds"), rows)
