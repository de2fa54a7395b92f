"""The report's comparison of pods: one row each, their operators side by side, and what stands out in one of them."""

from genai_traces.operators import OperatorTime
from genai_traces.quantiles import quantile
from genai_traces.runs import DECODE, PREFILL, of_kind
from genai_traces.sections import Providers, heads, section
from genai_traces.summary import TraceSummary
from genai_traces.wording import breakable, count, duration, escape, percent, provider_name, short_names

_WORTH_TELLING = 0.05
_OPERATORS = 6
_COLUMNS = 8
_Times = dict[tuple[str, str], float]


def pods_table(summary: TraceSummary, providers: Providers) -> str:
    """One row a pod; nothing for a single one."""
    if len(summary.pods) < 2:
        return ""
    names = short_names(summary.pods)
    medians = {pod: _median(summary, pod, DECODE) for pod in summary.pods}
    longest = max(medians.values()) or 1.0
    head = heads("Pod", "Runs", "Decode, median", "Decode, p99", "Prefill a token", "Costliest operator")
    rows = "".join(_pod_row(summary, pod, names[pod], medians[pod] / longest, providers) for pod in summary.pods)
    about = (
        "The same model on each pod. Runs differ with their prompts and batches; compare operators with that in mind."
    )
    table = f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    return section("Pod by pod", about, table + _operator_table(summary))


def _operator_table(summary: TraceSummary) -> str:
    """The costliest operators of decode runs, a column for each pod; many pods are compared in the rows above only."""
    operators = summary.operators(DECODE)[:_OPERATORS]
    if not operators or len(summary.pods) > _COLUMNS:
        return ""
    names, times = short_names(summary.pods), _times(summary)
    head = "".join(f'<th title="{escape(pod)}">{escape(names[pod])}</th>' for pod in summary.pods)
    rows = ""
    for each in operators:
        key = each.op_type, each.provider
        rows += _operator_row(each, [times[pod].get(key, 0.0) for pod in summary.pods])
    return (
        "<h3>Operators, time a decode run</h3>"
        f'<div class="wide"><table><thead><tr><th>Operator</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _operator_row(operator: OperatorTime, times: list[float]) -> str:
    usual = quantile(times, 0.5)
    cells = ""
    for time in times:
        more = (time - usual) / usual if usual else 0.0
        told = f'<span class="more">+{percent(more)}</span> ' if more > _WORTH_TELLING else ""
        cells += f"<td>{told}{duration(time)}</td>"
    name = f"{breakable(operator.op_type)} <small>{escape(provider_name(operator.provider))}</small>"
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'


def _times(summary: TraceSummary) -> dict[str, _Times]:
    """Microseconds a decode run, by pod and kind of operator."""
    return {
        pod: {(each.op_type, each.provider): each.microseconds_per_run for each in summary.operators(DECODE, pod)}
        for pod in summary.pods
    }


def pod_finding(summary: TraceSummary) -> list[str]:
    """The operator in which a pod differs most from the median pod, by time a decode run."""
    found: list[tuple[float, str, str, float]] = []
    times = _times(summary)
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
