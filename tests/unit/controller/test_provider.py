"""Providers: what a spec may say, what the pod is told, which image it runs, and what the status says of it."""

import json
from dataclasses import replace
from typing import Any, get_args

import pytest

from genai_operator.api.provider_spec import Provider
from genai_operator.builders import build_children
from genai_operator.builders.runtime_image import plain_image, runtime_image
from genai_operator.errors import InvalidModel
from genai_operator.settings import OperatorSettings
from genai_operator.status import summarise, summarise_invalid
from genai_runtime import provider_settings
from genai_runtime.engine.providers import PROVIDERS, option_strings
from genai_runtime.settings import Settings
from support.models import SERVED, answers, conditions, make_model, message, observe, ready_pod

SETTINGS = OperatorSettings(runtime_images={"cuda": "registry.example/runtime-cuda:1"})
ACCELERATORS = [each for each in get_args(Provider) if each != "cpu"]

OPTIONS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "cuda": (
        "cuda",
        {
            "deviceId": 1,
            "gpuMemLimit": "16Gi",
            "arenaExtendStrategy": "kSameAsRequested",
            "initialChunkSizeBytes": "1Mi",
            "maxDeadBytesPerChunk": 2097152,
            "initialGrowthChunkSizeBytes": "4M",
            "cudnnConvAlgoSearch": "HEURISTIC",
            "cudnnConvUseMaxWorkspace": False,
            "doCopyInDefaultStream": True,
            "useEpLevelUnifiedStream": True,
            "useTf32": False,
            "enableCudaGraph": True,
        },
        {
            "max_mem": str(16 * 2**30),
            "arena_extend_strategy": "1",
            "initial_chunk_size_bytes": "1048576",
            "max_dead_bytes_per_chunk": "2097152",
            "initial_growth_chunk_size_bytes": "4000000",
            "cudnn_conv_algo_search": "HEURISTIC",
            "cudnn_conv_use_max_workspace": "0",
            "do_copy_in_default_stream": "1",
            "use_ep_level_unified_stream": "1",
            "use_tf32": "0",
            "enable_cuda_graph": "1",
        },
    ),
    "trt-rtx": (
        "trtRtx",
        {
            "deviceId": 0,
            "maxWorkspaceSize": "1Gi",
            "detailedBuildLog": True,
            "dumpSubgraphs": False,
            "runtimeCache": False,
            "multiProfile": True,
            "enableCudaGraph": False,
        },
        {
            "nv_max_workspace_size": str(2**30),
            "nv_detailed_build_log": "1",
            "nv_dump_subgraphs": "0",
            "nv_multi_profile_enable": "1",
            "enable_cuda_graph": "0",
        },
    ),
    "openvino": (
        "openvino",
        {"deviceType": "GPU", "numOfThreads": 4, "numStreams": 2, "modelCache": False, "enableCausallm": False},
        {"device_type": "GPU", "num_of_threads": "4", "num_streams": "2", "enable_causallm": "False"},
    ),
}


def told(settings: OperatorSettings = SETTINGS, **spec: Any) -> dict[str, Any]:
    """GENAI_SETTINGS of the pod."""
    manifests = build_children(make_model(**spec), settings).manifests()
    (deployment,) = [each for each in manifests if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (variable,) = [each["value"] for each in container["env"] if each["name"] == "GENAI_SETTINGS"]
    found: dict[str, Any] = json.loads(variable)
    return found


def test_the_runtime_knows_the_same_providers_and_precisions() -> None:
    assert get_args(Provider) == get_args(provider_settings.Provider)
    assert set(ACCELERATORS) == set(PROVIDERS)
    for name in ACCELERATORS:
        assert OperatorSettings(runtime_images={name: "a"}).runtime_images == {name: "a"}


@pytest.mark.parametrize("provider", OPTIONS)
def test_every_option_reaches_genai_as_its_own_string(provider: str) -> None:
    group, options, strings = OPTIONS[provider]
    kind = getattr(make_model(provider=provider, providerOptions={group: options}).spec.provider_options, _snake(group))
    assert set(options) == {field.alias for field in type(kind).model_fields.values()}
    settings = told(provider=provider, providerOptions={group: options}, image="a")
    runtime = Settings(**settings)
    assert option_strings(runtime.device, runtime.provider_options.of(runtime.device)) == strings


def _snake(group: str) -> str:
    return {"trtRtx": "trt_rtx"}.get(group, group)


def test_what_is_left_open_is_not_told() -> None:
    plain = told()
    assert plain["device"] == "cpu"
    assert not {"provider_fallback", "provider_options", "precision"} & set(plain)
    asked = told(provider="cuda", providerFallback="Allow", precision="fp16", providerOptions={"cuda": {}})
    assert (asked["provider_fallback"], asked["precision"], asked["provider_options"]) == (
        "allow",
        "fp16",
        {"cuda": {}},
    )


@pytest.mark.parametrize("provider", get_args(Provider))
@pytest.mark.parametrize("group", ["cuda", "trtRtx", "openvino"])
def test_options_of_another_provider_are_refused(provider: str, group: str) -> None:
    if OPTIONS.get(provider, ("",))[0] == group:
        assert make_model(provider=provider, providerOptions={group: {}}).spec.provider_options is not None
    else:
        with pytest.raises(InvalidModel, match="providerOptions may only have those of the provider"):
            make_model(provider=provider, providerOptions={group: {}})


@pytest.mark.parametrize(
    "options",
    [
        {"user_compute_stream": 1},
        {"gpuMemLimit": "1Ki"},
        {"gpuMemLimit": "1048576.5"},
        {"deviceId": 64},
        {"deviceId": True},
        {"enableCudaGraph": "1"},
        {"arenaExtendStrategy": "0"},
        {"cudnnConvAlgoSearch": 1},
    ],
    ids=str,
)
def test_an_option_that_is_none_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidModel, match=rf"spec\.providerOptions\.cuda\.{next(iter(options))}"):
        make_model(provider="cuda", providerOptions={"cuda": options})


def test_the_image_is_chosen_by_provider() -> None:
    assert runtime_image(make_model(), SETTINGS) == SETTINGS.runtime_image
    assert runtime_image(make_model(provider="cuda"), SETTINGS) == "registry.example/runtime-cuda:1"
    assert runtime_image(make_model(provider="cuda", image="own"), SETTINGS) == "own"
    # What needs no provider does not carry its gigabytes.
    assert plain_image(make_model(provider="cuda"), SETTINGS) == SETTINGS.runtime_image


@pytest.mark.parametrize("provider", [each for each in ACCELERATORS if each != "cuda"])
def test_a_provider_without_an_image_is_refused_before_there_is_a_pod(provider: str) -> None:
    model = make_model(provider=provider)
    with pytest.raises(InvalidModel, match=rf"runtimeImages\.{provider} set in the operator's chart") as refused:
        build_children(model, SETTINGS)
    status = summarise_invalid(model.metadata, {}, refused.value, observe())
    assert conditions(status)["Ready"] == ("False", "ExecutionProviderUnavailable")
    assert conditions(status)["Accepted"] == ("False", "ExecutionProviderUnavailable")
    allowed = make_model(provider=provider, providerFallback="Allow")
    assert runtime_image(allowed, SETTINGS) == SETTINGS.runtime_image


def test_images_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_OPERATOR_RUNTIME_IMAGES", '{"cuda": "a:1", "openvino": "b:2"}')
    assert OperatorSettings().runtime_images == {"cuda": "a:1", "openvino": "b:2"}


def status_of(wanted: str, **served: Any) -> dict[str, Any]:
    model, pod = make_model(provider=wanted, providerFallback="Allow"), ready_pod()
    return summarise(model, observe(pod, answers=answers(model, pod, served=replace(SERVED, **served))))


def test_a_provider_that_was_replaced_is_degraded_and_says_why() -> None:
    status = status_of("cuda", provider="cpu", provider_reason="cuda was asked for, and there is no driver")
    assert conditions(status)["Degraded"] == ("True", "ExecutionProviderUnavailable")
    assert conditions(status)["Ready"] == ("True", "Serving")
    assert status["effective"]["provider"] == "cpu"
    said = message(status, "Degraded")
    assert said.startswith("1 of 1 ready pods run on cpu instead of cuda, as providerFallback Allow permits: ")
    assert said.endswith("there is no driver")


def test_the_provider_that_was_asked_for_is_no_fault() -> None:
    assert conditions(status_of("cuda", provider="cuda"))["Degraded"] == ("False", "Healthy")
    assert conditions(status_of("cpu", provider="cpu"))["Degraded"] == ("False", "Healthy")


def test_the_precision_is_shown_where_it_is_known() -> None:
    assert status_of("cpu", precision="int4")["effective"]["precision"] == "int4"
    assert "precision" not in status_of("cpu")["effective"]


@pytest.mark.parametrize(
    ("provider", "limits", "warned"),
    [
        ("cuda", {"memory": "8Gi"}, True),
        ("trt-rtx", {"memory": "8Gi"}, True),
        ("cuda", {"nvidia.com/gpu": 1}, False),
        ("cuda", {"nvidia.com/mig-1g.10gb": 1}, False),
        ("openvino", {"memory": "8Gi"}, False),
        ("cpu", {"memory": "8Gi"}, False),
    ],
)
def test_a_gpu_that_nobody_asked_for_is_told(provider: str, limits: dict[str, Any], warned: bool) -> None:
    status = summarise(
        make_model(provider=provider, image="a", resources={"limits": limits, "requests": {}}), observe()
    )
    assert conditions(status)["Accepted"] == ("True", "Accepted")
    assert ("resources.limits asks for none" in message(status, "Accepted")) is warned


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb"])
def test_a_gpu_is_a_resource_of_the_container(resource: str) -> None:
    limits = {"cpu": 4, "memory": "8Gi", resource: 1}
    manifests = build_children(make_model(provider="cuda", resources={"limits": limits}), SETTINGS).manifests()
    (deployment,) = [each for each in manifests if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"][resource] == "1"
    assert container["image"] == "registry.example/runtime-cuda:1"
