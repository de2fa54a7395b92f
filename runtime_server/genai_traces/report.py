"""A trace as one page: a single HTML file that asks nothing of any network, to look at, to keep and to send on."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from genai_traces import pods, sections, tables
from genai_traces.summary import TraceSummary, summarise
from genai_traces.wording import clock, escape, plural

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src '{hash}'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="kind">GenAI profile</p>
<h1>{title}</h1>
<p class="when">{when}</p>
{facts}
{notes}
{findings}
</header>
<main>
{sections}
</main>
<footer><p>{footer}</p></footer>
<script>
{script}</script>
</body>
</html>
"""
_FOOTER = (
    "Times are those of the pods’ own clocks. The trace has every event: open <code>trace.json.gz</code> in Perfetto "
    "(ui.perfetto.dev, which reads it in the browser) or chrome://tracing."
)


def write_report(trace: Path, target: Path, title: str = "", notes: Sequence[str] = ()) -> None:
    """Write the page of `trace`, one pod's or joined. `notes` are shown on top: pods that are missing, for example.

    `target` appears only when it is whole. Raises `NotATrace`, OSError.
    """
    page = render(summarise(trace), title, notes)
    draft = target.with_name(target.name + ".tmp")
    try:
        draft.write_text(page, encoding="utf-8")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def render(summary: TraceSummary, title: str = "", notes: Sequence[str] = ()) -> str:
    """The page's HTML."""
    providers = sections.Providers.of(summary.operators())
    script = "\n" + _resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = (
        sections.top_operators(summary, providers),
        sections.run_times(summary),
        sections.prefill_and_decode(summary) if summary.runs else "",
        sections.provider_shares(summary, providers),
        pods.pods_table(summary, providers),
        sections.own_spans(summary),
        tables.runs_table(summary) if summary.runs else "",
    )
    return _PAGE.format(
        hash=f"sha256-{digest}",
        title=escape(title or _title(summary)),
        style=_resource("page.css"),
        when=f"{clock(summary.start)} on {_pods(summary)}" if summary.events else "This trace has no events.",
        facts=tables.facts(summary),
        notes=tables.notes(summary, notes),
        findings=tables.findings(summary),
        sections="\n".join(part for part in parts if part),
        footer=_FOOTER,
        script=script[1:],
    )


def _title(summary: TraceSummary) -> str:
    if len(summary.pods) == 1:
        return summary.pods[0]
    return f"Profile of {plural(len(summary.pods), 'pod')}"


def _pods(summary: TraceSummary) -> str:
    return escape(summary.pods[0]) if len(summary.pods) == 1 else plural(len(summary.pods), "pod")


def _resource(name: str) -> str:
    return files("genai_traces").joinpath(name).read_text(encoding="utf-8")
