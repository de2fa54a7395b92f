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
from typing import Any

from bench.runtime_options import measures
from bench.runtime_options.measures import Acknowledgements, Field
from support.bench import Check, percentile, report, versions
from support.live_cluster import LiveCluster, wait_until
from support.model_resource import ModelAccess, genai_model
from support.release import install, restart

NAMESPACE = "genai-bench"
PODS = 3


def prepared() -> Field:
    """The operator of this working tree, and a fresh model of three pods."""
    cluster = LiveCluster.connect()
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


async def measure(field: Field, *, quick: bool) -> dict[str, Any]:
    """Everything, one after the other."""
    run: dict[str, Any] = {"quick": quick, "pods": PODS}
    sections = {
        "acknowledged_ms": measures.acknowledgements(field, 10 if quick else 100),
        "terminate_decode": measures.terminations(field, 3 if quick else 20, prompts=False),
        "terminate_prefill": measures.terminations(field, 3 if quick else 20, prompts=True),
        "tokens_per_second": measures.window_cost(field, 2 if quick else 8, 2.0 if quick else 4.0),
        "files": measures.files(field, 2 if quick else 10),
    }
    for name, section in sections.items():
        began = time.monotonic()
        run[name] = await section
        print(f"{name}: measured in {time.monotonic() - began:.0f} s", flush=True)
    return run


def checks(run: dict[str, Any]) -> list[Check]:
    """The goals."""
    decode, prefill = run["terminate_decode"]["at_pod_ms"], run["terminate_prefill"]["at_pod_ms"]
    rates = run["tokens_per_second"]
    return [
        Check("ack_p99_ms", percentile(run["acknowledged_ms"], 0.99), 250),
        Check("terminate_decode_p99_ms", percentile(decode, 0.99) if decode else None, 50),
        Check("terminate_prefill_p99_ms", percentile(prefill, 0.99) if prefill else None, 100),
        Check("window_cost_pct_1in100", measures.cost_percent(rates, "1 in 100"), 2),
        Check("cost_outside_pct", measures.cost_percent(rates, "no run"), 1),
        Check("files_lost", run["files"]["lost"], 0),
        Check("files_unparsable", run["files"]["unparsable"], 0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few of each: whether everything works")
    asked = parser.parse_args()
    field = prepared()
    try:
        run = asyncio.run(measure(field, quick=asked.quick))
    finally:
        field.cluster.delete("GenAIModel", "options", NAMESPACE)
    report("runtime-options", versions=versions("grpcio", "kubernetes"), runs=[run], checks=checks(run))


if __name__ == "__main__":
    main()
