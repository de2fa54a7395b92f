"""The children that builders make, on a real API server: taken as they are, and pods admitted under `restricted`."""

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from genai_operator.api.built import as_built
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders import build_children
from genai_operator.builders.tuning import tuning_job
from genai_operator.settings import OperatorSettings
from support.control_plane import ControlPlane, control_plane

INPUT = Path(__file__).parents[1] / "data" / "input"
NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "demo", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("children"), controllers=False) as plane:
        plane.kubectl("create", "-f", "-", stdin=json.dumps(NAMESPACE))
        yield plane


@pytest.fixture(params=["minimal", "full", "fetched"])
def manifests(request: pytest.FixtureRequest) -> tuple[dict[str, Any], ...]:
    body = yaml.safe_load((INPUT / f"{request.param}.yaml").read_text())
    return build_children(GenAIModel.from_body(body), OperatorSettings()).manifests()


def apply(server: ControlPlane, manifest: dict[str, Any]) -> dict[str, Any]:
    flags = ("--server-side", "--validate=strict", "--field-manager=genai-operator", "-o", "json")
    stored: dict[str, Any] = json.loads(server.kubectl("apply", *flags, "-f", "-", stdin=json.dumps(manifest)))
    return stored


def test_every_child_is_taken_and_a_second_time_changes_nothing(
    server: ControlPlane, manifests: tuple[dict[str, Any], ...]
) -> None:
    for manifest in manifests:
        first = apply(server, manifest)
        again = apply(server, manifest)
        assert first["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]


def test_nothing_of_a_child_is_lost(server: ControlPlane, manifests: tuple[dict[str, Any], ...]) -> None:
    for manifest in manifests:
        assert missing(manifest, apply(server, manifest)) == []


def test_pods_are_admitted_where_restricted_is_enforced(
    server: ControlPlane, manifests: tuple[dict[str, Any], ...]
) -> None:
    account, deployment = (next(each for each in manifests if each["kind"] == kind) for kind in KINDS)
    apply(server, account)
    template = copy.deepcopy(deployment["spec"]["template"])
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = {**template["metadata"], "name": "one", "namespace": "demo"}
    create = ("create", "--dry-run=server", "-f", "-")
    server.kubectl(*create, stdin=json.dumps(pod))
    del pod["spec"]["securityContext"]["seccompProfile"]
    with pytest.raises(subprocess.CalledProcessError, match="non-zero") as refused:
        server.kubectl(*create, stdin=json.dumps(pod))
    assert "violates PodSecurity" in refused.value.stderr


@pytest.mark.parametrize("uri", ["hf://org/model@main", "pvc://sources/model"])
def test_the_job_that_tries_other_builds_is_taken_and_its_pod_admitted(server: ControlPlane, uri: str) -> None:
    text = {"configMapName": "text", "key": "text"}
    source = {"uri": uri, "cache": {"claimName": "cache"}, "build": {"evaluation": text}}
    tuning = {"sweep": {"precision": ["fp32", "int8", "int4"], "int4BlockSize": [16, 32, 64, 128]}}
    spec = {"model": source, "precision": "int4", "tuning": tuning}
    body = {"metadata": {"name": uri.split(":")[0], "namespace": "demo", "uid": "u-1"}, "spec": spec}
    model = GenAIModel.from_body(body)
    served = as_built(model).model_dump(by_alias=True, mode="json")
    status = {"state": "Complete", "reason": "x", "revision": served["revision"], "digest": "d" * 64, "served": served}
    model = model.model_copy(update={"status": {"build": status}})
    assert model.spec.tuning is not None
    job = tuning_job(model, model.spec.tuning, OperatorSettings())
    stored = apply(server, job)
    assert missing(job, stored) == []
    builds = [each["name"] for each in job["spec"]["template"]["spec"]["initContainers"] if "build" in each["name"]]
    assert len(builds) == 6
    template = job["spec"]["template"]
    metadata = {**template["metadata"], "name": "tuning", "namespace": "demo"}
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}
    account = {"name": pod["spec"]["serviceAccountName"], "namespace": "demo"}
    apply(server, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    server.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


KINDS = ("ServiceAccount", "Deployment")


def missing(wanted: Any, stored: Any, path: str = "") -> list[str]:
    """Paths of what was sent and is not there, or is something else."""
    if isinstance(wanted, dict):
        lost = [f"{path}.{key}" for key in wanted if not isinstance(stored, dict) or key not in stored]
        kept = [key for key in wanted if isinstance(stored, dict) and key in stored]
        return lost + [each for key in kept for each in missing(wanted[key], stored[key], f"{path}.{key}")]
    if isinstance(wanted, list):
        if not isinstance(stored, list) or len(stored) != len(wanted):
            return [path]
        pairs = enumerate(zip(wanted, stored, strict=True))
        return [each for index, (one, other) in pairs for each in missing(one, other, f"{path}[{index}]")]
    return [] if wanted == stored else [f"{path}: {wanted!r} became {stored!r}"]
