"""Live options, measured on a running cluster: three pods under steady load.

    make bench-runtime-options [ARGS="--quick"]

Writes build/bench/runtime-options.json. The cluster is the one that CLUSTER names; the benchmark's own process speaks
to the pods, so it has to run where pods' addresses are reached: on the local cluster, or on a node. A missed goal is no
failure. Acknowledgements count from the patch to a status that says all pods have it, as its watcher sees it;
terminations from the pod's own log line to the last message at the client.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.runtime_options import measures
from bench.runtime_options.measures import Acknowledgements, Field
from support.bench import Check, percentile, report, versions
from support.live_cluster import LiveCluster, wait_until
from support.model_resource import ModelAccess, genai_model
from support.release import NAMESPACE as OPERATORS
from support.release import install, restart

NAMESPACE = "genai-bench"
PODS = 3


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


async def measure(field: Field, run: dict[str, Any], *, quick: bool) -> None:
    """Everything, one after the other, into `run`: what was measured is kept when a later part fails."""
    sections: dict[str, Callable[[], Awaitable[Any]]] = {
        "acknowledged_ms": lambda: measures.acknowledgements(field, 10 if quick else 100),
        "terminate_decode": lambda: measures.terminations(field, 3 if quick else 20, prompts=False),
        "terminate_prefill": lambda: measures.terminations(field, 3 if quick else 20, prompts=True),
        "files": lambda: measures.files(field, 2 if quick else 10),
        "tokens_per_second": lambda: measures.window_cost(field, 2 if quick else 16, 2.0),
    }
    for name, section in sections.items():
        began = time.monotonic()
        run[name] = await section()
        print(f"{name}: measured in {time.monotonic() - began:.0f} s", flush=True)


def checks(run: dict[str, Any]) -> list[Check]:
    """The goals; without a value where nothing was measured."""
    decode = run.get("terminate_decode", {}).get("at_pod_ms")
    prefill = run.get("terminate_prefill", {}).get("at_pod_ms")
    rates, files = run.get("tokens_per_second"), run.get("files", {})
    return [
        Check("ack_p99_ms", _p99(run.get("acknowledged_ms")), 250),
        Check("terminate_decode_p99_ms", _p99(decode), 50),
        Check("terminate_prefill_p99_ms", _p99(prefill), 100),
        Check("window_cost_pct_1in100", measures.cost_percent(rates, "1 in 100") if rates else None, 2),
        Check("cost_outside_pct", measures.cost_percent(rates, "no run") if rates else None, 1),
        Check("files_lost", files.get("lost"), 0),
        Check("files_unparsable", files.get("unparsable"), 0),
    ]


def _p99(values: list[float] | None) -> float | None:
    return percentile(values, 0.99) if values else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few of each: whether everything works")
    asked = parser.parse_args()
    field = prepared()
    run: dict[str, Any] = {"quick": asked.quick, "pods": PODS}
    try:
        asyncio.run(measure(field, run, quick=asked.quick))
    finally:
        report("runtime-options", versions=versions("grpcio", "kubernetes"), runs=[run], checks=checks(run))
        field.cluster.delete("GenAIModel", "options", NAMESPACE)


if __name__ == "__main__":
    main()
