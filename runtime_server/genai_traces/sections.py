"""The report's sections, each HTML from a summary of the trace. What they are drawn with is `charts`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genai_traces.charts import Bar, Part, bars, scatter, stacked
from genai_traces.operators import OperatorTime
from genai_traces.quantiles import Point, quantile
from genai_traces.runs import DECODE, PREFILL, RunSpan, of_kind
from genai_traces.summary import TraceSummary
from genai_traces.wording import breakable, count, duration, escape, percent, plural, provider_name

TOP_OPERATORS = 12
_COLOURS = 6
_TEXT = frozenset({"Pod", "Kind", "Requests", "Costliest operator"})
_KINDS = (("", "All runs"), (PREFILL, "Prefill"), (DECODE, "Decode"))


@dataclass(frozen=True, slots=True)
class Providers:
    """A colour for each execution provider, the same in all of a report's charts: by name, the CPU's first."""

    colours: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, operators: Sequence[OperatorTime]) -> "Providers":
        """Those that the operators ran on."""
        names = sorted({each.provider for each in operators}, key=lambda name: (provider_name(name) != "CPU", name))
        return cls({name: f"s{number % _COLOURS + 1}" for number, name in enumerate(names)})


def section(title: str, about: str, content: str) -> str:
    """A titled part of the page; all HTML."""
    return f"<section><h2>{title}</h2><p class='about'>{about}</p>{content}</section>"


def heads(*names: str, sorts: bool = False) -> str:
    """A table's headings; those of columns of text stand on the left."""
    shown = (f'<button type="button">{name}</button>' if sorts else name for name in names)
    places = (' class="text"' if name in _TEXT else "" for name in names)
    cells = (f"<th{place}>{content}</th>" for place, content in zip(places, shown, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def top_operators(summary: TraceSummary, providers: Providers) -> str:
    """The bar chart, of all runs and of each kind."""
    shown = [(kind, name, summary.operators(kind or None)) for kind, name in _KINDS]
    shown = [each for each in shown if each[2]]
    if not shown:
        return section("Top operators", "", '<p class="empty">The trace has no operators.</p>')
    switches = "".join(
        f'<input type="radio" name="kind" id="kind-{kind or "all"}"{" checked" * (not kind)}>'
        f'<label for="kind-{kind or "all"}">{name}</label>'
        for kind, name, _ in shown
    )
    panels = "".join(
        f'<div class="panel {kind or "all"}">{_operator_bars(operators, providers)}</div>'
        for kind, _, operators in shown
    )
    legend = "".join(
        f'<li><i class="swatch {colour}"></i>{escape(provider_name(name))}</li>'
        for name, colour in providers.colours.items()
    )
    about = "Share of the operators’ own time, without that of operators nested in them; coloured by provider."
    return section(
        "Top operators", about, f'<div class="switch">{switches}<ul class="legend">{legend}</ul>{panels}</div>'
    )


def _operator_bars(operators: Sequence[OperatorTime], providers: Providers) -> str:
    longest = operators[0].share or 1.0
    rows = [
        Bar(
            breakable(each.op_type),
            f"{escape(provider_name(each.provider))} · {plural(each.calls, 'call')}",
            percent(each.share),
            each.share / longest,
            providers.colours[each.provider],
            f"{duration(each.microseconds_per_run)} a run",
        )
        for each in operators[:TOP_OPERATORS]
    ]
    rest = operators[TOP_OPERATORS:]
    if rest:
        share, calls = sum(each.share for each in rest), sum(each.calls for each in rest)
        time = sum(each.microseconds_per_run for each in rest)
        label = plural(len(rest), "other kind")
        rows.append(Bar(label, plural(calls, "call"), percent(share), share / longest, "s0", f"{duration(time)} a run"))
    return bars(rows)


def prefill_and_decode(summary: TraceSummary) -> str:
    """What each kind of run took in total, and what of that its operators."""
    kinds = [kind for kind in (PREFILL, DECODE) if of_kind(summary.runs, kind)]
    kinds += sorted({run.kind for run in summary.runs} - {PREFILL, DECODE})
    total = sum(run.duration for run in summary.runs) or 1.0
    totals = {kind: sum(run.duration for run in of_kind(summary.runs, kind)) for kind in kinds}
    parts = [
        Part(escape(kind), f"{duration(totals[kind])} · {percent(totals[kind] / total)}", totals[kind], _kind(kind))
        for kind in kinds
    ]
    names = ("Runs", "Number", "Tokens", "Median", "p99", "A token", "In operators")
    head = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    rows = "".join(_kind_row(kind, of_kind(summary.runs, kind)) for kind in kinds)
    table = f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    about = (
        "Time in runs of the model. What is not in operators is ONNX Runtime’s and the engine’s own work around them."
    )
    return section("Prefill against decode", about, stacked(parts, "time in runs by kind") + table)


def _kind(kind: str) -> str:
    return kind if kind in (PREFILL, DECODE) else "s0"


def _kind_row(kind: str, runs: Sequence[RunSpan]) -> str:
    times = [run.duration for run in runs]
    tokens = sum(run.tokens for run in runs)
    cells = (
        count(len(runs)),
        count(tokens),
        duration(quantile(times, 0.5)),
        duration(quantile(times, 0.99)),
        duration(sum(times) / tokens) if tokens else "–",
        percent(min(1.0, sum(run.operator_time for run in runs) / (sum(times) or 1.0))),
    )
    name = f'<th scope="row"><i class="swatch {_kind(kind)}"></i>{escape(kind)}</th>'
    return f"<tr>{name}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def run_times(summary: TraceSummary) -> str:
    """Decode runs over the token that they make, prefills over their length."""
    decode: list[Point] = [
        (token, run.duration) for run in of_kind(summary.runs, DECODE) for token in run.requests.values()
    ]
    prefill: list[Point] = [(run.tokens, run.duration) for run in of_kind(summary.runs, PREFILL)]
    plots = ""
    if decode:
        plots += f"<div><h3>Decode</h3>{scatter(decode, 'token of the answer', DECODE, 'token')}</div>"
    if prefill:
        plots += f"<div><h3>Prefill</h3>{scatter(prefill, 'prompt tokens in the run', PREFILL, 'run')}</div>"
    if not plots:
        return ""
    about = "A run that makes tokens of several requests is a dot for each of them."
    return section("Run time over token index", about, f'<div class="plots">{plots}</div>')


def provider_shares(summary: TraceSummary, providers: Providers) -> str:
    """Where the operators ran, in one bar a kind of run."""
    rows = ""
    for kind, name in _KINDS if len(providers.colours) > 1 else _KINDS[:1]:
        operators = summary.operators(kind or None)
        shares = {
            provider: sum(each.share for each in operators if each.provider == provider)
            for provider in providers.colours
        }
        parts = [
            Part(escape(provider_name(each)), percent(share), share, providers.colours[each])
            for each, share in shares.items()
        ]
        rows += f"<h3>{name}</h3>{stacked(parts, f'{name}: time by provider')}" if operators else ""
    return section("Share by provider", "Share of operator time on each execution provider.", rows) if rows else ""


def own_spans(summary: TraceSummary) -> str:
    """What the server did beside the model."""
    if not summary.own_spans:
        return ""
    head = "<tr><th>Step</th><th>Number</th><th>Mean</th><th>Longest</th><th>Total</th></tr>"
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{count(each.count)}</td>'
        f"<td>{duration(each.microseconds / each.count)}</td><td>{duration(each.longest)}</td>"
        f"<td>{duration(each.microseconds)}</td></tr>"
        for name, each in sorted(summary.own_spans.items(), key=lambda item: -item[1].microseconds)
    )
    about = "The server’s own steps for the requests in the window; they may overlap with runs of the model."
    return section("Beside the model", about, f'<div class="wide"><table><thead>{head}</thead>{rows}</table></div>')
