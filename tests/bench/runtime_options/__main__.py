"""Live options, measured on a running cluster: three pods under steady load; and what a window costs, beside it.

    make bench-runtime-options [ARGS="--quick"]
    make bench-runtime-options ARGS="--sections engine_cost,server_cost"

Writes build/bench/runtime-options.json. The cluster is the one that CLUSTER names; the benchmark's own process speaks
to the pods, so it has to run where pods' addresses are reached: on the local cluster, or on a node. A missed goal is no
failure. Acknowledgements count from the patch to a status that says all pods have it, as its watcher sees it;
terminations from the pod's own log line to the last message at the client. A window's cost is CPU time of one
engine: operator and API server use the same cores as the pods here, so tokens a second tell more about them.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.latency import models
from bench.runtime_options import measures
from bench.runtime_options.cost import server_cost
from bench.runtime_options.engine_cost import engine_cost
from bench.runtime_options.measures import Acknowledgements, Field
from localkube import places
from support.bench import Check, percentile, report, versions
from support.live_cluster import LiveCluster, wait_until
from support.model_resource import ModelAccess, genai_model
from support.release import NAMESPACE as OPERATORS
from support.release import install, restart

NAMESPACE = "genai-bench"
PODS = 3
_ON_CLUSTER = ("acknowledged_ms", "terminate_decode", "terminate_prefill", "files", "tokens_per_second")
SECTIONS = ("engine_cost", "engine_cost_hello", "server_cost", *_ON_CLUSTER)


def prepared() -> Field:
    """The operator of this working tree, and a fresh model of three pods."""
    cluster = LiveCluster.connect()
    cluster.make_namespace(OPERATORS)
    install(cluster)
    restart(cluster)
    cluster.make_namespace(NAMESPACE)
    cluster.delete("GenAIModel", "options", NAMESPACE)
    wait_until("the last run's pods gone", lambda: not cluster.find("Pod", NAMESPACE), 90)
    resources = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    cluster.create(genai_model("options", NAMESPACE, replicas=PODS, resources=resources))
    model = ModelAccess(cluster, "options", NAMESPACE)
    model.wait_ready(PODS, 180)
    model.wait_applied(PODS, 60)
    acknowledged = Acknowledgements(model, PODS)
    acknowledged.watch()
    return Field(cluster, model, acknowledged)


def on_cluster(field: Field, *, quick: bool) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What is measured on the cluster's pods."""
    return {
        "acknowledged_ms": lambda: measures.acknowledgements(field, 10 if quick else 100),
        "terminate_decode": lambda: measures.terminations(field, 3 if quick else 20, prompts=False),
        "terminate_prefill": lambda: measures.terminations(field, 3 if quick else 20, prompts=True),
        "files": lambda: measures.files(field, 2 if quick else 10),
        "tokens_per_second": lambda: measures.window_cost(field, 2 if quick else 6, 2.0),
    }


def beside_it(*, quick: bool) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What is measured in processes of the benchmark's own."""
    return {
        "engine_cost": lambda: asyncio.to_thread(_of_usual_size, 2 if quick else 20),
        "engine_cost_hello": lambda: asyncio.to_thread(engine_cost, 10 if quick else 200),
        "server_cost": lambda: server_cost(1 if quick else 12, 0.5 if quick else 1.5),
    }


def _of_usual_size(rounds: int) -> dict[str, Any]:
    """Of 116 million parameters in int4: about the smallest that people serve. The hello model has 3 million."""
    return engine_cost(rounds, models.ensure(places.cache_dir() / "bench-latency").int4)


async def measure(sections: dict[str, Callable[[], Awaitable[Any]]], run: dict[str, Any]) -> None:
    """One after the other, into `run`: what was measured is kept when a later part fails."""
    for name, section in sections.items():
        began = time.monotonic()
        run[name] = await section()
        print(f"{name}: measured in {time.monotonic() - began:.0f} s", flush=True)


def checks(run: dict[str, Any]) -> list[Check]:
    """The goals; without a value where nothing was measured."""
    decode = run.get("terminate_decode", {}).get("at_pod_ms")
    prefill = run.get("terminate_prefill", {}).get("at_pod_ms")
    costs, files = run.get("engine_cost", {}).get("percent", {}), run.get("files", {})
    of_hello = run.get("engine_cost_hello", {}).get("percent", {})
    return [
        Check("ack_p99_ms", _p99(run.get("acknowledged_ms")), 250),
        Check("terminate_decode_p99_ms", _p99(decode), 50),
        Check("terminate_prefill_p99_ms", _p99(prefill), 100),
        Check("window_cost_pct_1in100", costs.get("1 in 100", {}).get("median"), 2),
        Check("cost_outside_pct", costs.get("no run", {}).get("median"), 1),
        Check("window_cost_hello_pct_1in100", of_hello.get("1 in 100", {}).get("median"), 2),
        Check("cost_outside_hello_pct", of_hello.get("no run", {}).get("median"), 1),
        Check("files_lost", files.get("lost"), 0),
        Check("files_unparsable", files.get("unparsable"), 0),
    ]


def _p99(values: list[float] | None) -> float | None:
    return percentile(values, 0.99) if values else None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few of each: whether everything works")
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"of {','.join(SECTIONS)}")
    found = parser.parse_args()
    found.sections = found.sections.split(",")
    if unknown := set(found.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return found


def main() -> None:
    asked = arguments()
    run: dict[str, Any] = {"quick": asked.quick, "pods": PODS}
    wanted = {name: work for name, work in beside_it(quick=asked.quick).items() if name in asked.sections}
    field = None
    try:
        asyncio.run(measure(wanted, run))
        if set(asked.sections) - set(wanted):
            field = prepared()
            pods = on_cluster(field, quick=asked.quick)
            asyncio.run(measure({name: work for name, work in pods.items() if name in asked.sections}, run))
    finally:
        report("runtime-options", versions=versions("grpcio", "kubernetes"), runs=[run], checks=checks(run))
        if field is not None:
            field.cluster.delete("GenAIModel", "options", NAMESPACE)


if __name__ == "__main__":
    main()
