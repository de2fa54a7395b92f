"""Threads by the pod's CPU limit, seen in the engine process: how many there are, and whether they wait busily."""

import json
from pathlib import Path
from typing import Any

from support import engine_threads
from support.live_cluster import LiveCluster
from support.model_resource import ModelAccess, genai_model

PROGRAM = Path(engine_threads.__file__).read_text()


def seen(model: ModelAccess) -> tuple[dict[str, Any], dict[str, int]]:
    """What the status says of threads, and what the process shows."""
    (pod,) = model.ready_pods()
    name = pod["metadata"]["name"]
    command = ("exec", "-n", model.namespace, name, "--", "python", "-c", PROGRAM, "http://127.0.0.1:8080")
    told: dict[str, Any] = model.status()["effective"]["threads"]
    return told, json.loads(model.cluster.kubectl(*command))


def test_threads_follow_the_cpu_limit_and_spin_where_it_is_whole(cluster: LiveCluster, namespace: str) -> None:
    """Three models at once, which start side by side. Spinning takes CPU time that no other waiting takes."""
    models = {}
    for limit in ("1", "2", "1500m"):
        models[limit] = ModelAccess(cluster, f"cpu-{limit}", namespace)
        resources = {"requests": {"cpu": "50m"}, "limits": {"cpu": limit, "memory": "1Gi"}}
        cluster.create(genai_model(models[limit].name, namespace, resources=resources))
    for model in models.values():
        model.wait_ready()

    one, two, fraction = (seen(model) for model in models.values())
    assert one[0] == {"intraOp": 1, "spinning": "enabled"}
    assert two[0] == {"intraOp": 2, "spinning": "enabled"}
    assert fraction[0] == {"intraOp": 2, "spinning": "disabled"}  # rounded up, whatever the node has
    assert two[1]["threads"] == fraction[1]["threads"] == one[1]["threads"] + 1
    assert two[1]["waiting"] > 2 * fraction[1]["waiting"]
