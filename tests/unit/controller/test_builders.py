"""Children of a model: golden manifests, and the properties that must hold for every spec."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders import Children, build_children
from genai_operator.settings import OperatorSettings
from genai_runtime.settings import load_settings
from support.models import make_model

DATA = Path(__file__).parents[2] / "data"
SETTINGS = OperatorSettings(runtime_image="registry.example/runtime:1", image_pull_secrets=("operators",))


def build(model: GenAIModel) -> Children:
    return build_children(model, SETTINGS)


def pod(model: GenAIModel) -> dict[str, Any]:
    spec: dict[str, Any] = build(model).deployment["spec"]["template"]["spec"]
    return spec


def settings(model: GenAIModel) -> dict[str, Any]:
    (variable,) = pod(model)["containers"][0]["env"]
    assert variable["name"] == "GENAI_SETTINGS"
    found: dict[str, Any] = json.loads(variable["value"])
    return found


@pytest.mark.parametrize("name", ["minimal", "full", "fetched"])
def test_children_are_as_written_down(name: str) -> None:
    body = yaml.safe_load((DATA / "input" / f"{name}.yaml").read_text())
    want = list(yaml.safe_load_all((DATA / "output" / f"{name}.yaml").read_text()))
    assert list(build(GenAIModel.from_body(body)).manifests()) == want


def test_equal_models_have_equal_children_that_share_nothing() -> None:
    one, other = build(make_model()), build(make_model())
    assert one == other
    one.service["spec"]["ports"][0]["port"] = 1
    assert build(make_model()) == other


LIVE = {"enableProfiling": "slow", "terminateSession": "1", "profilingLimits": {"maxRuns": 3}}


def test_live_options_are_in_no_child() -> None:
    plain = build(make_model())
    assert build(make_model(runtimeOptions=LIVE)) == plain
    assert build(make_model({"terminate-session": "1", "enable-profiling": "x"})) == plain
    assert build(make_model(adapters=[{"name": "a", "path": "adapters/a.onnx_adapter"}])) == plain


HUB = {"name": "b", "uri": "hf://team/loras", "endpoint": "https://hub.example"}


def test_what_is_fetched_replaces_pods_for_its_room_and_its_secrets_alone() -> None:
    one, other = make_model(adapters=[HUB]), make_model(adapters=[{**HUB, "name": "c", "uri": "s3://bucket/c"}])
    assert build(one) == build(other)
    assert build(one) != build(make_model())
    spec = pod(one)
    (room,) = [each for each in spec["volumes"] if each["name"] == "adapters"]
    assert int(room["emptyDir"]["sizeLimit"]) > 2 * settings(one)["adapter_cache_bytes"]
    named = pod(make_model(adapters=[{**HUB, "secretName": "hub"}, {**HUB, "name": "c", "secretName": "hub"}]))
    mounts = {each["name"]: each for each in named["containers"][0]["volumeMounts"]}
    assert mounts["adapter-credentials-0"]["mountPath"] == "/etc/genai/adapter-credentials/hub"
    assert mounts["adapter-credentials-0"]["readOnly"]
    assert "adapter-credentials-1" not in mounts
    assert not mounts["adapters"].get("readOnly")


def test_a_proxy_is_for_fetching_adapters_and_for_no_other_call_of_the_server() -> None:
    proxied = SETTINGS.model_copy(update={"https_proxy": "http://proxy:3128"})
    template = build_children(make_model(adapters=[HUB]), proxied).deployment["spec"]["template"]
    (variable,) = template["spec"]["containers"][0]["env"]
    assert json.loads(variable["value"])["adapter_proxies"] == {"HTTPS_PROXY": "http://proxy:3128"}


def test_replicas_change_no_pod() -> None:
    one, three = build(make_model()).deployment, build(make_model(replicas=3)).deployment
    assert three["spec"]["replicas"] == 3
    assert one["spec"]["template"] == three["spec"]["template"]


@pytest.mark.parametrize(("replicas", "want"), [(0, False), (1, False), (2, True)])
def test_a_disruption_budget_from_two_pods_on(replicas: int, want: bool) -> None:
    assert (build(make_model(replicas=replicas)).pod_disruption_budget is not None) == want


def test_a_suspended_model_keeps_everything_but_its_pods() -> None:
    children = build(make_model(replicas=3, suspend=True))
    assert children.deployment["spec"]["replicas"] == 0
    assert children.pod_disruption_budget is None
    assert children.service == build(make_model(replicas=3)).service


def test_pods_are_admitted_where_restricted_is_enforced() -> None:
    spec = pod(make_model())
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
    assert {key for volume in spec["volumes"] for key in volume} <= {
        "name",
        "emptyDir",
        "secret",
        "persistentVolumeClaim",
    }


def test_pods_have_no_credentials_and_no_links() -> None:
    spec = pod(make_model())
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert build(make_model()).service_account["automountServiceAccountToken"] is False


def test_the_grace_covers_the_drain() -> None:
    assert pod(make_model(server={"drainSeconds": 120}))["terminationGracePeriodSeconds"] > 120 + 3


def test_a_claim_is_mounted_read_only_and_served_by_its_path() -> None:
    spec = pod(make_model(model={"uri": "pvc://weights/llama/int4"}))
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}} in spec["volumes"]
    assert spec["containers"][0]["args"] == ["serve", "/models/llama/int4"]
    mount = next(each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "models")
    assert mount["readOnly"] is True
    assert "models" not in {each["name"] for each in pod(make_model())["volumes"]}


def test_what_the_spec_leaves_open_is_left_to_the_runtime() -> None:
    assert not {"temperature", "memory_arena", "warmup_prompts"} & set(settings(make_model()))
    given = make_model(generation={"temperature": 0}, session={"memoryArena": False}, warmup={"prompts": []})
    found = settings(given)
    assert (found["temperature"], found["memory_arena"], found["warmup_prompts"]) == (0.0, False, [])


@pytest.mark.parametrize(("said", "want"), [("Allow", "allow"), ("Forbid", None), (None, None)])
def test_libraries_in_the_folder_are_loaded_only_where_that_is_said(said: str | None, want: str | None) -> None:
    model = make_model(model={"uri": "builtin://hello", **({"customOperators": said} if said else {})})
    assert settings(model).get("custom_operators") == want


_WHOLE = {"cpu": "2", "memory": "1Gi"}
GUARANTEED = {
    "whole CPUs": ({"requests": _WHOLE, "limits": _WHOLE}, 2),
    "requests that follow the limits": ({"requests": {}, "limits": _WHOLE}, 2),
    "the same, written otherwise": ({"requests": {"cpu": "2000m", "memory": "1024Mi"}, "limits": _WHOLE}, 2),
    "part of a CPU": ({"requests": {}, "limits": {"cpu": "1500m", "memory": "1Gi"}}, None),
    "less CPU asked for": ({"requests": {"cpu": "1"}, "limits": _WHOLE}, None),
    "less memory asked for": ({"requests": {"memory": "1Mi"}, "limits": _WHOLE}, None),
    "no memory limit": ({"requests": {}, "limits": {"cpu": "2"}}, None),
    "no limit": ({"requests": {}, "limits": {}}, None),
    "nothing said": ({}, None),
}


@pytest.mark.parametrize(("resources", "want"), GUARANTEED.values(), ids=GUARANTEED.keys())
def test_a_pod_is_told_of_cpus_that_may_be_its_own(resources: dict[str, Any], want: int | None) -> None:
    assert settings(make_model(resources=resources)).get("guaranteed_cpus") == want


def test_threads_and_session_are_told_as_they_were_said() -> None:
    threads = {"intraOp": 3, "interOp": 2, "spinning": "enabled", "affinity": "disabled"}
    entries = {"session.dynamic_block_base": "4"}
    found = settings(make_model(threads=threads, session={"executionMode": "parallel", "configEntries": entries}))
    assert (found["threads"], found["inter_op_threads"], found["spinning"]) == (3, 2, "enabled")
    assert (found["affinity"], found["execution_mode"], found["session_entries"]) == ("disabled", "parallel", entries)


BATCH = {
    "nothing said": ({}, {"engine": "auto", "max_concurrent_requests": 16}),
    "a size": ({"maxBatchSize": 4, "prefillChunk": 128}, {"max_concurrent_requests": 4, "prefill_chunk": 128}),
    "memory as a quantity": ({"mode": "batch", "kvCache": "1Gi"}, {"engine": "batch", "kv_cache_bytes": 1024**3}),
    "memory as a number": ({"kvCache": 2**20}, {"kv_cache_bytes": 2**20}),
    "no kept prefixes": ({"prefixCaching": {"enabled": False}}, {"prefix_cache_bytes": 0}),
    "some kept prefixes": ({"prefixCaching": {"maxBytes": "64Mi"}}, {"prefix_cache_bytes": 64 * 1024**2}),
    "kept prefixes, however many": ({"prefixCaching": {}}, {}),
    "guessing": ({"speculation": "ngram"}, {"speculation": "ngram"}),
    "no guessing": ({"speculation": "disabled"}, {"speculation": "off"}),
}
_OF_THE_ENGINE = {"prefill_chunk", "kv_cache_bytes", "prefix_cache_bytes", "speculation"}


@pytest.mark.parametrize(("engine", "want"), BATCH.values(), ids=BATCH.keys())
def test_the_engine_is_told_what_was_said_and_no_more(engine: dict[str, Any], want: dict[str, Any]) -> None:
    found = settings(make_model(engine=engine))
    assert {name: found[name] for name in want} == want
    assert _OF_THE_ENGINE & set(found) == _OF_THE_ENGINE & set(want)


def test_credentials_are_whole_folders_so_that_they_change_without_a_restart() -> None:
    spec = pod(make_model(server={"tls": {"secretName": "certificate"}, "apiKeys": {"secretName": "keys"}}))
    mounts = {each["name"]: each for each in spec["containers"][0]["volumeMounts"]}
    assert {"tls", "api-keys"} <= set(mounts)
    assert not [each for each in mounts.values() if "subPath" in each]
    assert all(mounts[name]["readOnly"] for name in ("tls", "api-keys"))
    assert "client-ca" not in mounts


def test_probes_ask_where_no_tls_is_spoken() -> None:
    def probed(model: GenAIModel) -> set[int]:
        container = pod(model)["containers"][0]
        return {container[f"{kind}Probe"]["grpc"]["port"] for kind in ("startup", "liveness", "readiness")}

    assert probed(make_model()) == {9000}
    assert probed(make_model(server={"tls": {"secretName": "certificate"}})) == {9001}


def test_without_http_there_is_no_port_for_it() -> None:
    model = make_model(server={"protocols": {"http": False}})
    children = build(model)
    assert settings(model)["http_port"] == 0
    ports = [*pod(model)["containers"][0]["ports"], *children.service["spec"]["ports"]]
    assert "http" not in {each["name"] for each in [*ports, *children.headless_service["spec"]["ports"]]}


def test_a_users_text_is_never_expanded_by_the_kubelet() -> None:
    assert settings(make_model(warmup={"prompts": ["$(HOSTNAME)"]}))["warmup_prompts"] == ["$$(HOSTNAME)"]


def test_pull_secrets_of_both_are_used_once() -> None:
    model = make_model(imagePullSecrets=[{"name": "mine"}, {"name": "operators"}])
    assert pod(model)["imagePullSecrets"] == [{"name": "operators"}, {"name": "mine"}]


def test_every_child_belongs_to_the_model_and_is_found_by_its_label() -> None:
    for manifest in build(make_model(replicas=2)).manifests():
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("GenAIModel", "hello", "0000-1")
        assert owner["controller"]
        assert manifest["metadata"]["labels"]["genai-operator.io/model"] == "hello"
        assert manifest["metadata"]["namespace"] == "demo"


def test_selectors_match_the_pods_labels() -> None:
    children = build(make_model(replicas=2))
    labels = children.deployment["spec"]["template"]["metadata"]["labels"].items()
    budget = children.pod_disruption_budget
    assert budget is not None
    for selector in (
        children.deployment["spec"]["selector"]["matchLabels"],
        children.service["spec"]["selector"],
        children.headless_service["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
    ):
        assert labels >= selector.items()


def test_the_model_is_not_changed_by_building() -> None:
    model = make_model(resources={"limits": {"cpu": "1"}})
    before = copy.deepcopy(model)
    build(model)
    assert model == before


def test_every_setting_is_one_that_the_runtime_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    full = GenAIModel.from_body(yaml.safe_load((DATA / "input" / "full.yaml").read_text()))
    for model in (full, make_model()):
        monkeypatch.setenv("GENAI_SETTINGS", json.dumps(settings(model)))
        taken = load_settings().model_dump(mode="json")
        assert {name: taken[name] for name in settings(model)} == settings(model)
