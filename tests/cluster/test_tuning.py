"""Finding a model's settings on the cluster: a Job measures beside the pods, and what it finds reaches the engine."""

from pathlib import Path
from typing import Any

import pytest

from support.kubectl_genai import KubectlGenai
from support.live_cluster import LiveCluster, wait_until
from support.model_resource import GROUP, ModelAccess, genai_model

pytestmark = pytest.mark.timeout(600)
SECONDS = 240.0
TINY = {
    "load": {"clients": 2, "promptTokens": 8, "newTokens": 4},
    "sweep": {"threads": [1], "spinning": [], "batch": [], "prefillChunk": []},
    "maxSeconds": 10,
}


def recommended(model: ModelAccess) -> dict[str, Any]:
    return dict(model.status().get("recommended", {}))


def test_a_job_measures_and_its_recommendation_reaches_the_engine(cluster: LiveCluster, namespace: str) -> None:
    genai = KubectlGenai(Path(cluster.environment()["KUBECONFIG"]), namespace)
    cluster.create(genai_model("hello", namespace, tuning=TINY))
    model = ModelAccess(cluster, "hello", namespace)
    wait_until("a recommendation", lambda: recommended(model).get("state") in ("Complete", "Failed"), SECONDS)
    found = recommended(model)
    assert found["state"] == "Complete", found
    assert found["load"] == TINY["load"]
    assert found["tokensPerSecond"] > 0
    assert found["baselineTokensPerSecond"] > 0
    (job,) = cluster.find("Job", namespace, f"{GROUP}/tuning=hello")
    assert job["status"]["succeeded"] == 1  # in a namespace that enforces `restricted`
    told = genai.run("tune", "hello", "-o", "json").json()
    assert (told["revision"], told["at"]) == (found["revision"], found["at"])  # it is shown, not measured again

    # Which settings win here is the machine's matter: from now on one that differs from what the pod has.
    model.wait_ready()
    assert threads(model) == 2
    model.patch_spec(tuning={**TINY, "apply": "Automatic"})
    wait_until("one thread in the engine", lambda: with_one_thread(cluster, model), SECONDS)
    assert recommended(model)["applied"] is True
    assert model.get()["spec"]["threads"]["intraOp"] == "auto"
    jobs = cluster.find("Job", namespace, f"{GROUP}/tuning=hello")
    assert [each["metadata"]["uid"] for each in jobs] == [job["metadata"]["uid"]]


def threads(model: ModelAccess) -> int | None:
    """Of the engine, as its pod reports."""
    found = model.status().get("effective", {}).get("threads", {})
    return None if "intraOp" not in found else int(found["intraOp"])


def with_one_thread(cluster: LiveCluster, model: ModelAccess) -> bool:
    """Whether the engine has one; says so in the status as a Job would have, also where a pass has just written."""
    wanted = {"intraOpThreads": 1}
    if recommended(model).get("settings") != wanted:
        nothing = dict.fromkeys(("spinning", "prefillChunk", "maxBatchSize"))
        status = {"status": {"recommended": {"settings": {**nothing, **wanted}}}}
        cluster.patch("GenAIModel", model.name, model.namespace, status, "status")
    return threads(model) == 1
