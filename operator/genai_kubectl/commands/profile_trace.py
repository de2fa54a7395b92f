"""`profile fetch`, `open`, `top` and `diff`: what a profile's trace says. Getting the file is `profile_files.py`'s."""

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from genai_kubectl.commands.profile_files import default_file, fetch_joined, is_file, stem, trace_of
from genai_kubectl.commands.profile_window import ProfileName
from genai_kubectl.decisions.profile_state import OPERATOR_HEADER, explanation, missing_pods, operator_rows, phase
from genai_kubectl.decisions.quantities import size
from genai_kubectl.decisions.regressions import HEADER, TOTAL, Difference, growth, regressions, row, totals
from genai_kubectl.errors import CommandFailed, NotFound, WrongUsage
from genai_kubectl.names import PROFILES
from genai_kubectl.options import Common, Format
from genai_kubectl.output import columns, note, show, stdout, structured, table
from genai_kubectl.session import Session
from genai_traces.difference import compare
from genai_traces.operators import operator_times
from genai_traces.report import write_report

_PERFETTO = "https://ui.perfetto.dev"
_KINDS = ("prefill", "decode")
_SHOWN_CHANGE = 5.0  # percent; what changes less is not coloured
_SHOWN_ROWS = 20
_SHOWN_REGRESSIONS = 3  # -o json has all
Source = Annotated[str, typer.Argument(metavar="PROFILE|FILE", help="A GenAIProfile, or a trace that was fetched.")]
Kind = Annotated[str, typer.Option("--kind", help="Only runs of this kind: prefill or decode.", show_default=False)]
Missing = Annotated[bool, typer.Option("--allow-missing", help="Leave out pods whose trace is gone.")]


def fetch(
    name: ProfileName,
    common: Common,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="PROFILE.trace.json.gz if left out.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    allow_missing: Missing = False,
) -> None:
    """Fetch the traces of all pods as one file, checked; it appears whole or not at all."""
    session = Session(common)
    target = file or default_file(name)
    _writable(target, force=force)
    profile = session.kube.get(PROFILES, name)
    written = fetch_joined(session.kube, profile, target, allow_missing=allow_missing)
    result = {"file": str(target), "events": written.events, "bytes": written.bytes}
    if structured(result, session.output):
        return
    if session.output is Format.NAME:
        show(str(target))
        return
    show(f"{target}: {written.events} events, {size(written.bytes)}")
    for each in missing_pods(profile):
        note(each)
    note(f"open it in {_PERFETTO} (Open trace file), or: kubectl genai profile open {target}")


def open_report(
    source: Source,
    common: Common,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")] = True,
    directory: Annotated[Path, typer.Option(help="Where the files are written.")] = Path(),
    allow_missing: Missing = False,
) -> None:
    """Write a page about a profile, PROFILE.html, and open it."""
    session = Session(common)
    if not directory.is_dir():
        raise NotFound(f"there is no folder {directory}")
    trace = Path(source) if is_file(source) else directory / default_file(source)
    notes: list[str] = []
    if not is_file(source):
        profile = session.kube.get(PROFILES, source)
        notes = missing_pods(profile)
        fetch_joined(session.kube, profile, trace, allow_missing=allow_missing)
    elif not trace.is_file():
        raise NotFound(f"there is no file {source}")
    page = directory / f"{stem(trace)}.html"
    try:
        write_report(trace, page, stem(trace), notes)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"cannot write a page about {trace}: {error}") from None
    if not structured({"report": str(page), "trace": str(trace)}, session.output):
        show(str(page))
    note(f"every run, one by one: open {_PERFETTO}, then Open trace file: {trace}")
    if browser and not webbrowser.open(page.absolute().as_uri()):
        note(f"no browser could be started; open {page} yourself")


def top(source: Source, common: Common, kind: Kind = "") -> None:
    """The operators that took the time."""
    session = Session(common)
    runs = _kind(kind)
    if is_file(source) or runs:
        with trace_of(session, source) as path:
            rows = _operators(path, runs)
    else:
        profile = session.kube.get(PROFILES, source)
        rows = list((profile.get("status") or {}).get("topOperators") or ())
        if not rows:
            raise CommandFailed(f"{source!r} knows no operators: {explanation(profile) or phase(profile)}")
    if structured({"operators": rows}, session.output):
        return
    if session.output is Format.NAME:
        for each in rows:
            show(str(each["opType"]))
        return
    table(OPERATOR_HEADER, operator_rows(rows))


def diff(
    before: Source,
    after: Source,
    common: Common,
    kind: Kind = "",
    fail_over: Annotated[
        float | None, typer.Option(help="Exit code 1 when operators grew by more percent.", show_default=False)
    ] = None,
) -> None:
    """How the operators' time a run changed from one profile to another."""
    session = Session(common)
    runs = _kind(kind)
    with trace_of(session, before) as old, trace_of(session, after) as new:
        try:
            differences: Sequence[Difference] = compare(old, new, runs)
        except (OSError, ValueError) as error:
            raise CommandFailed(f"cannot compare {before} and {after}: {error}") from None
    found = regressions(differences, fail_over) if fail_over is not None else []
    _print_differences(session, differences, found)
    if found:
        more = f"; and {len(found) - _SHOWN_REGRESSIONS} more" if len(found) > _SHOWN_REGRESSIONS else ""
        raise CommandFailed(f"regression over {fail_over:g} %: {'; '.join(found[:_SHOWN_REGRESSIONS])}{more}")


def _operators(path: Path, kind: str | None) -> list[dict[str, object]]:
    try:
        times = operator_times(path, kind)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"cannot read {path}: {error}") from None
    if not times:
        raise CommandFailed(f"{path} has no operators{f' of {kind} runs' if kind else ''}")
    return [
        {
            "opType": each.op_type,
            "provider": each.provider,
            "calls": each.calls,
            "sharePercent": round(100 * each.share, 1),
            "microsecondsPerRun": round(each.microseconds_per_run, 2),
        }
        for each in times
    ]


def _kind(text: str) -> str | None:
    if text and text not in _KINDS:
        raise WrongUsage(f"--kind {text!r}: there are {' and '.join(_KINDS)}")
    return text or None


def _writable(target: Path, *, force: bool) -> None:
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise WrongUsage(f"{target} cannot be written: {'it is a folder' if target.is_dir() else 'no such folder'}")
    if target.exists() and not force:
        raise CommandFailed(f"{target} is there already; replace it by --force, or name another file by --file")


def _print_differences(session: Session, differences: Sequence[Difference], found: list[str]) -> None:
    before, after = totals(differences)
    plain = {
        "operators": [
            {
                "opType": each.op_type,
                "provider": each.provider,
                "beforeMicroseconds": each.before,
                "afterMicroseconds": each.after,
                "percent": each.percent,
            }
            for each in differences
        ],
        "beforeMicroseconds": before,
        "afterMicroseconds": after,
        "percent": growth(before, after),
        "regressions": found,
    }
    if structured(plain, session.output):
        return
    shown = differences if session.output is Format.WIDE else differences[:_SHOWN_ROWS]
    rows = [row(each.op_type, each.provider, each.before, each.after) for each in shown]
    grown = [each.percent for each in shown]
    rows.append(row(TOTAL, "", before, after))
    grown.append(growth(before, after))
    header, *lines = columns(HEADER, rows)
    console = stdout()
    console.print(Text(header))
    for line, change in zip(lines, grown, strict=True):
        console.print(Text(line, style=_style(change)))
    if len(shown) < len(differences):
        note(f"{len(differences) - len(shown)} more that changed less: -o wide")


def _style(change: float | None) -> str:
    if change is None or change > _SHOWN_CHANGE:
        return "red"
    return "green" if change < -_SHOWN_CHANGE else ""
