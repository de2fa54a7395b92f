"""The report's facts, findings, and the runs one by one."""

from collections.abc import Sequence

from genai_traces.pods import pod_finding
from genai_traces.quantiles import quantile
from genai_traces.runs import DECODE, PREFILL, RunSpan, of_kind
from genai_traces.sections import heads, section
from genai_traces.summary import TraceSummary
from genai_traces.wording import count, duration, escape, percent, plural, provider_name, short_names

MOST_RUNS = 300


def facts(summary: TraceSummary) -> str:
    """What was captured, and what is missing."""
    prefills, decodes = (len(of_kind(summary.runs, kind)) for kind in (PREFILL, DECODE))
    cards = [
        ("Pods", count(len(summary.pods)), ""),
        ("Window", duration(summary.end - summary.start), "from its first event to the last"),
        ("Runs", count(len(summary.runs)), f"{count(prefills)} prefill, {count(decodes)} decode"),
        ("Requests", count(len(summary.requests)), f"{count(summary.events)} events"),
        _dropped(summary),
    ]
    overheads = [each.overhead_percent for each in summary.facts.values() if each.overhead_percent is not None]
    if overheads:
        cards.append(("Overhead", f"{max(overheads):.1f} %", "slower tokens while captured, worst pod"))
    return '<dl class="facts">' + "".join(_card(*card) for card in cards) + "</dl>"


def notes(summary: TraceSummary, more: Sequence[str]) -> str:
    """What the reader must know of what is not there; text of others, escaped here."""
    told = [*more, *(f"{pod}: {each.message}" for pod, each in summary.facts.items() if each.message)]
    if not told:
        return ""
    return '<ul class="notes">' + "".join(f"<li>{escape(each)}</li>" for each in told) + "</ul>"


def findings(summary: TraceSummary) -> str:
    """The few sentences that the charts come to."""
    told = [*_top_finding(summary), *_decode_finding(summary), *pod_finding(summary)]
    return '<ul class="findings">' + "".join(f"<li>{each}</li>" for each in told) + "</ul>" if told else ""


def runs_table(summary: TraceSummary) -> str:
    """The runs in the order of time; of many the longest."""
    runs = summary.runs
    several = len(summary.pods) > 1
    about = "All runs of the window. A click on a heading sorts."
    if len(runs) > MOST_RUNS:
        runs = sorted(runs, key=lambda run: -run.duration)[:MOST_RUNS]
        about = f"The {MOST_RUNS} longest of {count(len(summary.runs))} runs; the trace has all of them."
    names = short_names(summary.pods)
    pod = ["Pod"] * several
    head = heads("Start", *pod, "Run", "Kind", "Requests", "Tokens", "Duration", "Outside operators", sorts=True)
    rows = "".join(_run_row(run, names, several, summary.start) for run in sorted(runs, key=lambda run: run.start))
    table = f'<table class="sortable"><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return section("Runs", about, f'<div class="wide tall">{table}</div>')


def _card(name: str, value: str, detail: str) -> str:
    return f"<div><dt>{name}</dt><dd>{value}<small>{detail}</small></dd></div>"


def _dropped(summary: TraceSummary) -> tuple[str, str, str]:
    if not summary.facts:
        return "Dropped", "–", "the trace does not tell"
    dropped = sum(each.dropped_runs for each in summary.facts.values())
    skipped = sum(each.skipped_runs for each in summary.facts.values())
    return "Dropped", count(dropped), f"runs; {count(skipped)} more were not selected"


def _top_finding(summary: TraceSummary) -> list[str]:
    operators = summary.operators()
    if not operators:
        return []
    top = operators[0]
    where = escape(provider_name(top.provider))
    return [f"<b>{escape(top.op_type)}</b> on {where} takes <b>{percent(top.share)}</b> of operator time."]


def _decode_finding(summary: TraceSummary) -> list[str]:
    runs = of_kind(summary.runs, DECODE)
    if not runs:
        return []
    times = [run.duration for run in runs]
    median, slowest = quantile(times, 0.5), quantile(times, 0.99)
    return [
        f"A decode run takes <b>{duration(median)}</b> in the median and {duration(slowest)} at the 99th percentile."
    ]


def _run_row(run: RunSpan, names: dict[str, str], several: bool, begin: float) -> str:
    pod = f'<td class="text" title="{escape(run.pod)}">{escape(names.get(run.pod, run.pod))}</td>' if several else ""
    kind = escape(run.kind) + (" (interrupted)" if run.interrupted else "")
    colour = run.kind if run.kind in (PREFILL, DECODE) else "s0"
    who = next(iter(run.requests)) if len(run.requests) == 1 else plural(len(run.requests), "request")
    tokens = count(run.tokens) if run.kind == PREFILL else _tokens(run)
    outside = max(0.0, run.duration - run.operator_time)
    return (
        f'<tr><td data-v="{run.start - begin:.0f}">+{duration(run.start - begin)}</td>{pod}<td>{run.number}</td>'
        f'<td class="text"><i class="swatch {colour}"></i>{kind}</td>'
        f'<td class="text id" title="{escape(who)}">{escape(who)}</td>'
        f'<td data-v="{run.tokens}">{tokens}</td><td data-v="{run.duration:.0f}">{duration(run.duration)}</td>'
        f'<td data-v="{outside:.0f}">{duration(outside)}</td></tr>'
    )


def _tokens(run: RunSpan) -> str:
    """Which tokens of the answers a decode run makes: #7, or #7–#63."""
    if not run.requests:
        return count(run.tokens)
    first, last = min(run.requests.values()), max(run.requests.values())
    return f"#{first}" if first == last else f"#{first}–#{last}"
