"""`bench`: streams of requests to a live model through port-forwards, and how fast their readers saw the tokens."""

import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Annotated

import typer

from genai_kubectl.clients.forward import Access, PodHttp
from genai_kubectl.clients.kube import Kube
from genai_kubectl.commands.access import Credentials, access
from genai_kubectl.decisions.bench_summary import Measured, Summary, summarise
from genai_kubectl.decisions.chat_stream import END, PATH, piece, request
from genai_kubectl.decisions.pods import ready_names
from genai_kubectl.errors import CommandFailed
from genai_kubectl.names import MODELS, PORT_HTTP
from genai_kubectl.options import Common, ModelName
from genai_kubectl.output import note, pairs, progress, structured
from genai_kubectl.session import Session, seconds

_PROMPT = "Tell me a long story about a lighthouse."
_MAX_STREAMS = 64


@dataclass
class _Run:
    """What the streams share."""

    model: str
    prompt: str
    max_tokens: int
    until: float
    measured: list[Measured] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    tokens: int = 0  # that were seen, for the progress bar; events, where one carries several


def bench(  # noqa: PLR0913 - a command's options
    name: ModelName,
    common: Common,
    credentials: Credentials,
    streams: Annotated[int, typer.Option(min=1, max=_MAX_STREAMS, help="Requests at the same time.")] = 4,
    duration: Annotated[str, typer.Option("--duration", "-d", help="No request starts after this.")] = "10s",
    max_tokens: Annotated[int, typer.Option(min=1, help="Of each request.")] = 64,
    prompt: Annotated[str, typer.Option(help="What is asked.")] = _PROMPT,
) -> None:
    """Measure tokens per second and latencies. The port-forward takes its share: compare like with like."""
    session = Session(common)
    length = seconds(duration, "--duration")
    model = session.kube.get(MODELS, name)
    pods = ready_names(session.kube.pods(name), name)
    how = access(model, credentials)
    run = _Run(name, prompt, max_tokens, until=time.monotonic() + length)
    begun = time.monotonic()
    threads = [
        threading.Thread(target=_stream, args=(session.kube, pods[index % len(pods)], how, run), daemon=True)
        for index in range(streams)
    ]
    for each in threads:
        each.start()
    _follow(threads, run, begun, length)
    summary = summarise(run.measured, len(run.errors), streams, time.monotonic() - begun)
    for error in sorted(set(run.errors))[:5]:
        note(f"error: {error}")
    if not run.measured:
        raise CommandFailed(f"no request to {name!r} was answered: {run.errors[0] if run.errors else 'none was sent'}")
    _print(session, name, summary)
    if run.errors:
        raise CommandFailed(f"{len(run.errors)} of {len(run.errors) + len(run.measured)} requests failed")


def _follow(threads: list[threading.Thread], run: _Run, begun: float, length: float) -> None:
    with progress() as bar:
        task = bar.add_task("bench", total=length, said="")
        while any(each.is_alive() for each in threads):
            passed = time.monotonic() - begun
            rate = f"{run.tokens / passed:.0f} events/s" if passed > 0 else ""
            bar.update(task, completed=min(passed, length), said=rate)
            time.sleep(0.1)


def _stream(kube: Kube, pod: str, how: Access, run: _Run) -> None:
    """One after the other, on one connection; a broken one is made again once a second."""
    while time.monotonic() < run.until:
        try:
            with PodHttp(kube, pod, PORT_HTTP, how) as http:
                while time.monotonic() < run.until:
                    run.measured.append(_one(http, pod, run))
        except CommandFailed as error:
            run.errors.append(str(error))
            time.sleep(min(1.0, max(0.0, run.until - time.monotonic())))


def _one(http: PodHttp, pod: str, run: _Run) -> Measured:
    begun = time.monotonic()
    seen: list[float] = []
    tokens = 0
    body = request(run.model, [{"role": "user", "content": run.prompt}], max_tokens=run.max_tokens)
    for data in http.post_events(PATH, body):
        if data == END:
            continue
        found = piece(data)
        tokens = max(tokens, found.completion_tokens)
        if found.text:
            seen.append(time.monotonic() - begun)
            run.tokens += 1
    if not seen:
        raise CommandFailed(f"pod {pod} gave an empty answer")
    return Measured(pod, tokens, tuple(seen))


def _print(session: Session, name: str, summary: Summary) -> None:
    if structured({"model": name, **_camel(summary)}, session.output):
        return

    def both(half: float | None, most: float | None) -> str:
        return "" if half is None or most is None else f"{half:g} ms / {most:g} ms"

    pairs(
        {
            "tokens/s": summary.tokens_per_second,
            "first token p50/p99": both(summary.ttft_p50_ms, summary.ttft_p99_ms),
            "inter-token p50/p99": both(summary.inter_token_p50_ms, summary.inter_token_p99_ms),
            "longest pause p99": "" if summary.longest_pause_p99_ms is None else f"{summary.longest_pause_p99_ms:g} ms",
            "requests": f"{summary.requests}, {summary.failed} failed, {summary.streams} at a time",
            "tokens": summary.tokens,
            "seconds": summary.seconds,
            "pods": ", ".join(f"{pod} ({count})" for pod, count in summary.pods.items()),
        }
    )


def _camel(summary: Summary) -> dict[str, object]:
    def name(field_name: str) -> str:
        first, *others = field_name.split("_")
        return first + "".join(part.capitalize() for part in others)

    return {name(each): value for each, value in asdict(summary).items()}
