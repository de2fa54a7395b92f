"""Other builds of a model in a sweep, pure: which there are, what the Job's pod has for them, what a result means."""

from typing import Any

import pytest

from genai_operator.api.built import as_built
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.recommendation import tuning_revision, with_recommended
from genai_operator.api.variants import Variant, swept_variants, variant_named
from genai_operator.builders.tuning import tuning_job
from genai_operator.errors import InvalidModel
from genai_operator.settings import OperatorSettings
from genai_operator.status.observed import ObservedModel, ObservedTuning, TuningState
from genai_operator.status.tuning import recommended

SETTINGS = OperatorSettings(runtime_image="runtime:1", builder_image="builder:1")
SOURCE = {"uri": "hf://org/model@main", "cache": {"claimName": "cache"}, "secretName": "token", "build": {}}
COLUMNS = ["name", "sizeBytes", "perplexity", "increasePercent", "refused"]
FIGURES = ["tokensPerSecond", "gainPercent", "timeToFirstTokenMs"]
RESULT = {
    "settings": {"intraOpThreads": 1, "variant": "int4-128-4"},
    "figures": [{"clients": 4, "tokensPerSecond": 15.0, "baselineTokensPerSecond": 10.0, "gainPercent": 50.0}],
    "load": {"clients": [4], "promptTokens": 64, "newTokens": 64},
    "variants": {
        "columns": [*COLUMNS, *FIGURES],
        "rows": [
            ["fp32", 400, 10.0, 0.0, False, 11.0, 0.0, 9.0],
            ["int4-128-4", 60, 10.2, 2.0, False, 15.0, 36.4, 8.0],
            ["int4-256-4", 50, 10.7, 7.0, True, 16.0, 45.5, 8.0],
            ["int8", 100, None, None, True, None, None, None],
        ],
    },
    "notMeasured": ["variant", "maxBatchSize"],
    "failed": [],
}


def model(sweep: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **spec: Any) -> GenAIModel:
    body = {"model": SOURCE, "precision": "int4", "tuning": {"sweep": sweep} if sweep else {}, **spec}
    metadata = {"name": "hello", "namespace": "team", "uid": "u-1"}
    return GenAIModel.from_body({"metadata": metadata, "spec": body, "status": status or {}})


def built(found: GenAIModel) -> GenAIModel:
    """The same with what the spec asks for in the cache."""
    served = as_built(found).model_dump(by_alias=True, mode="json")
    status = {
        "state": "Complete",
        "reason": "Built",
        "revision": served["revision"],
        "digest": "d" * 64,
        "served": served,
    }
    return found.model_copy(update={"status": {**found.status, "build": status}})


def names(found: GenAIModel) -> list[str]:
    return [each.name for each in swept_variants(found.spec)]


def test_what_the_sweep_leaves_out_is_as_the_spec_has_it() -> None:
    assert names(model({"precision": ["int4", "fp32"]})) == ["int4-32-4", "fp32"]
    assert names(model({"int4BlockSize": [128, 32]})) == ["int4-32-4", "int4-128-4"]
    fine = {**SOURCE, "build": {"int4BlockSize": 16, "int4AccuracyLevel": 0}}
    assert names(model({"precision": ["int4", "int8"]}, model=fine)) == ["int4-16-0", "int8"]
    assert names(model({"int4AccuracyLevel": [1]}, model=fine)) == ["int4-16-0", "int4-16-1"]
    both = {"precision": ["int4"], "int4BlockSize": [32, 64], "int4AccuracyLevel": [0, 4]}
    assert names(model(both, precision="fp32")) == ["fp32", "int4-32-0", "int4-32-4", "int4-64-0", "int4-64-4"]


def test_without_another_build_to_try_there_are_none() -> None:
    assert names(model()) == []
    assert names(model({"threads": [1]})) == []
    assert names(model({"precision": ["int4"], "int4BlockSize": [32]})) == []


def test_a_name_says_what_it_names_and_nothing_else_is_one() -> None:
    for each in (Variant("int4", 128, 0), Variant("fp32"), Variant("bf16")):
        assert variant_named(each.name) == each
    for wrong in (
        "",
        "int4",
        "int4-32",
        "int4-33-4",
        "int4-32-5",
        "fp32-32-4",
        "fp64",
        "int4-32-4-1",
        "int4-032-4",
        "../fp32",
    ):
        with pytest.raises(ValueError, match=r".*"):
            variant_named(wrong)


def pod_of(found: GenAIModel) -> dict[str, Any]:
    assert found.spec.tuning is not None
    pod: dict[str, Any] = tuning_job(found, found.spec.tuning, SETTINGS)["spec"]["template"]["spec"]
    return pod


def test_each_variant_is_built_before_they_are_measured() -> None:
    pod = pod_of(built(model({"int4BlockSize": [32, 128], "maxPerplexityIncreasePercent": 2.5})))
    fetch, *builds = pod["initContainers"]
    assert "--all-files" in fetch["args"]
    assert "--refresh" not in fetch["args"]
    assert [each["name"] for each in builds] == ["build-int4-32-4", "build-int4-128-4"]
    for each, block in zip(builds, ("32", "128"), strict=True):
        assert each["image"] == "builder:1"
        told = dict(zip(each["args"][1::2], each["args"][2::2], strict=True))
        assert told["--source"] == fetch["args"][fetch["args"].index("--link") + 1]
        assert (told["--precision"], told["--int4-block-size"], told["--int4-accuracy-level"]) == ("int4", block, "4")
        assert told["--link"] == f"/var/lib/genai/variants/int4-{block}-4"
    (tune,) = pod["containers"]
    assert tune["image"] == "runtime:1"
    assert tune["args"][:2] == ["tune", "/var/lib/genai/variants/int4-32-4"]
    assert tune["args"][-6:] == [
        *("--variant", "int4-32-4=/var/lib/genai/variants/int4-32-4"),
        *("--variant", "int4-128-4=/var/lib/genai/variants/int4-128-4"),
        *("--max-perplexity-increase", "2.5"),
    ]


@pytest.mark.parametrize("uri", ["hf://org/model@main", "pvc://sources/model"])
def test_every_container_has_what_it_mounts_and_only_builders_write(uri: str) -> None:
    source = {"uri": uri, "cache": {"claimName": "cache"}, "build": {"evaluation": {"configMapName": "t", "key": "k"}}}
    pod = pod_of(built(model({"precision": ["int4", "fp32"]}, model=source)))
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert len(volumes) == len(pod["volumes"])
    for container in (*pod["initContainers"], *pod["containers"]):
        paths = [each["mountPath"] for each in container["volumeMounts"]]
        assert len(set(paths)) == len(paths)
        assert {each["name"] for each in container["volumeMounts"]} <= volumes.keys()
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    (tune,) = pod["containers"]
    mounts = {each["name"]: each for each in tune["volumeMounts"]}
    assert (mounts["variants"].get("readOnly"), mounts["model-cache"].get("readOnly")) == (True, True)
    assert not {"control-tls", "model-credentials", "evaluation"} & mounts.keys()
    assert volumes["model-cache"]["persistentVolumeClaim"] == {"claimName": "cache"}
    assert pod["restartPolicy"] == "Never"


def test_without_variants_the_pod_has_what_was_built_as_the_models_own_have() -> None:
    pod = pod_of(built(model({"threads": [1]})))
    (fetch,) = pod["initContainers"]
    assert ("--offline" in fetch["args"], "--all-files" in fetch["args"]) == (True, False)
    assert fetch["args"][fetch["args"].index("--sha256") + 1] == "d" * 64
    assert "--variant" not in pod["containers"][0]["args"]


def test_without_a_builder_there_is_no_job() -> None:
    found = built(model({"precision": ["int4", "fp32"]}))
    assert found.spec.tuning is not None
    with pytest.raises(InvalidModel, match="without a builder"):
        tuning_job(found, found.spec.tuning, OperatorSettings(builder_image=""))


def told(found: GenAIModel, result: dict[str, Any]) -> dict[str, Any]:
    """`status.recommended`."""
    seen = ObservedTuning(tuning_revision(found), TuningState.COMPLETE, result=result)
    status = recommended(found, ObservedModel(tuning=seen, now="2026-11-21T12:00:00Z"))
    assert status is not None
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")


SWEPT = {"precision": ["int4", "int8"], "int4BlockSize": [128, 256]}


def test_a_result_says_what_each_build_lost_and_which_was_refused() -> None:
    found = told(built(model(SWEPT, precision="fp32")), RESULT)
    four_bits = {"precision": "int4", "int4BlockSize": 128, "int4AccuracyLevel": 4}
    assert found["settings"] == {"intraOpThreads": 1, **four_bits}
    assert found["notMeasured"] == ["precision", "maxBatchSize"]
    first, best, coarse, unknown = found["variants"]
    assert first == {
        "precision": "fp32",
        "sizeBytes": 400,
        "perplexity": 10.0,
        "increasePercent": 0.0,
        "tokensPerSecond": 11.0,
        "gainPercent": 0.0,
        "timeToFirstTokenMs": 9.0,
    }
    assert (best["increasePercent"], "refused" in best) == (2.0, False)
    assert coarse["refused"] == "its perplexity is 7 % above fp32's; 5 % is permitted"
    assert unknown == {"precision": "int8", "sizeBytes": 100, "refused": unknown["refused"]}
    assert "not known" in unknown["refused"]
    assert found["message"] == "+50.0 % tokens per second; with int4-128-4, perplexity +2 % to fp32's"


@pytest.mark.parametrize("name", ["int4-33-4", "hello", 5])
def test_a_build_that_nobody_asked_for_is_no_result(name: Any) -> None:
    found = told(built(model(SWEPT, precision="fp32")), {**RESULT, "settings": {"variant": name}})
    assert found["state"] == "Failed"


def with_status(found: GenAIModel) -> GenAIModel:
    return found.model_copy(update={"status": {**found.status, "recommended": told(found, RESULT)}})


def test_automatic_never_changes_the_precision() -> None:
    automatic = {"sweep": SWEPT, "apply": "Automatic"}
    found = with_status(built(model(tuning=automatic, precision="fp32")))
    rendered = with_recommended(found).spec
    assert (rendered.threads.intra_op, rendered.precision, rendered.model) == (1, "fp32", found.spec.model)
    assert told(found, RESULT)["applied"] is False


def test_it_is_applied_when_the_spec_has_it_and_it_is_built() -> None:
    source = {**SOURCE, "build": {"int4BlockSize": 128}}
    after = model(tuning={"sweep": SWEPT, "apply": "Automatic"}, model=source)
    assert told(after, RESULT)["applied"] is False  # the pods have the one before
    assert told(built(after), RESULT)["applied"] is True


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ({"precision": "int8"}, False),
        ({"model": {**SOURCE, "build": {"int4BlockSize": 64, "int4AccuracyLevel": 0}}}, False),
        ({"model": {**SOURCE, "build": {"resources": {"limits": {"cpu": "2"}}, "request": "again"}}}, False),
        ({"model": {**SOURCE, "build": {"evaluation": {"configMapName": "a", "key": "b"}}}}, True),
        ({"model": {**SOURCE, "uri": "hf://org/other"}}, True),
        ({"tuning": {"sweep": {"precision": ["int4", "fp32"], "maxPerplexityIncreasePercent": 1}}}, True),
        ({"tuning": {"sweep": {"precision": ["int4", "int8"]}}}, True),
        ({"provider": "cuda"}, True),
    ],
)
def test_what_a_result_of_builds_depends_on(changed: dict[str, Any], anew: bool) -> None:
    sweep = {"precision": ["int4", "fp32"]}
    assert (tuning_revision(model(**{"sweep": sweep, **changed})) != tuning_revision(model(sweep))) == anew


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ({"precision": "int8"}, True),
        ({"model": {**SOURCE, "build": {"int4BlockSize": 64}}}, True),
        ({"model": {**SOURCE, "build": {"evaluation": {"configMapName": "a", "key": "b"}}}}, False),
    ],
)
def test_without_a_sweep_over_builds_what_is_built_counts(changed: dict[str, Any], anew: bool) -> None:
    assert (tuning_revision(model(**changed)) != tuning_revision(model())) == anew


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": {"uri": "builtin://hello"}, "precision": None}, "need model.build"),
        ({"tuning": {"sweep": {"precision": ["int4", "bf16"]}}}, "what the builder makes for the provider"),
        ({"precision": "fp32", "tuning": {"sweep": {"int4BlockSize": [32]}}}, "need int4 among the precisions"),
        ({"tuning": {"sweep": {"precision": ["fp32"], "int4BlockSize": [32]}}}, "need int4 among the precisions"),
        (
            {"tuning": {"sweep": {"int4BlockSize": [16, 32, 64, 128], "int4AccuracyLevel": [0, 4]}}},
            "may name 6 builds at most",
        ),
        ({"tuning": {"sweep": {"maxPerplexityIncreasePercent": 1}}}, "needs one of"),
        ({"tuning": {"sweep": {"precision": []}}}, "precision"),
        ({"tuning": {"sweep": {"int4BlockSize": [33]}}}, "int4BlockSize"),
    ],
)
def test_what_cannot_be_tried_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidModel, match=words):
        model(**{"sweep": {"precision": ["int4"]}, **changed})
