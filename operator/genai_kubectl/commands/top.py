"""`top`: what the pods of a model, or of a namespace, do now. Their metrics are read through the API server."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.text import Text

from genai_kubectl.clients.kube import Kube
from genai_kubectl.decisions.pod_load import PodLoad, Reading, pod_load, reading
from genai_kubectl.decisions.pods import ready
from genai_kubectl.errors import CommandFailed, NotFound, WrongUsage
from genai_kubectl.names import MODELS, PORT_METRICS
from genai_kubectl.options import Common, Format
from genai_kubectl.output import columns, note, show, stdout, structured, table
from genai_kubectl.session import Session, seconds

_HEADER = ("MODEL", "POD", "STATE", "TOK/S", "RUNNING", "WAITING", "BATCH", "KV", "WINDOW")
_READERS = 8
_Key = tuple[str, str]  # model, pod


def top(
    common: Common,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The GenAIModel; all if left out.")] = "",
    once: Annotated[bool, typer.Option("--once", help="One table instead of a live one.")] = False,
    interval: Annotated[str, typer.Option(help="Between two readings.")] = "1s",
) -> None:
    """Tokens per second, queue, batch and KV cache of each pod."""
    session = Session(common)
    pause = seconds(interval, "--interval")
    if pause < 0.1:
        raise WrongUsage("--interval: 100ms is the least")
    before = _read(session.kube, name)
    if once or session.output is not Format.TABLE or not stdout().is_terminal:
        time.sleep(pause)
        _print(session, _loads(_read(session.kube, name), before))
        return
    with Live(console=stdout(), auto_refresh=False) as live:
        while True:
            time.sleep(pause)
            now = _read(session.kube, name)
            live.update(Text("\n".join(columns(_HEADER, _rows(_loads(now, before))))), refresh=True)
            before = now


def _read(kube: Kube, name: str) -> dict[_Key, Reading | None]:
    """A reading of every pod; None of one that does not answer."""
    models = [kube.get(MODELS, name)] if name else kube.find(MODELS)
    if not models:
        raise NotFound(f"there is no GenAIModel in namespace {kube.namespace}")
    keys = [
        (str(model["metadata"]["name"]), str(pod["metadata"]["name"]), ready(pod))
        for model in models
        for pod in kube.pods(model["metadata"]["name"])
    ]

    def one(key: tuple[str, str, bool]) -> Reading | None:
        try:
            return reading(kube.pod_page(key[1], PORT_METRICS, "metrics"), time.monotonic())
        except CommandFailed:
            if key[2]:
                raise
            return None  # it is starting

    with ThreadPoolExecutor(_READERS) as readers:
        found = list(readers.map(one, keys))
    return {(model, pod): page for (model, pod, _), page in zip(keys, found, strict=True)}


def _loads(now: Mapping[_Key, Reading | None], before: Mapping[_Key, Reading | None]) -> list[tuple[str, PodLoad]]:
    starting = Reading(0.0, {}, "STARTING")
    return [(key[0], pod_load(key[1], page or starting, before.get(key))) for key, page in now.items()]


def _rows(loads: list[tuple[str, PodLoad]]) -> list[tuple[object, ...]]:
    def number(value: float | None, unit: str = "") -> str:
        return "-" if value is None else f"{value:g}{unit}"

    return [
        (
            *(model, load.pod, load.state, number(load.tokens_per_second), load.running, load.waiting),
            *(number(load.batch), number(load.kv_percent, "%"), "open" if load.window else "-"),
        )
        for model, load in loads
    ]


def _print(session: Session, loads: list[tuple[str, PodLoad]]) -> None:
    plain: list[dict[str, Any]] = []
    for model, load in loads:
        values = asdict(load)
        camel = {"tokens_per_second": "tokensPerSecond", "kv_percent": "kvPercent"}
        plain.append({"model": model, **{camel.get(name, name): value for name, value in values.items()}})
    if structured(plain, session.output):
        return
    if session.output is Format.NAME:
        for _, load in loads:
            show(f"pod/{load.pod}")
        return
    if not loads:
        note("there are no pods")
        return
    table(_HEADER, _rows(loads))
