"""The CRD of GenAIProfile on a real API server: what it refuses, by the field's name, and that we refuse the same."""

import copy
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from genai_operator.api import crd
from genai_operator.api.definitions import PROFILE
from genai_operator.api.genaiprofile import GenAIProfile
from genai_operator.api.profile_spec import GenAIProfileSpec
from genai_operator.api.profile_status import GenAIProfileStatus
from genai_operator.errors import InvalidProfile
from support.control_plane import ControlPlane, control_plane

Object = dict[str, Any]
MINIMAL: Object = {
    "apiVersion": "genai-operator.io/v1alpha1",
    "kind": "GenAIProfile",
    "metadata": {"name": "slow", "namespace": "default"},
    "spec": {"model": "hello"},
}
FULL: Object = {
    "model": "hello",
    "pods": {"percent": 50},
    "requests": {"sampleRate": 0.1, "ids": ["a-1_B.c"], "clients": ["team-a", "10.0.0.1", "::1"]},
    "runs": "prefill,0-3,50-60",
    "limits": {"maxRuns": 500, "maxBytes": "64Mi", "maxSeconds": 60},
    "output": {
        "type": "S3",
        "s3": {
            "uri": "s3://traces/team/slow",
            "endpoint": "http://minio.storage.svc:9000",
            "region": "eu-central-1",
            "secretName": "s3",
        },
    },
    "suspend": True,
    "startDeadlineSeconds": 60,
    "ttlSecondsAfterFinished": 0,
}
CLAIM: Object = {"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"claimName": "traces", "path": "a/b"}}
S3: Object = {"uri": "s3://traces/x"}
HOSTILE = {
    "climbs": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "a shell's": "$(reboot)",
    "a line break": "a\nb",
    "nothing": "",
    "endless": "a" * 5000,
    "an emoji": "🦙",
}


def claim(**fields: Any) -> Object:
    return {"output": {"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"claimName": "traces", **fields}}}


def s3(**fields: Any) -> Object:
    return {"output": {"type": "S3", "s3": {**S3, **fields}}}


# A field by its path, and what makes a spec in which it has the value.
FIELDS: dict[str, Any] = {
    "spec.model": lambda value: {"model": value},
    "spec.pods.names": lambda value: {"pods": {"names": [value]}},
    "spec.requests.ids": lambda value: {"requests": {"ids": [value]}},
    "spec.requests.clients": lambda value: {"requests": {"clients": [value]}},
    "spec.runs": lambda value: {"runs": value},
    "spec.limits.maxBytes": lambda value: {"limits": {"maxBytes": value}},
    "spec.output.type": lambda value: {"output": {"type": value}},
    "spec.output.persistentVolumeClaim.claimName": lambda value: claim(claimName=value),
    "spec.output.persistentVolumeClaim.path": lambda value: claim(path=value),
    "spec.output.s3.uri": lambda value: s3(uri=value),
    "spec.output.s3.endpoint": lambda value: s3(endpoint=value),
    "spec.output.s3.region": lambda value: s3(region=value),
    "spec.output.s3.secretName": lambda value: s3(secretName=value),
    "spec.limits.maxRuns": lambda value: {"limits": {"maxRuns": value}},
    "spec.limits.maxSeconds": lambda value: {"limits": {"maxSeconds": value}},
    "spec.requests.sampleRate": lambda value: {"requests": {"sampleRate": value}},
    "spec.suspend": lambda value: {"suspend": value},
    "spec.startDeadlineSeconds": lambda value: {"startDeadlineSeconds": value},
    "spec.ttlSecondsAfterFinished": lambda value: {"ttlSecondsAfterFinished": value},
    "spec.pods.count": lambda value: {"pods": {"count": value}},
    "spec.pods.percent": lambda value: {"pods": {"percent": value}},
}
BAD: dict[str, tuple[Object, str]] = {
    "no model": ({"model": None}, "spec.model"),
    "two ways to choose pods": ({"pods": {"count": 1, "percent": 50}}, "exactly one of names, count and percent"),
    "no way to choose pods": ({"pods": {}}, "exactly one of names, count and percent"),
    "no pods": ({"pods": {"names": []}}, "spec.pods.names"),
    "a pod twice": ({"pods": {"names": ["a", "a"]}}, "spec.pods.names"),
    "zero pods": ({"pods": {"count": 0}}, "spec.pods.count"),
    "more pods than there are": ({"pods": {"percent": 101}}, "spec.pods.percent"),
    "too many pods": ({"pods": {"names": [f"p{number}" for number in range(101)]}}, "spec.pods.names"),
    "a rate of nothing": ({"requests": {"sampleRate": 0}}, "spec.requests.sampleRate"),
    "a rate above all": ({"requests": {"sampleRate": 1.01}}, "spec.requests.sampleRate"),
    "too many ids": ({"requests": {"ids": [str(number) for number in range(65)]}}, "spec.requests.ids"),
    "a long id": ({"requests": {"ids": ["a" * 65]}}, "spec.requests.ids"),
    "too many clients": ({"requests": {"clients": [str(number) for number in range(65)]}}, "spec.requests.clients"),
    "a range that runs backwards": ({"runs": "5-3"}, "spec.runs"),
    "every nothing": ({"runs": "every 0"}, "spec.runs"),
    "an unknown word": ({"runs": "decode"}, "spec.runs"),
    "a list that ends in a comma": ({"runs": "prefill,"}, "spec.runs"),
    "every and a list": ({"runs": "every 5,prefill"}, "spec.runs"),
    "more parts than pods take": ({"runs": ",".join(["0"] * 65)}, "spec.runs"),
    "a list longer than a window needs": ({"runs": ",".join(["prefill"] * 26)}, "spec.runs"),
    "a window larger than the pod's disk": ({"limits": {"maxBytes": "513Mi"}}, "spec.limits.maxBytes"),
    "a window of no bytes": ({"limits": {"maxBytes": 1}}, "spec.limits.maxBytes"),
    "a window of too many runs": ({"limits": {"maxRuns": 1_000_001}}, "spec.limits.maxRuns"),
    "a window of hours": ({"limits": {"maxSeconds": 3601}}, "spec.limits.maxSeconds"),
    "S3 without a place": ({"output": {"type": "S3"}}, "output must have"),
    "a claim without its type": (
        {"output": {"type": "Pod", "persistentVolumeClaim": CLAIM["persistentVolumeClaim"]}},
        "output must have",
    ),
    "both outputs": ({"output": {**CLAIM, "s3": S3}}, "output must have"),
    "a bucket without a prefix": (s3(uri="s3://traces"), "spec.output.s3.uri"),
    "a prefix that climbs": (s3(uri="s3://traces/a/../b"), "spec.output.s3.uri"),
    "a folder that climbs": (claim(path="a/../b"), "spec.output.persistentVolumeClaim.path"),
    "a hidden folder": (claim(path=".ssh"), "spec.output.persistentVolumeClaim.path"),
    "a file as an endpoint": (s3(endpoint="file:///etc"), "spec.output.s3.endpoint"),
    "credentials in the endpoint": (s3(endpoint="http://a:b@host"), "spec.output.s3.endpoint"),
    "no deadline": ({"startDeadlineSeconds": 0}, "spec.startDeadlineSeconds"),
    "a negative time to live": ({"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished"),
    "a field of a later version": ({"schedule": "@daily"}, "spec.schedule"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("crd"), controllers=False) as plane:
        plane.kubectl("apply", "--server-side", "-f", str(crd.files(PROFILE)[0]))
        plane.kubectl("wait", "--for=condition=Established", "crd/genaiprofiles.genai-operator.io", "--timeout=30s")
        yield plane


def with_spec(**spec: Any) -> Object:
    body = copy.deepcopy(MINIMAL)
    body["spec"].update(spec)
    body["spec"] = {name: value for name, value in body["spec"].items() if value is not None}
    return body


def create(server: ControlPlane, body: Object) -> Object:
    """What the API server would store."""
    dry = ("create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-")
    stored: Object = json.loads(server.kubectl(*dry, stdin=json.dumps(body)))
    return stored


def refusal(server: ControlPlane, body: Object) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        create(server, body)
    return str(refused.value.stderr)


def test_the_definition_is_taken_without_a_complaint(server: ControlPlane) -> None:
    said = json.loads(server.kubectl("get", "crd", "genaiprofiles.genai-operator.io", "-o", "json"))["status"]
    conditions = {each["type"]: each["status"] for each in said["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_the_servers_defaults_are_ours(server: ControlPlane) -> None:
    stored = create(server, MINIMAL)["spec"]
    ours = GenAIProfileSpec.model_validate(MINIMAL["spec"]).model_dump(by_alias=True, exclude_none=True, mode="json")
    assert stored == ours
    assert stored == {"model": "hello", "output": {"type": "Pod"}, "startDeadlineSeconds": 300, "suspend": False}


@pytest.mark.parametrize("output", [FULL["output"], CLAIM, {"type": "Pod"}], ids=lambda output: output["type"])
def test_a_full_spec_is_taken_as_it_is_and_read_back(server: ControlPlane, output: Object) -> None:
    stored = create(server, with_spec(**{**FULL, "output": output}))
    assert stored["spec"] == {**FULL, "output": output}
    assert GenAIProfile.from_body(stored).spec == GenAIProfileSpec.model_validate({**FULL, "output": output})


@pytest.mark.parametrize("runs", ["prefill", "0", "0-3", "3-3", "every 100", "prefill,0-3,50-60", "9999999"])
def test_patterns_of_runs_that_are_taken(server: ControlPlane, runs: str) -> None:
    assert GenAIProfile.from_body(create(server, with_spec(runs=runs))).spec.runs == runs


@pytest.mark.parametrize(("spec", "field"), BAD.values(), ids=BAD.keys())
def test_a_bad_spec_is_refused_by_the_name_of_its_field_and_by_us(
    server: ControlPlane, spec: Object, field: str
) -> None:
    assert field in refusal(server, with_spec(**spec))
    with pytest.raises(InvalidProfile, match=r"spec\.|output must|pods must"):
        GenAIProfile.from_body(with_spec(**spec))


@pytest.mark.parametrize("field", FIELDS)
def test_no_hostile_value_is_taken_in_any_field(server: ControlPlane, field: str) -> None:
    """In one go, for a request an attempt: what was refused is listed with the field's path."""
    for kind, value in HOSTILE.items():
        body = with_spec(**FIELDS[field](value))
        assert field in refusal(server, body), kind
        with pytest.raises(InvalidProfile) as refused:
            GenAIProfile.from_body(body)
        assert len(str(refused.value)) < 600, kind  # the value itself is not repeated


@pytest.mark.parametrize("name", ["x" * 53, "1st", "a.b"], ids=["too long", "starts with a digit", "has a dot"])
def test_a_name_that_no_job_can_have_is_refused(server: ControlPlane, name: str) -> None:
    body = {**MINIMAL, "metadata": {"name": name, "namespace": "default"}}
    assert "metadata.name" in refusal(server, body)
    with pytest.raises(InvalidProfile):
        GenAIProfile.from_body(body)


def test_a_window_cannot_change_and_its_switches_can(server: ControlPlane) -> None:
    body = with_spec(**FULL)
    body["metadata"]["name"] = "fixed"
    server.kubectl("create", "-f", "-", stdin=json.dumps(body))
    changes: list[Object] = [
        {"model": "other"},
        {"pods": {"percent": None, "count": 1}},
        {"pods": None},
        {"requests": {"sampleRate": 0.5}},
        {"runs": "prefill"},
        {"limits": {"maxRuns": 1}},
        {"output": {"type": "Pod", "s3": None}},
    ]
    for change in changes:
        with pytest.raises(subprocess.CalledProcessError) as refused:
            server.kubectl("patch", "gap", "fixed", "--type=merge", "-p", json.dumps({"spec": change}))
        assert f"{next(iter(change))} cannot change" in str(refused.value.stderr)
    free = {"suspend": False, "startDeadlineSeconds": 5, "ttlSecondsAfterFinished": None}
    server.kubectl("patch", "gap", "fixed", "--type=merge", "-p", json.dumps({"spec": free}))


def test_the_columns_show_the_status(server: ControlPlane) -> None:
    server.kubectl("create", "-f", "-", stdin=json.dumps(MINIMAL))
    status = {
        "phase": "Complete",
        "progress": "1/2",
        "capturedRuns": 7,
        "overheadPercent": 1.5,
        "topOperators": [{"opType": "MatMulNBits", "provider": "CPU", "calls": 3, "sharePercent": 81.5}],
        "artifact": {"type": "Pod", "location": "pod://hello-1/slow-1", "bytes": 10},
        "pods": [{"name": "hello-1", "uid": "u", "state": "Complete", "reason": "MaxRuns", "overheadPercent": -0.5}],
    }
    patch = json.dumps({"status": status})
    server.kubectl("patch", "gap", "slow", "--subresource=status", "--type=merge", "-p", patch)
    GenAIProfileStatus.model_validate(json.loads(server.kubectl("get", "gap", "slow", "-o", "json"))["status"])
    header, line = server.kubectl("get", "gap", "slow", "-o", "wide").splitlines()
    columns = ["NAME", "MODEL", "PHASE", "PODS", "RUNS", "OVERHEAD", "AGE", "TOP-OPERATOR", "ARTIFACT"]
    assert header.split() == columns
    shown = line.split()
    assert shown[:6] == ["slow", "hello", "Complete", "1/2", "7", "1.5"]
    assert shown[7:] == ["MatMulNBits", "pod://hello-1/slow-1"]
