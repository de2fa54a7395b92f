"""The report's facts, findings and tables: pods side by side, and the runs one by one."""

from collections.abc import Sequence

from genai_traces.quantiles import quantile
from genai_traces.runs import DECODE, PREFILL, RunSpan, of_kind
from genai_traces.sections import Providers, section
from genai_traces.summary import TraceSummary
from genai_traces.wording import count, duration, escape, percent, plural, provider_name, short_names

MOST_RUNS = 300
_WORTH_TELLING = 0.05
_TEXT = frozenset({"Pod", "Kind", "Requests", "Costliest operator"})


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
    told = [*_top_finding(summary), *_decode_finding(summary), *_pod_finding(summary)]
    return '<ul class="findings">' + "".join(f"<li>{each}</li>" for each in told) + "</ul>" if told else ""


def pods_table(summary: TraceSummary, providers: Providers) -> str:
    """One row a pod; nothing for a single one."""
    if len(summary.pods) < 2:
        return ""
    names = short_names(summary.pods)
    medians = {pod: _median(summary, pod, DECODE) for pod in summary.pods}
    longest = max(medians.values()) or 1.0
    head = _heads("Pod", "Runs", "Decode, median", "Decode, p99", "Prefill a token", "Costliest operator")
    rows = "".join(_pod_row(summary, pod, names[pod], medians[pod] / longest, providers) for pod in summary.pods)
    about = (
        "The same model on each pod. Runs differ with their prompts and batches; compare operators with that in mind."
    )
    table = f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    return section("Pod by pod", about, table)


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
    head = _heads("Start", *pod, "Run", "Kind", "Requests", "Tokens", "Duration", "Outside operators", sorts=True)
    rows = "".join(_run_row(run, names, several, summary.start) for run in sorted(runs, key=lambda run: run.start))
    table = f'<table class="sortable"><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return section("Runs", about, f'<div class="wide tall">{table}</div>')


def _heads(*names: str, sorts: bool = False) -> str:
    """A table's headings; those of columns of text stand on the left."""
    shown = (f'<button type="button">{name}</button>' if sorts else name for name in names)
    places = (' class="text"' if name in _TEXT else "" for name in names)
    cells = (f"<th{place}>{content}</th>" for place, content in zip(places, shown, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


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


def _pod_finding(summary: TraceSummary) -> list[str]:
    """The operator in which a pod differs most from the median pod, by time a decode run."""
    found: list[tuple[float, str, str, float]] = []
    times = {
        pod: {(o.op_type, o.provider): o.microseconds_per_run for o in summary.operators(DECODE, pod)}
        for pod in summary.pods
    }
    for key in {key for each in times.values() for key in each}:
        usual = quantile([each.get(key, 0.0) for each in times.values()], 0.5)
        for pod, each in times.items():
            more = each.get(key, 0.0) - usual
            if usual and more / usual > _WORTH_TELLING:
                found.append((more, pod, key[0], more / usual))
    if len(summary.pods) < 3 or not found:
        return []
    more, pod, op_type, share = max(found)
    median = _median(summary, pod, DECODE) or 1.0
    if more / median < _WORTH_TELLING / 2:
        return []
    return [
        f"<b>{escape(short_names(summary.pods)[pod])}</b> spends {duration(more)} more in {escape(op_type)} "
        f"a decode run than the median pod (<b>+{percent(share)}</b>)."
    ]


def _median(summary: TraceSummary, pod: str, kind: str) -> float:
    return quantile([run.duration for run in of_kind(summary.runs, kind) if run.pod == pod], 0.5)


def _pod_row(summary: TraceSummary, pod: str, short: str, share: float, providers: Providers) -> str:
    mine = [run for run in summary.runs if run.pod == pod]
    decodes, prefills = of_kind(mine, DECODE), of_kind(mine, PREFILL)
    prompt = sum(run.tokens for run in prefills)
    top = next(iter(summary.operators(None, pod)), None)
    costliest = "–"
    if top:
        swatch = f'<i class="swatch {providers.colours[top.provider]}"></i>'
        costliest = f"{swatch}{escape(top.op_type)} {percent(top.share)}"
    return (
        f'<tr><th scope="row" title="{escape(pod)}">{escape(short)}</th><td>{count(len(mine))}</td>'
        f'<td class="bar"><span class="decode" style="--share:{share:.3f}"></span>'
        f"{duration(_median(summary, pod, DECODE)) if decodes else '–'}</td>"
        f"<td>{duration(quantile([run.duration for run in decodes], 0.99)) if decodes else '–'}</td>"
        f"<td>{duration(sum(run.duration for run in prefills) / prompt) if prompt else '–'}</td>"
        f'<td class="text">{costliest}</td></tr>'
    )


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
