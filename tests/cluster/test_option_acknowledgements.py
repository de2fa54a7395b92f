"""Live options on several pods: each acknowledges for itself, the last intent holds, a silent one is named."""

import json
from collections.abc import Callable, Iterator

import pytest

from support import release
from support.client_pod import ClientPod
from support.live_cluster import LiveCluster, Object, wait_until
from support.model_resource import PORT, ModelAccess, genai_model
from support.pod_process import first_process, stopped

SMALL = {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
PODS = 3
KEYS = ("terminate-session", "log-level", "drain", "cancel", "arena-shrinkage")
STORY = "Tell me an endless story."


@pytest.fixture(scope="module")
def trio(cluster: LiveCluster, new_namespace: Callable[[], str]) -> ModelAccess:
    """A Ready model of three pods for this module's tests; they leave it as they found it."""
    model = ModelAccess(cluster, "trio", new_namespace())
    cluster.create(genai_model(model.name, model.namespace, replicas=PODS, resources=SMALL))
    model.wait_ready(PODS)
    return model


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "trio" in request.fixturenames:
        model: ModelAccess = request.getfixturevalue("trio")
        for key in KEYS:
            model.annotate(key, None)
        model.wait_applied(PODS)
        model.wait_ready(PODS)


def addresses(model: ModelAccess) -> list[str]:
    """Each pod's own."""
    return [f"{pod['status']['podIP']}:{PORT}" for pod in model.pods()]


def names(model: ModelAccess) -> list[str]:
    return [str(pod["metadata"]["name"]) for pod in model.pods()]


def applied(model: ModelAccess) -> list[Object]:
    """What each pod says that it has."""
    return [json.loads(model.ctl(name, "options", "--output", "json"))["options"] for name in names(model)]


def incarnations(model: ModelAccess) -> set[tuple[str, int]]:
    """Changes when a pod is replaced or a container restarted."""
    statuses = [each for pod in model.pods() for each in pod["status"]["containerStatuses"]]
    return {(each["containerID"], each["restartCount"]) for each in statuses}


def counts(model: ModelAccess, field: str) -> list[int]:
    """One count of every pod in the status, the smallest first."""
    return sorted(pod.get(field, -1) for pod in model.status()["runtimeOptions"]["pods"])


def test_log_level_and_arena_shrinkage_reach_every_pod(trio: ModelAccess) -> None:
    before = incarnations(trio)
    trio.annotate("log-level", "debug")
    trio.annotate("arena-shrinkage", "1")
    options = trio.wait_applied(PODS)
    assert {pod["state"] for pod in options["pods"]} == {"Applied"}
    assert {(each["logLevel"], each["arenaShrinkage"]) for each in applied(trio)} == {("debug", True)}
    trio.annotate("log-level", "error")
    trio.wait_applied(PODS)
    assert {each["logLevel"] for each in applied(trio)} == {"error"}
    assert incarnations(trio) == before


def test_a_cancel_rule_ends_one_clients_requests_on_every_pod(
    trio: ModelAccess, client: ClientPod, cluster: LiveCluster, new_namespace: Callable[[], str]
) -> None:
    other = ClientPod(cluster, new_namespace())
    other.make()
    kept = other.start("ask", addresses(trio)[0], text=STORY, max_tokens=600, shown=1)
    kept.wait_for("chunk")
    stories = [client.start("ask", each, text=STORY, max_tokens=4000, parallel=2, shown=1) for each in addresses(trio)]
    for story in stories:
        story.wait_for("chunk")
    trio.annotate("cancel", f"client={client.ip}")
    options = trio.wait_applied(PODS)
    assert {pod["state"] for pod in options["pods"]} == {"Applied"}
    for story in stories:
        lines = story.finish()
        finishes = [line for line in lines if line["event"] == "finish"]
        assert [line["reason"] for line in finishes] == ["CANCELLED"] * 2
        assert all(line["completion_tokens"] < 4000 and client.ip in line["message"] for line in finishes)
    wait_until("each pod counts two", lambda: counts(trio, "cancelledRequests") == [2] * PODS, 30)
    assert trio.status()["runtimeOptions"]["cancelledRequests"] == 2 * PODS
    # The rule stands: who comes later is ended as well; the other client is left alone.
    *_, finish, _ = client.run("ask", addresses(trio)[0], text=STORY, max_tokens=4000, shown=1)
    assert finish["reason"] == "CANCELLED"
    *_, finish, _ = kept.finish()
    assert (finish["reason"], finish["completion_tokens"]) == ("LENGTH", 600)
    trio.annotate("cancel", None)
    trio.wait_applied(PODS)
    assert "cancelledRequests" not in trio.status()["runtimeOptions"]
    assert client.ask(addresses(trio)[0]) == ("The capital of France is Paris.", "OK")


def test_a_drain_is_counted_down_ends_what_is_left_and_serves_again(trio: ModelAccess, client: ClientPod) -> None:
    before = incarnations(trio)
    first = addresses(trio)[0]
    # Eight at once: none may end by itself before the deadline, which comes when all has been seen that is before it.
    stories = client.start("ask", first, text=STORY, max_tokens=4000, parallel=8, shown=1)
    for _ in range(8):
        stories.wait_for("chunk")  # one of each
    trio.annotate("drain", "60s")
    trio.wait_applied(PODS)
    assert counts(trio, "requests") == [0, 0, 8]
    trio.wait_condition("Ready", "False", "Draining", 20)
    assert client.ask(first)[1] == "UNAVAILABLE"
    trio.annotate("drain", "1s")
    finishes = [line for line in stories.finish() if line["event"] == "finish"]
    assert [line["reason"] for line in finishes] == ["TERMINATED"] * 8
    assert all(0 < line["completion_tokens"] < 4000 for line in finishes)
    assert {trio.serving_state(name) for name in names(trio)} == {"DRAINING"}
    wait_until("no request is left", lambda: counts(trio, "requests") == [0] * PODS, 30)
    assert trio.status()["runtimeOptions"]["requests"] == 0
    assert client.ask(first)[1] == "UNAVAILABLE"
    trio.annotate("drain", "0")
    trio.wait_ready(PODS)
    assert client.ask(trio.address) == ("The capital of France is Paris.", "OK")
    assert incarnations(trio) == before


@pytest.mark.parametrize(
    ("intents", "want"), [(("1", "0", "1"), "HALTED"), (("1", "0", "1", "0"), "SERVING")], ids=["ends on", "ends off"]
)
def test_the_last_of_quick_changes_holds(trio: ModelAccess, intents: tuple[str, ...], want: str) -> None:
    for value in intents:
        trio.annotate("terminate-session", value)
    trio.wait_applied(PODS)
    assert {trio.serving_state(name) for name in names(trio)} == {want}


def test_what_changes_while_the_operator_is_restarted_holds(trio: ModelAccess, cluster: LiveCluster) -> None:
    trio.annotate("terminate-session", "1")
    trio.wait_applied(PODS)
    cluster.delete("Pod", release.operator_pod(cluster)["metadata"]["name"], release.NAMESPACE, grace_seconds=0)
    trio.annotate("terminate-session", "0")
    trio.annotate("log-level", "warning")
    release.wait_working(cluster)
    trio.wait_applied(PODS)
    trio.wait_ready(PODS)
    assert {trio.serving_state(name) for name in names(trio)} == {"SERVING"}
    assert {each["logLevel"] for each in applied(trio)} == {"warning"}


def test_one_silent_pod_of_ten_is_named_and_told_when_it_answers(apply_model: Callable[..., ModelAccess]) -> None:
    model = apply_model("ten", replicas=10, resources=SMALL)
    model.wait_ready(10, seconds=400)
    pod = model.pods()[4]
    process = first_process(pod)
    if process is None:
        pytest.skip("the cluster's nodes are other machines: no process of a pod can be stopped from here")
    with stopped(process):
        model.annotate("log-level", "debug")
        said = model.wait_condition("RuntimeOptionsApplied", "False", "PartiallyApplied", 20)["message"]
        assert said.startswith(f"9 of 10 pods have them; not reached: pod {pod['metadata']['name']}: ")
        assert len(said) <= 1024
        options = model.status()["runtimeOptions"]
        assert options["applied"] == "9/10"
        assert [each["state"] for each in options["pods"]] == ["Unreachable"] + ["Applied"] * 9
    model.wait_applied(10, seconds=180)
    assert {each["logLevel"] for each in applied(model)} == {"debug"}
