"""`spec.model.build`, pure: what its Job is, what its end means, and what pods are told meanwhile and afterwards."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from genai_operator.api.build_spec import BUILDABLE
from genai_operator.api.built import build_revision, build_wish, with_built
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders import build_children
from genai_operator.builders.build import build_job
from genai_operator.builders.deployment import deployment
from genai_operator.errors import InvalidModel
from genai_operator.settings import OperatorSettings
from genai_operator.status import summarise
from genai_operator.status.build_failure import failed_build, hindered_build
from genai_operator.status.building import build_status, next_step
from genai_operator.status.job_step import Step
from genai_operator.status.observed import BuildState, FetchProgress, ObservedBuild, ObservedModel, ObservedPod
from genai_operator.status.reasons import Reason

Object = dict[str, Any]
SETTINGS = OperatorSettings(runtime_image="runtime:1", builder_image="builder:1")
CACHE = {"claimName": "models"}
DIGEST, OTHER = "ab" * 32, "cd" * 32
NOW = "2026-11-21T12:00:00Z"
RESULT = {
    "digest": DIGEST,
    "bytes": 4_000_000,
    "files": 6,
    "cached": False,
    "builder": "onnxruntime-genai 0.18.0",
    "seconds": 12.5,
    "quality": {"perplexity": 2.1, "referencePerplexity": 2.0, "tokens": 512, "text": "of the image"},
}


def model(
    status: Object | None = None, *, build: Object | None = None, source: Object | None = None, **spec: Any
) -> GenAIModel:
    body = {
        "model": {"uri": "hf://org/repo@main", "cache": CACHE, "build": build or {}, **(source or {})},
        "precision": "int4",
        **spec,
    }
    metadata = {"name": "hello", "namespace": "team", "uid": "u-1", "generation": 1}
    return GenAIModel.from_body({"metadata": metadata, "spec": body, "status": status or {}})


def job(**parts: Any) -> Object:
    found = model(**parts)
    assert found.spec.model.build is not None
    return build_job(found, found.spec.model.build, SETTINGS)


def pod_of(**parts: Any) -> Object:
    found: Object = job(**parts)["spec"]["template"]["spec"]
    return found


def seen(of: GenAIModel, state: BuildState, **fields: Any) -> ObservedModel:
    return ObservedModel(build=ObservedBuild(build_revision(of), state, **fields), now=NOW)


def built(of: GenAIModel, **result: Any) -> Object:
    """The status of a model that was built as its spec says."""
    found = build_status(of, seen(of, BuildState.COMPLETE, result={**RESULT, **result}))
    assert found is not None
    assert found.state == "Complete", found
    return {"build": found.model_dump(by_alias=True, exclude_none=True, mode="json")}


def test_the_job_fetches_all_files_and_builds_them_for_provider_and_precision() -> None:
    pod = pod_of(
        source={"secretName": "hub", "sha256": OTHER},
        build={"int4BlockSize": 64, "int4AccuracyLevel": 1},
        resources={"limits": {"cpu": "3", "memory": "5Gi"}},
        nodeSelector={"disk": "fast"},
    )
    (fetch,), (container,) = pod["initContainers"], pod["containers"]
    assert (fetch["image"], container["image"]) == ("runtime:1", "builder:1")
    told = " ".join(fetch["args"])
    assert f"--link /models/source --sha256 {OTHER} --secret-dir" in told
    assert fetch["args"][-1] == "--all-files"
    assert container["args"] == [
        *("build", "--source", "/models/source", "--cache", "/var/lib/genai/models", "--provider", "cpu"),
        *("--precision", "int4", "--int4-block-size", "64", "--int4-accuracy-level", "1"),
        *("--control-port", "9443", "--control-tls-dir", "/etc/genai/control-tls"),
    ]
    assert container["resources"]["limits"] == {"cpu": "3", "memory": "5Gi"}
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert "topologySpreadConstraints" not in pod
    names = {each["name"] for each in pod["volumes"]}
    mounts = {
        kind: {each["name"]: each for each in one["volumeMounts"]} for kind, one in (("f", fetch), ("b", container))
    }
    assert mounts["f"].keys() == names
    assert mounts["b"].keys() == names - {"model-credentials"}  # the builder has no use of them
    assert mounts["b"]["models"]["readOnly"] is True
    assert "readOnly" not in mounts["b"]["model-cache"]


def test_its_pod_is_restricted_and_nobodys_server() -> None:
    made = job()
    pod = made["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    labels = {**made["metadata"]["labels"], **made["spec"]["template"]["metadata"]["labels"]}
    assert "genai-operator.io/model" not in labels
    assert labels["genai-operator.io/build"] == "hello"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u-1"


def test_a_source_in_a_claim_is_mounted_read_only_beside_the_cache() -> None:
    pod = pod_of(source={"uri": "pvc://sources/llama/3"})
    assert "initContainers" not in pod
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": "sources", "readOnly": True}
    assert volumes["model-cache"]["persistentVolumeClaim"] == {"claimName": "models"}
    (container,) = pod["containers"]
    assert container["args"][:3] == ["build", "--source", "/models/llama/3"]
    (verify,) = pod_of(source={"uri": "pvc://sources/llama/3", "sha256": OTHER})["initContainers"]
    assert verify["args"] == ["digest", "/models/llama/3", "--sha256", OTHER]


def test_a_source_in_the_caches_own_claim_is_one_volume() -> None:
    """A kubelet that is to mount a claim twice into a pod waits for ever."""
    pod = pod_of(source={"uri": "pvc://models/source"})
    claims = [each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if "persistentVolumeClaim" in each]
    assert claims == ["models"]
    mounts = {each["mountPath"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert mounts["/models"] == {"name": "model-cache", "mountPath": "/models", "readOnly": True}
    assert "readOnly" not in mounts["/var/lib/genai/models"]


def test_a_text_of_the_users_is_mounted_and_named_in_words_that_say_which() -> None:
    evaluation = {"configMapName": "texts", "key": "wiki.txt", "maxTokens": 256}
    pod = pod_of(build={"evaluation": evaluation})
    (container,) = pod["containers"]
    told = " ".join(container["args"])
    assert "--text /etc/genai/evaluation/text --max-tokens 256" in told
    (volume,) = [each for each in pod["volumes"] if each["name"] == "evaluation"]
    assert volume["configMap"]["items"] == [{"key": "wiki.txt", "path": "text"}]
    ended = ended_pod('{"reason": "BuildFailed", "message": "/etc/genai/evaluation/text is not there"}')
    assert (
        "key wiki.txt of ConfigMap texts is not there"
        in failed_build(model(build={"evaluation": evaluation}), ended, "")[1]
    )


def test_devices_are_not_for_building_and_its_own_resources_win() -> None:
    gpu = {"limits": {"cpu": "1", "memory": "8Gi", "nvidia.com/gpu": "1"}}
    (container,) = pod_of(resources=gpu, provider="cuda")["containers"]
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "8Gi"}
    own = {"requests": {"cpu": "1"}, "limits": {"cpu": "8", "memory": "64Gi"}}
    pod = pod_of(build={"resources": own})
    assert [each["resources"] for each in (*pod["containers"], *pod["initContainers"])] == [own, own]


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ({"precision": "int8"}, True),
        ({"provider": "cuda"}, True),
        ({"build": {"int4BlockSize": 128}}, True),
        ({"build": {"int4AccuracyLevel": 0}}, True),
        ({"build": {"evaluation": {"configMapName": "a", "key": "b"}}}, True),
        ({"source": {"uri": "hf://org/repo@next"}}, True),
        ({"source": {"sha256": OTHER}}, True),
        ({"source": {"cache": {"claimName": "elsewhere"}}}, True),
        ({"source": {"secretName": "hub", "endpoint": "https://mirror.example", "maxBytes": "1Gi"}}, False),
        ({"build": {"resources": {}}}, False),
        ({"build": {"request": "again"}}, False),
        ({"replicas": 3, "resources": {"limits": {"cpu": "1"}}}, False),
    ],
)
def test_what_is_built_anew(changed: Object, anew: bool) -> None:
    assert (build_revision(model(**changed)) != build_revision(model())) == anew


def test_a_request_is_another_wish_and_looks_at_the_source_again() -> None:
    assert build_wish(model(build={"request": "again"})) != build_wish(model())
    assert pod_of(build={"request": "again"})["initContainers"][0]["args"][-1] == "--refresh"
    offline = pod_of(build={"request": "again"}, source={"offline": True})["initContainers"][0]["args"]
    assert "--refresh" not in offline
    assert "--offline" in offline


def test_until_it_is_built_there_is_no_deployment_then_pods_take_it_out_of_the_cache() -> None:
    before = model()
    assert build_children(with_built(before), SETTINGS).deployment is None
    after = model(built(before), replicas=2)
    pod = deployment(with_built(after), SETTINGS)["spec"]["template"]["spec"]
    (fetch,) = pod["initContainers"]
    assert fetch["args"][:9] == [
        *("fetch", "--uri", "hf://org/repo@main", "--cache", "/var/lib/genai/models", "--link", "/models/model"),
        *("--sha256", DIGEST),
    ]
    assert "--offline" in fetch["args"]
    assert not [each for each in pod["volumes"] if each["name"] == "model-credentials"]
    assert pod["containers"][0]["args"] == ["serve", "/models/model"]


def test_a_model_of_a_claim_is_taken_out_of_the_cache_as_well() -> None:
    before = model(source={"uri": "pvc://sources/llama"})
    pod = deployment(with_built(model(built(before), source={"uri": "pvc://sources/llama"})), SETTINGS)["spec"]
    spec = pod["template"]["spec"]
    assert spec["initContainers"][0]["args"][:3] == ["fetch", "--uri", "pvc://sources/llama"]
    claims = [each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if "persistentVolumeClaim" in each]
    assert claims == ["models"]
    assert spec["containers"][0]["args"] == ["serve", "/models/model"]


@pytest.mark.parametrize(
    "changed",
    [
        {"precision": "int8"},
        {"provider": "cuda"},
        {"source": {"uri": "hf://org/another"}},
        {"source": {"cache": {"claimName": "elsewhere"}}},
        {"build": {"int4BlockSize": 16}},
    ],
)
def test_while_another_one_is_built_pods_keep_the_template_and_can_be_scaled(changed: Object) -> None:
    status = built(model())
    able = SETTINGS.model_copy(update={"runtime_images": {"cuda": "runtime-cuda:1"}})
    old = deployment(with_built(model(status)), able)
    new = deployment(with_built(model(status, replicas=5, **changed)), able)
    assert new["spec"]["template"] == old["spec"]["template"]
    assert new["spec"]["replicas"] == 5


@pytest.mark.parametrize(
    ("spec", "ended", "present", "step"),
    [
        ({}, None, None, Step.MAKE),
        ({}, None, "wish", Step.READ),
        ({}, None, "another", Step.REMOVE),
        ({}, "Complete", None, Step.NOTHING),
        ({}, "Complete", "wish", Step.NOTHING),
        ({}, "Failed", "wish", Step.NOTHING),
        ({"build": {"request": "again"}}, "Complete", None, Step.MAKE),
        ({"precision": "int8"}, "Complete", None, Step.MAKE),
        ({"suspend": True}, None, None, Step.WAIT),
        ({"suspend": True}, None, "wish", Step.REMOVE),
        ({"suspend": True}, "Complete", None, Step.NOTHING),
    ],
)
def test_what_comes_next(spec: Object, ended: str | None, present: str | None, step: Step) -> None:
    status: Object = {}
    if ended == "Complete":
        status = built(model())
    elif ended == "Failed":
        failed = build_status(model(), seen(model(), BuildState.FAILED, reason="BuildFailed", message="no"))
        assert failed is not None
        status = {"build": failed.model_dump(by_alias=True, exclude_none=True, mode="json")}
    assert next_step(model(status, **spec), "wish", present) is step


def test_a_result_is_told_with_how_much_is_lost() -> None:
    said = built(model())["build"]
    assert said["message"] == "int4 for cpu is built; perplexity 2.1, +5.00 % to the source in fp32"
    assert said["quality"] == {**RESULT["quality"], "increasePercent": 5.0}  # type: ignore[dict-item]
    assert (said["digest"], said["sizeBytes"], said["files"], said["cached"]) == (DIGEST, 4_000_000, 6, False)
    assert (said["builder"], said["seconds"], said["at"]) == ("onnxruntime-genai 0.18.0", 12.5, NOW)


def test_quality_that_cannot_be_measured_says_why() -> None:
    said = built(model(), quality={"notMeasured": "cuda cannot run here"})["build"]
    assert said["quality"] == {"notMeasured": "cuda cannot run here"}
    assert "quality not measured: cuda cannot run here" in said["message"]


@pytest.mark.parametrize("result", [{}, {"digest": "--refresh"}, {**RESULT, "files": "many"}, {**RESULT, "quality": 3}])
def test_a_result_that_cannot_be_read_is_a_failure(result: Object) -> None:
    found = build_status(model(), seen(model(), BuildState.COMPLETE, result=result))
    assert found is not None
    assert (found.state, found.reason) == ("Failed", "BuildFailed")
    assert "without a result" in found.message


def test_while_another_one_is_built_the_figures_are_of_what_is_served() -> None:
    other = model(built(model()), precision="int8")
    progress = FetchProgress("Building", percent=40)
    going = seen(other, BuildState.BUILDING, reason="Building", message="pod x builds", pod="x", progress=progress)
    found = build_status(other, going)
    assert found is not None
    assert (found.state, found.step, found.percent, found.pod) == ("Building", "Building", 40, "x")
    assert (found.digest, found.served.precision if found.served else "") == (DIGEST, "int4")
    assert found.revision == build_revision(other)
    back = model({"build": found.model_dump(by_alias=True, exclude_none=True, mode="json")})
    assert next_step(back, "wish", None) is Step.NOTHING
    again = build_status(back, seen(back, BuildState.ANSWERED))
    assert again is not None
    assert (again.state, again.digest, again.revision, again.percent) == (
        "Complete",
        DIGEST,
        build_revision(back),
        None,
    )


def test_bytes_count_while_the_source_is_fetched() -> None:
    progress = FetchProgress("Fetching", fetched_bytes=30, total_bytes=120)
    found = build_status(model(), seen(model(), BuildState.FETCHING, reason="Building", progress=progress))
    assert found is not None
    assert (found.step, found.percent) == ("Fetching", 25)


def ended_pod(words: str, **fields: Any) -> ObservedPod:
    return ObservedPod("hello-build-x", "u", terminated_message=words, exit_code=1, terminated_reason="Error", **fields)


@pytest.mark.parametrize(
    ("pod", "reason", "said"),
    [
        (
            ended_pod('{"reason": "BuildFailed", "message": "no such architecture"}'),
            "BuildFailed",
            "no such architecture",
        ),
        (ended_pod('{"reason": "StorageFull", "message": "10 GB needed"}'), "StorageFull", "10 GB needed"),
        (ended_pod('{"reason": "Invented", "message": "?"}'), "BuildFailed", "?"),
        (ended_pod("Traceback\nKeyError: 'x'"), "BuildFailed", "KeyError: 'x'"),
        (ended_pod(""), "BuildFailed", "no last words"),
        (
            ObservedPod("hello-build-x", "u", exit_code=137, terminated_reason="OOMKilled"),
            "OutOfMemory",
            "raise model.build.resources.limits.memory",
        ),
    ],
)
def test_a_failure_says_why_and_where_the_log_is(pod: ObservedPod, reason: str, said: str) -> None:
    found, words = failed_build(model(), pod, "")
    assert found.value == reason
    assert said in words
    assert words.endswith("kubectl logs -n team hello-build-x -c build")


def test_a_source_that_cannot_be_fetched_names_the_container_that_says_more() -> None:
    pod = ended_pod('{"reason": "Unauthorized", "message": "the hub refuses"}', preparation="fetch")
    reason, words = failed_build(model(), pod, "")
    assert reason is Reason.UNAUTHORIZED
    assert words.endswith("-c fetch")
    said = hindered_build(model(), pod)
    assert said is not None
    assert said[1].endswith("it is tried again")


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (ObservedPod("x", "u", unschedulable_message="claim models is not bound"), Reason.UNSCHEDULABLE),
        (
            ObservedPod("x", "u", waiting_reason="ErrImagePull", waiting_message="no such image"),
            Reason.IMAGE_PULL_BACK_OFF,
        ),
        (ObservedPod("x", "u", waiting_reason="CreateContainerConfigError"), Reason.CONTAINER_CONFIG_ERROR),
    ],
)
def test_why_its_pod_does_not_start(pod: ObservedPod, reason: Reason) -> None:
    found = hindered_build(model(), pod)
    assert found is not None
    assert found[0] is reason


def test_a_pod_that_is_on_its_way_is_not_hindered() -> None:
    assert hindered_build(model(), ObservedPod("x", "u", running=True)) is None


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"source": {"uri": "builtin://hello"}}, "model.secretName, endpoint"),
        ({"source": {"uri": "configmap://tiny", "cache": None}}, "model.build needs model.cache"),
        ({"source": {"uri": "hf://org/repo", "cache": None}}, "model.build needs model.cache"),
        ({"source": {"uri": "pvc://claim/a", "cache": None}}, "model.build needs model.cache"),
        ({"precision": None}, "model.build needs precision"),
        ({"precision": "fp16"}, "model.build needs precision"),
        ({"provider": "openvino", "precision": "int4"}, "model.build needs precision"),
        ({"precision": "int8", "build": {"int4BlockSize": 32}}, "need precision int4"),
        ({"build": {"int4BlockSize": 48}}, "int4BlockSize"),
        ({"build": {"int4AccuracyLevel": 5}}, "int4AccuracyLevel"),
    ],
)
def test_what_cannot_be_built_is_refused(parts: Object, said: str) -> None:
    with pytest.raises(InvalidModel, match=said):
        model(**parts)


def test_the_pairs_are_those_that_the_builder_of_this_release_names() -> None:
    """The builder says itself, in its command line, what it makes."""
    found = importlib.util.find_spec("onnxruntime_genai")
    assert found is not None
    assert found.origin is not None
    text = (Path(found.origin).parent / "models" / "builder.py").read_text()
    (line,) = [each for each in text.splitlines() if "Valid precision + execution provider combinations are:" in each]
    said = line.split("combinations are:")[1].strip().rstrip('"').lower()
    told = {tuple(each.split()) for each in said.split(", ")}
    assert {(precision, provider) for provider, all_of_it in BUILDABLE.items() for precision in all_of_it} == told


def test_a_cache_that_lost_the_build_says_how_to_have_it_back() -> None:
    words = '{"reason": "ModelNotFound", "message": "it has not been fetched"}'
    pod = ObservedPod("hello-1", "u", terminated_message=words, exit_code=1, preparation="fetch", template="t")
    after = model(built(model()))
    seen_now = ObservedModel(pods=(pod,), build=ObservedBuild(build_revision(after), BuildState.ANSWERED), now=NOW)
    said = {each["type"]: each for each in summarise(after, seen_now)["conditions"]}
    assert said["Ready"]["reason"] == "ModelNotFound"
    assert "set another spec.model.build.request" in said["Ready"]["message"]
    assert said["ModelBuilt"]["status"] == "True"
