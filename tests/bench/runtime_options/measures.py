"""What is measured on live pods: acknowledgements, terminations, what windows cost and whether they lose files."""

import asyncio
import json
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.runtime_options.streams import PodLoad, rate
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.runtime_options import desired_options
from genai_traces.check import problems
from genai_traces.runs import read_runs
from support.live_cluster import LiveCluster, Object, wait_until
from support.model_resource import GROUP, PORT, ModelAccess

API_VERSION = f"{GROUP}/v1alpha1"
WINDOW_RUNS = 200
# More than a story has: a window that is open and captures nothing.
NO_RUN = "1000000"
ONE_IN_100 = "every 100"


@dataclass
class Acknowledgements:
    """Remembers when the model's status first said that all pods have a revision."""

    model: ModelAccess
    pods: int
    seen: dict[str, float] = field(default_factory=dict)

    def watch(self) -> None:
        """Begin; the thread ends with the process."""
        threading.Thread(target=self._watch, daemon=True).start()

    async def when(self, revision: str) -> float:
        """Unix seconds; waits for it."""
        async with asyncio.timeout(30):
            while revision not in self.seen:  # noqa: ASYNC110 - another thread watches
                await asyncio.sleep(0.002)
        return self.seen[revision]

    def _watch(self) -> None:
        resource = self.model.cluster.api.resources.get(kind="GenAIModel", api_version=API_VERSION)
        while True:
            for event in resource.watch(namespace=self.model.namespace, name=self.model.name, timeout=300):
                options = event["raw_object"].get("status", {}).get("runtimeOptions", {})
                if options.get("applied") == f"{self.pods}/{self.pods}":
                    self.seen.setdefault(options["revision"], time.time())


@dataclass
class Field:
    """The model under load, and how it is asked for changes."""

    cluster: LiveCluster
    model: ModelAccess
    acknowledged: Acknowledgements

    def pods(self) -> list[Object]:
        """The ready ones."""
        return self.model.ready_pods()

    @asynccontextmanager
    async def load(self, parallel: int, *, prompts: bool = False) -> AsyncIterator[list[PodLoad]]:
        """Streams to every pod, served before the block begins."""
        loads = [PodLoad(pod["metadata"]["name"], f"{pod['status']['podIP']}:{PORT}") for pod in self.pods()]
        try:
            for each in loads:
                await each.start(parallel, prompts=prompts)
            await asyncio.gather(*(each.served() for each in loads))
            yield loads
        finally:
            await asyncio.gather(*(each.stop() for each in loads))

    async def annotate(self, key: str, value: str | None) -> tuple[float, str]:
        """When the patch was sent, and the revision that it makes."""
        annotations = {"metadata": {"annotations": {f"{GROUP}/{key}": value}}}
        sent = time.time()
        body = await asyncio.to_thread(
            self.cluster.patch, "GenAIModel", self.model.name, self.model.namespace, annotations
        )
        return sent, desired_options(GenAIModel.from_body(body)).revision


async def acknowledgements(field: Field, count: int) -> list[float]:
    """Milliseconds from a patch to the status that says that all pods have it; a rule that matches nobody each time."""
    found = []
    async with field.load(2):
        for number in range(count):
            sent, revision = await field.annotate("cancel", f"request-id=nobody-{number}")
            found.append((await field.acknowledged.when(revision) - sent) * 1000)
            await asyncio.sleep(0.1)
        await field.annotate("cancel", None)
    return found


async def terminations(field: Field, count: int, *, prompts: bool) -> dict[str, list[float]]:
    """Milliseconds to each pod's last stream's last message: from when the pod had it, and from the patch."""
    at_pod, from_patch = [], []
    async with field.load(2, prompts=prompts) as loads:
        for _ in range(count):
            for each in loads:
                each.terminated.clear()
            sent, revision = await field.annotate("terminate-session", "1")
            await field.acknowledged.when(revision)
            await asyncio.sleep(0.3)
            for each in loads:
                if each.terminated:
                    applied = await asyncio.to_thread(_applied_at, field, each.name, sent)
                    at_pod.append((max(each.terminated) - applied) * 1000)
                    from_patch.append((max(each.terminated) - sent) * 1000)
            field.acknowledged.seen.clear()
            await field.annotate("terminate-session", "0")
            await asyncio.gather(*(each.served() for each in loads))
            field.acknowledged.seen.clear()
    return {"at_pod_ms": at_pod, "from_patch_ms": from_patch}


async def window_cost(field: Field, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Tokens a second of all pods: without a window, with one that captures no run, with one run in 100; in turn."""
    kinds: list[tuple[str, str | None]] = [("none", None), ("no run", NO_RUN), ("1 in 100", ONE_IN_100)]
    rates: dict[str, list[float]] = {name: [] for name, _ in kinds}
    async with field.load(2) as loads:
        for number in range(rounds):
            for name, runs in kinds if number % 2 else reversed(kinds):
                async with _window(field, f"cost-{number}-{name.replace(' ', '-')}", runs):
                    await asyncio.sleep(0.5)
                    rates[name].append(await rate(loads, seconds))
    return rates


async def files(field: Field, windows: int) -> dict[str, Any]:
    """`windows` of 200 runs on all pods under load: runs that are missing in traces, and traces that are not valid."""
    lost = unparsable = 0
    for number in range(windows):
        name = f"files-{number}"
        # Merging has the lowest priority, and would wait for the load's end.
        async with field.load(2):
            _create(field, name, limits={"maxRuns": WINDOW_RUNS, "maxSeconds": 120})
            await asyncio.to_thread(_wait_captured, field, name)
        ended = await asyncio.to_thread(_wait_phase, field, name, ("Complete", "Failed"))
        for pod in ended["status"]["pods"]:
            kept, valid = await asyncio.to_thread(_trace, field, pod)
            lost += WINDOW_RUNS - kept
            unparsable += not valid
        _delete(field, name)
    return {"windows": windows, "pods": len(field.pods()), "lost": lost, "unparsable": unparsable}


def _trace(field: Field, pod: Object) -> tuple[int, bool]:
    """(runs in the pod's trace, whether it is valid)."""
    if pod.get("state") != "Complete":
        return 0, False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json.gz"
        path.write_bytes(field.model.fetch_profile(pod["name"], pod["profileId"]))
        return min(WINDOW_RUNS, _runs(path)), not problems(path)


def _runs(path: Path) -> int:
    """A run of several requests is on each one's thread as well, and is one."""
    return len({(run.pod, run.number) for run in read_runs(path)})


@asynccontextmanager
async def _window(field: Field, name: str, runs: str | None) -> AsyncIterator[None]:
    """A window on all pods while the block runs."""
    if runs is None:
        yield
        return
    _create(field, name, runs=runs, limits={"maxSeconds": 300, "maxRuns": 100_000})
    try:
        await asyncio.to_thread(_wait_phase, field, name, ("Running",))
        yield
    finally:
        _delete(field, name)
        await asyncio.to_thread(_wait_closed, field)


def _create(field: Field, name: str, **spec: Any) -> None:
    metadata = {"name": name, "namespace": field.model.namespace}
    body = {"model": field.model.name, **spec}
    field.cluster.create({"apiVersion": API_VERSION, "kind": "GenAIProfile", "metadata": metadata, "spec": body})


def _delete(field: Field, name: str) -> None:
    resource = field.cluster.api.resources.get(kind="GenAIProfile", api_version=API_VERSION)
    resource.delete(name=name, namespace=field.model.namespace)


def _wait_phase(field: Field, name: str, phases: Sequence[str]) -> Object:
    def there() -> Object | None:
        found = field.cluster.get("GenAIProfile", name, field.model.namespace, API_VERSION) or {}
        status = found.get("status", {})
        opened = all(pod.get("state") not in ("Pending", None) for pod in status.get("pods", []))
        return found if status.get("phase") in phases and opened else None

    return wait_until(f"profile {name} is {' or '.join(phases)}", there, 120)


def _wait_captured(field: Field, name: str) -> None:
    """All pods have a window of it, and none is open any more."""

    def captured() -> bool:
        found = field.cluster.get("GenAIProfile", name, field.model.namespace, API_VERSION) or {}
        states = [pod.get("state", "Pending") for pod in found.get("status", {}).get("pods", [])]
        return bool(states) and not {"Pending", "Open"} & set(states)

    wait_until(f"profile {name} captured", captured, 120)


def _wait_closed(field: Field) -> None:
    """No pod has an open window any more."""

    def closed() -> bool:
        lists = [
            json.loads(field.model.ctl(pod["metadata"]["name"], "profile", "list", "--output", "json"))
            for pod in field.pods()
        ]
        return not any(each["state"].endswith("OPEN") for profiles in lists for each in profiles)

    wait_until("all windows closed", closed, 30)


def _applied_at(field: Field, pod: str, since: float) -> float:
    """When the pod's log says that it was told to terminate, in Unix seconds."""
    found = _last_line(
        field.cluster.kubectl("logs", pod, "-n", field.model.namespace, "--tail=400"),
        lambda line: line.get("option") == "terminate-session" and line.get("value") == 1,
    )
    at = datetime.fromisoformat(found["time"]).timestamp()
    if at < since - 1:
        raise AssertionError(f"pod {pod} does not say when it was told to terminate; last it was {found['time']}")
    return at


def _last_line(log: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    for line in reversed(log.splitlines()):
        if line.startswith("{") and wanted(found := json.loads(line)):
            return dict(found)
    raise AssertionError("the pod's log does not have the line that tells when it was told to terminate")
