"""The operator at 1,000 models without replicas, on a real API server: latencies, memory, and silence when idle.

    python tests/bench/control.py [--models 1000] [--edits 300] [--idle-seconds 60]

Latencies are from sending the edit to the arrival of its effect in a watch, both in this process, which does nothing
else: what a user would see. The API server, etcd and the controllers share the machine's cores with the operator.
Annotation to handler ends when the options' new revision is in the status: handled, decided and reported.

When the operator has ended, `control_prototype.py` does the least that turns an edit into a child, at the same models.
The ratio of the two does not depend on the machine's speed.
"""

import argparse
import asyncio
import contextlib
import functools
import gc
import json
import os
import random
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import uvloop
import yaml
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parents[1]))

from genai_operator.clients.kube import DEPLOYMENT, MODEL, Resource
from support.bench import Check, percentile, report, versions
from support.control_ca import write_ca
from support.control_plane import ControlPlane, control_plane

ROOT = Path(__file__).parents[2]
NAMESPACE = "bench"
PARALLEL_CREATES = 16
WRITE_VERBS = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
ENABLE_PROFILING = "genai-operator.io/enable-profiling"
SECONDS = 120.0
# Ten edits a second: the next one does not compete with what the controllers still do for the last one.
PAUSE = 0.1
# No edit repeats an earlier one, or there would be nothing to apply.
FIRST_TOKENS = 1000
PROTOTYPE_START = 10.0


@dataclass
class Api:
    """The administrator's requests, and watches that remember when they saw what."""

    session: aiohttp.ClientSession
    url: str
    # name -> mark -> when
    seen: dict[str, dict[str, float]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, self.url + path, data=data, headers={"Content-Type": kind}) as answer:
            found = await answer.json()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {found}")
            return dict(found)

    async def watch(self, resource: Resource, mark: Callable[[Mapping[str, Any]], str]) -> None:
        """Notes the time at which (name, mark) was first seen. Runs until cancelled."""
        found = await self.send("GET", f"{resource.path(NAMESPACE)}?limit=1")
        query = f"?watch=true&resourceVersion={found['metadata']['resourceVersion']}"
        async with self.session.get(self.url + resource.path(NAMESPACE) + query) as answer:
            async for line in answer.content:
                arrived = time.perf_counter()
                body = json.loads(line)["object"]
                self.seen.setdefault(body["metadata"]["name"], {}).setdefault(mark(body), arrived)
                self.changed.set()

    async def when(self, name: str, wanted: Callable[[str], bool]) -> float:
        """When a mark that is wanted was first seen; waits for it."""
        async with asyncio.timeout(SECONDS):
            while True:
                for mark, at in self.seen.get(name, {}).items():
                    if wanted(mark):
                        return at
                self.changed.clear()
                await self.changed.wait()

    async def count(self, resource: Resource) -> int:
        """Objects of a kind in the namespace."""
        found = await self.send("GET", resource.path(NAMESPACE) + "?limit=1")
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount", 0))

    async def writes(self) -> dict[str, float]:
        """Writing requests so far, by resource, whoever sent them."""
        async with self.session.get(f"{self.url}/metrics") as answer:
            text = await answer.text()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            if family.name != "apiserver_request":
                continue
            for sample in family.samples:
                if sample.name == "apiserver_request_total" and sample.labels["verb"] in WRITE_VERBS:
                    resource = sample.labels["resource"]
                    found[resource] = found.get(resource, 0.0) + sample.value
        return found


@contextlib.asynccontextmanager
async def connect(plane: ControlPlane) -> AsyncIterator[Api]:
    config = json.loads(plane.kubeconfig.read_text())
    user = config["users"][0]["user"]
    context = ssl.create_default_context(cafile=config["clusters"][0]["cluster"]["certificate-authority"])
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**20) as session:
        yield Api(session, plane.url)


OPERATOR = os.environ.get("BENCH_OPERATOR", "-m genai_operator")
PROTOTYPE = str(Path(__file__).with_name("control_prototype.py"))


@contextlib.contextmanager
def program(plane: ControlPlane, arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The operator as the image starts it, or what takes its place."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(plane.kubeconfig),
        "GENAI_OPERATOR_CA_DIR": str(write_ca(plane.folder / "ca")),
        "GENAI_OPERATOR_HEALTH_PORT": "0",
        "GENAI_OPERATOR_NAMESPACE": "default",
        "GENAI_OPERATOR_IDENTITY": "bench",
    }
    command = [sys.executable, *arguments.split()]
    with (plane.folder / "operator.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def model(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    spec = {"model": {"uri": "builtin://hello"}, "replicas": 0}
    return {"apiVersion": MODEL.api_version, "kind": MODEL.kind, "metadata": metadata, "spec": spec}


async def create(api: Api, names: list[str]) -> dict[str, float]:
    """Creates all models; seconds until all are created, and until every child of each is there."""
    begun = time.perf_counter()
    limit = asyncio.Semaphore(PARALLEL_CREATES)

    async def one(name: str) -> None:
        async with limit:
            await api.send("POST", MODEL.path(NAMESPACE), model(name))

    await asyncio.gather(*map(one, names))
    created = time.perf_counter() - begun
    # The Deployment is applied last: where it is, the ServiceAccount, the Secret and both Services are.
    async with asyncio.timeout(SECONDS + len(names)):
        while await api.count(DEPLOYMENT) < len(names):  # noqa: ASYNC110 - the API server counts
            await asyncio.sleep(0.1)
    return {"models_created_s": created, "all_children_s": time.perf_counter() - begun}


async def edits(api: Api, names: list[str], count: int, first: int = FIRST_TOKENS) -> list[float]:
    """Milliseconds from an edit of the spec to the changed Deployment, one edit after the other."""
    found = []
    for tokens in range(first, first + count):
        name = random.choice(names)
        begun = time.perf_counter()
        spec = {"spec": {"generation": {"maxTokens": tokens}}}
        await api.send("PATCH", MODEL.path(NAMESPACE, name), spec)
        found.append((await api.when(name, f"tokens {tokens}".__eq__) - begun) * 1000)
        await asyncio.sleep(PAUSE)
    return found


async def annotations(api: Api, names: list[str], count: int) -> list[float]:
    """Milliseconds from an annotation to its options in the status, one after the other."""
    found = []
    for name in random.sample(names, count):
        before = await api.send("GET", MODEL.path(NAMESPACE, name))
        old = before["status"]["runtimeOptions"]["revision"]
        begun = time.perf_counter()
        patch = {"metadata": {"annotations": {ENABLE_PROFILING: "bench"}}}
        await api.send("PATCH", MODEL.path(NAMESPACE, name), patch)
        arrived = await api.when(name, functools.partial(is_newer, old))
        found.append((arrived - begun) * 1000)
        await asyncio.sleep(PAUSE)
    return found


def is_newer(old: str, mark: str) -> bool:
    """Whether a mark tells of a revision other than the old one."""
    return mark.startswith("revision ") and mark not in (f"revision {old}", "revision ")


def deployment_mark(body: Mapping[str, Any]) -> str:
    container = body["spec"]["template"]["spec"]["containers"][0]
    return f"tokens {json.loads(container['env'][0]['value'])['default_max_tokens']}"


def model_mark(body: Mapping[str, Any]) -> str:
    return f"revision {body.get('status', {}).get('runtimeOptions', {}).get('revision', '')}"


async def guard(plane: ControlPlane, started: subprocess.Popen[bytes]) -> None:
    """Ends the benchmark when the operator ends."""
    while started.poll() is None:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.5)
    raise RuntimeError(f"the operator ended:\n{(plane.folder / 'operator.log').read_text()[-3000:]}")


async def measure(
    plane: ControlPlane, started: subprocess.Popen[bytes], arguments: argparse.Namespace
) -> dict[str, Any]:
    process = psutil.Process(started.pid)
    names = [f"model-{number:04}" for number in range(arguments.models)]
    run: dict[str, Any] = {"models": arguments.models, "load_average_before": os.getloadavg()}
    async with connect(plane) as api, asyncio.TaskGroup() as group:
        watchdog = group.create_task(guard(plane, started))
        run |= await create(api, names)
        await settle(api)
        run["rss_after_create_mib"] = process.memory_info().rss / 2**20
        watches = [
            group.create_task(api.watch(DEPLOYMENT, deployment_mark)),
            group.create_task(api.watch(MODEL, model_mark)),
        ]
        await asyncio.sleep(1.0)
        gc.disable()  # pauses of the benchmark's own collector are none of the operator's
        busy = sum(process.cpu_times()[:2])
        written = await api.writes()
        run["edit_to_child_ms"] = await edits(api, names, arguments.edits)
        run["operator_cpu_ms_per_edit"] = (sum(process.cpu_times()[:2]) - busy) / arguments.edits * 1000
        await settle(api)
        run["writes_per_edit"] = {
            name: (count - written.get(name, 0.0)) / arguments.edits
            for name, count in (await api.writes()).items()
            if count != written.get(name)
        }
        run["annotation_to_handler_ms"] = await annotations(api, names, min(arguments.edits, arguments.models))
        gc.enable()
        for watch in watches:
            watch.cancel()
        await settle(api)
        before, cpu = await api.writes(), process.cpu_times()
        await asyncio.sleep(arguments.idle_seconds)
        after, cpu_after = await api.writes(), process.cpu_times()
        idle = {name: after[name] - before.get(name, 0.0) for name in after if after[name] != before.get(name)}
        run["idle_seconds"] = arguments.idle_seconds
        run["idle_writes_by_resource"] = idle
        run["idle_cpu_percent"] = (sum(cpu_after[:2]) - sum(cpu[:2])) / arguments.idle_seconds * 100
        run["rss_mib"] = process.memory_info().rss / 2**20
        watchdog.cancel()
    return run


async def measure_prototype(
    plane: ControlPlane, started: subprocess.Popen[bytes], arguments: argparse.Namespace
) -> list[float]:
    """Milliseconds from an edit to its child with `control_prototype.py` in the operator's place."""
    names = [f"model-{number:04}" for number in range(arguments.models)]
    async with connect(plane) as api, asyncio.TaskGroup() as group:
        watchdog = group.create_task(guard(plane, started))
        watch = group.create_task(api.watch(DEPLOYMENT, deployment_mark))
        await asyncio.sleep(PROTOTYPE_START)
        gc.disable()
        found = await edits(api, names, arguments.edits, first=FIRST_TOKENS + arguments.edits)
        gc.enable()
        watch.cancel()
        watchdog.cancel()
    return found


async def settle(api: Api) -> None:
    """Waits until nothing was written for two seconds."""
    before: dict[str, float] = {}
    while True:
        now = {name: value for name, value in (await api.writes()).items() if name != "leases"}
        if now == before:
            return
        before = now
        await asyncio.sleep(2.0)


def checks(run: Mapping[str, Any]) -> list[Check]:
    edit, annotation = run["edit_to_child_ms"], run["annotation_to_handler_ms"]
    least = run["prototype_edit_to_child_ms"]
    # The Lease is the heartbeat: it is written on purpose, by the operator and by the API server itself.
    idle = sum(value for name, value in run["idle_writes_by_resource"].items() if name != "leases")
    return [
        Check("edit_to_child_p50_ms", percentile(edit, 0.50), 15),
        Check("edit_to_child_p99_ms", percentile(edit, 0.99), 30),
        Check("edit_to_child_p50_vs_prototype", percentile(edit, 0.50) / percentile(least, 0.50), 1.2),
        Check("edit_to_child_p99_vs_prototype", percentile(edit, 0.99) / percentile(least, 0.99), 1.2),
        Check("annotation_to_handler_p99_ms", percentile(annotation, 0.99), 30),
        Check("operator_rss_mib", run["rss_mib"], 110),
        Check("idle_writes", idle, 0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--edits", type=int, default=300)
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="genai-bench-") as folder, control_plane(Path(folder)) as plane:
        for crd in sorted((ROOT / "crds").glob("*.yaml")):
            plane.kubectl("apply", "--server-side", "--filename=-", stdin=crd.read_text())
        plane.kubectl("create", "namespace", NAMESPACE)
        with program(plane, OPERATOR) as process:
            run = uvloop.run(measure(plane, process, arguments))
        with program(plane, PROTOTYPE) as process:
            run["prototype_edit_to_child_ms"] = uvloop.run(measure_prototype(plane, process, arguments))
        kubernetes = yaml.safe_load(plane.kubectl("version", "--output=yaml"))["serverVersion"]["gitVersion"]
    found = versions("kopf", "kubernetes", "aiohttp", "pydantic", "grpcio")
    report("control", versions={**found, "kubernetes-server": kubernetes}, runs=[run], checks=checks(run))


if __name__ == "__main__":
    main()
