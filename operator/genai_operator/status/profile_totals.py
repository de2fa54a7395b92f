"""Sums over a profile's pods: what was captured, its cost, and the operators that took the time. No conditions."""

from collections.abc import Mapping, Sequence

from genai_operator.api.profile_status import MAX_TOP_OPERATORS, Artifact, ProfilePod, TopOperator
from genai_operator.status.profile_observed import WindowReport


def overhead_percent(pods: Sequence[ProfilePod]) -> float | None:
    """The mean over the pods that could say, weighted by their captured runs."""
    said = [(pod.overhead_percent, pod.runs) for pod in pods if pod.overhead_percent is not None and pod.runs]
    runs = sum(weight for _, weight in said)
    return round(sum(percent * weight for percent, weight in said) / runs, 1) if runs else None


def top_operators(pods: Sequence[ProfilePod], reports: Mapping[str, WindowReport]) -> tuple[TopOperator, ...]:
    """The costliest kinds of operators of the complete windows.

    A pod tells the share of each kind, and its time for the costliest only; a pod counts for as much as all its
    operators took.
    """
    told = [reports[pod.uid] for pod in pods if pod.state == "Complete" and pod.uid in reports]
    weights = _weights(told)
    total = sum(weights)
    shares: dict[tuple[str, str], float] = {}
    calls: dict[tuple[str, str], int] = {}
    for report, weight in zip(told, weights, strict=True):
        for use in report.operators:
            key = (use.op_type[:128], use.provider[:128])
            shares[key] = shares.get(key, 0.0) + use.share * weight / max(total, 1)
            calls[key] = calls.get(key, 0) + use.calls
    order = sorted(shares, key=lambda key: (-shares[key], key))
    return tuple(
        TopOperator(
            op_type=key[0],
            provider=key[1],
            calls=calls[key],
            share_percent=round(min(max(100 * shares[key], 0.0), 100.0), 1),
        )
        for key in order[:MAX_TOP_OPERATORS]
    )


def _weights(reports: Sequence[WindowReport]) -> list[float]:
    """Microseconds of all operators of each window; runs instead where one of the pods does not tell times."""
    times = []
    for report in reports:
        share = sum(use.share for use in report.operators)
        spent = sum(use.microseconds for use in report.operators)
        times.append(spent / share if share and spent else 0.0)
    return times if all(times) else [float(report.runs) for report in reports]


def pods_artifact(pods: Sequence[ProfilePod], reports: Mapping[str, WindowReport]) -> Artifact | None:
    """The traces as they lie in the pods."""
    complete = [pod for pod in pods if pod.state == "Complete" and pod.profile_id]
    if not complete:
        return None
    location = ",".join(f"pod://{pod.name}/{pod.profile_id}" for pod in complete)
    size = sum(reports[pod.uid].trace_bytes for pod in complete if pod.uid in reports)
    return Artifact(type="Pod", location=location, bytes=size)
