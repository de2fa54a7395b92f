"""Runtime options on one live pod: every source, every bad value, and that no pod is ever replaced for them."""

import gzip
import json
from collections.abc import Iterator

import pytest

from genai_operator.api.runtime_options import shown
from support.client_pod import ClientPod
from support.live_cluster import Object, wait_until
from support.model_resource import ModelAccess

BAD_VALUES = {
    "empty": "",
    "a word": "yes",
    "a path": "../../x",
    "100 KiB": "a" * (100 * 1024),
    "an emoji": "🦙",
    "two": "2",
}
BOTH = ("terminate-session", "enable-profiling")
OTHERS = ("log-level", "arena-shrinkage", "drain", "cancel")
HOSTILE = (
    "yes",
    "../../etc/passwd",
    "$(reboot)",
    "🦙",
    "a" * (100 * 1024),
    "-30s",
    "9" * 300,
    "1\n",
    "\t",
    "client=../x",
)


@pytest.fixture(autouse=True)
def clean(shared_model: ModelAccess) -> Iterator[None]:
    """Every test starts and ends with no option set and every pod told so."""
    yield
    for key in (*BOTH, *OTHERS):
        shared_model.annotate(key, None)
    patch = {"status": {"requestedRuntimeOptions": None}}
    shared_model.cluster.patch("GenAIModel", shared_model.name, shared_model.namespace, patch, "status")
    shared_model.patch_spec(runtimeOptions=None)
    shared_model.wait_applied()


def incarnation(model: ModelAccess) -> tuple[int, list[Object]]:
    """Changes when a pod is replaced, a container restarted or the Deployment's spec written."""
    deployment = model.cluster.get("Deployment", model.name, model.namespace)
    assert deployment is not None
    statuses = [each for pod in model.pods() for each in pod["status"]["containerStatuses"]]
    containers = [{"id": each["containerID"], "restarts": each["restartCount"]} for each in statuses]
    return deployment["metadata"]["generation"], containers


def halted(model: ModelAccess) -> bool:
    return model.condition("Ready").get("reason") == "Halted"


@pytest.mark.parametrize("key", BOTH)
@pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_a_bad_value_is_rejected_and_touches_no_pod(
    shared_model: ModelAccess, client: ClientPod, key: str, value: str
) -> None:
    before = incarnation(shared_model)
    shared_model.annotate(key, value)
    said = shared_model.wait_condition("RuntimeOptionsApplied", "False", "Rejected", 20)
    assert f"genai-operator.io/{key}" in said["message"]
    assert "must be" in said["message"]
    assert len(said["message"]) <= 1024
    assert incarnation(shared_model) == before
    assert client.ask(shared_model.address) == ("The capital of France is Paris.", "OK")
    shared_model.annotate(key, None)
    shared_model.wait_applied()


@pytest.mark.parametrize("key", OTHERS)
def test_hostile_values_are_rejected_one_after_the_other(shared_model: ModelAccess, key: str) -> None:
    before = incarnation(shared_model)
    (pod,) = shared_model.pods()
    has = json.loads(shared_model.ctl(pod["metadata"]["name"], "options", "--output", "json"))
    for value in HOSTILE:
        shared_model.annotate(key, value)
        want = f'annotation genai-operator.io/{key}: "{shown(value)}" must be'
        wait_until(want, lambda want=want: rejected(shared_model).startswith(want), 20)  # type: ignore[misc]
    assert incarnation(shared_model) == before
    assert json.loads(shared_model.ctl(pod["metadata"]["name"], "options", "--output", "json")) == has
    shared_model.annotate(key, None)
    shared_model.wait_applied()


def rejected(model: ModelAccess) -> str:
    """Why options are rejected; empty while they are not."""
    found = model.condition("RuntimeOptionsApplied")
    return str(found["message"]) if found.get("reason") == "Rejected" else ""


def test_a_bad_value_does_not_undo_what_holds(shared_model: ModelAccess) -> None:
    shared_model.annotate("terminate-session", "1")
    shared_model.wait_applied()
    shared_model.annotate("enable-profiling", "../../x")
    shared_model.wait_condition("RuntimeOptionsApplied", "False", "Rejected", 20)
    assert halted(shared_model)


def test_halt_ends_a_generation_and_serving_needs_no_reload(shared_model: ModelAccess, client: ClientPod) -> None:
    before = incarnation(shared_model)
    # Four at once take four times as long: none may end by itself on a busy machine.
    stories = client.start(
        "ask", shared_model.address, text="Tell me an endless story.", max_tokens=4000, parallel=4, shown=1
    )
    stories.wait_for("chunk")
    shared_model.annotate("terminate-session", "1")
    lines = stories.finish()
    assert [line["reason"] for line in lines if line["event"] == "finish"] == ["TERMINATED"] * 4
    assert [line["code"] for line in lines if line["event"] == "status"] == ["ABORTED"] * 4
    shared_model.wait_condition("Ready", "False", "Halted", 20)
    _, code = client.ask(shared_model.address)
    assert code == "UNAVAILABLE"
    shared_model.annotate("terminate-session", "0")
    shared_model.wait_ready()
    assert client.ask(shared_model.address) == ("The capital of France is Paris.", "OK")
    assert incarnation(shared_model) == before


def test_halt_interrupts_a_running_prefill(shared_model: ModelAccess, client: ClientPod) -> None:
    prompts = client.start("prefill", shared_model.address, tokens=1000, parallel=2)
    for _ in range(2):
        prompts.wait_for("status")
    shared_model.annotate("terminate-session", "1")
    ended = [line for line in prompts.finish() if line["event"] == "finish" and line["reason"] == "TERMINATED"]
    assert [line for line in ended if line["prompt_tokens"] == 1000 and line["completion_tokens"] == 0]


def test_options_by_the_status_subresource_and_annotations_win(shared_model: ModelAccess) -> None:
    before = incarnation(shared_model)
    patch = {"status": {"requestedRuntimeOptions": {"terminateSession": "1"}}}
    shared_model.cluster.patch("GenAIModel", shared_model.name, shared_model.namespace, patch, "status")
    shared_model.wait_condition("Ready", "False", "Halted", 20)
    shared_model.annotate("terminate-session", "0")
    shared_model.wait_ready()
    shared_model.annotate("terminate-session", None)
    shared_model.wait_condition("Ready", "False", "Halted", 20)
    # The operator's own writes of the status leave the other controller's part alone.
    assert shared_model.status()["requestedRuntimeOptions"] == {"terminateSession": "1"}
    assert incarnation(shared_model) == before


def test_options_in_the_spec_never_roll_a_pod(shared_model: ModelAccess) -> None:
    before = incarnation(shared_model)
    shared_model.patch_spec(runtimeOptions={"terminateSession": "1"})
    shared_model.wait_condition("Ready", "False", "Halted", 20)
    shared_model.patch_spec(runtimeOptions={"terminateSession": "0"})
    shared_model.wait_ready()
    shared_model.wait_applied()
    assert incarnation(shared_model) == before


def test_a_window_becomes_one_trace(shared_model: ModelAccess, client: ClientPod) -> None:
    before = incarnation(shared_model)
    (pod,) = shared_model.pods()
    name = pod["metadata"]["name"]
    shared_model.patch_spec(runtimeOptions={"profilingLimits": {"maxRuns": 20}})
    shared_model.annotate("enable-profiling", "one-trace")
    shared_model.wait_applied()
    client.ask(shared_model.address, text="Tell me an endless story.", max_tokens=60)
    profile = shared_model.wait_profile(name, "one-trace")
    assert (profile["state"], profile["closeReason"]) == ("COMPLETE", "max_runs")
    assert (profile["runs"], profile["droppedRuns"]) == (20, 0)
    trace = json.loads(gzip.decompress(shared_model.fetch_profile(name, profile["id"])))
    assert profile["events"] > 0
    assert {event["ph"] for event in trace["traceEvents"]} >= {"X", "M"}
    assert incarnation(shared_model) == before


def test_an_adapter_comes_by_a_patch_and_replaces_no_pod(shared_model: ModelAccess) -> None:
    """The pod says for itself why it cannot have this one, and goes on as it was."""
    before = incarnation(shared_model)

    def told() -> list[Object] | None:
        (pod,) = shared_model.status()["runtimeOptions"]["pods"]
        return [each for each in pod.get("adapters") or [] if each["state"] == "Rejected"] or None

    try:
        shared_model.patch_spec(adapters=[{"name": "absent", "path": "adapters/absent"}])
        (adapter,) = wait_until("the adapter is told as rejected", told, 60)
        assert adapter["name"] == "absent"
        assert "adapters/absent does not exist" in adapter["message"]
        assert shared_model.condition("Ready")["status"] == "True"
    finally:
        shared_model.patch_spec(adapters=None)
    shared_model.wait_applied()
    assert not told()
    assert incarnation(shared_model) == before
