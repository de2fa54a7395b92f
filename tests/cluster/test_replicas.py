"""Runtime options with several pods, pods that come and go, and an operator that does."""

from collections.abc import Callable

from support import release
from support.client_pod import ClientPod
from support.live_cluster import LiveCluster, wait_until
from support.model_resource import ModelAccess

SMALL = {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


def states(model: ModelAccess) -> dict[str, str]:
    """What each pod says of itself: SERVING or HALTED."""
    return {pod: model.serving_state(pod) for pod in names(model)}


def test_three_replicas_acknowledge_and_a_new_pod_comes_back_halted(apply_model: Callable[..., ModelAccess]) -> None:
    model = apply_model(replicas=3, resources=SMALL)
    model.wait_ready(3)
    model.annotate("terminate-session", "1")
    options = model.wait_applied(3)
    assert {each["state"] for each in options["pods"]} == {"Applied"}
    assert set(states(model).values()) == {"HALTED"}

    gone = model.pods()[0]["metadata"]["name"]
    model.cluster.delete("Pod", gone, model.namespace)
    wait_until("another pod in its place", lambda: gone not in names(model) and len(model.ready_pods()) == 3, 240)
    model.wait_applied(3)
    assert set(states(model).values()) == {"HALTED"}

    model.annotate("terminate-session", "0")
    model.wait_ready(3)
    model.wait_applied(3)
    assert set(states(model).values()) == {"SERVING"}


def test_scaling_up_in_a_window_gives_the_new_pod_its_own(
    apply_model: Callable[..., ModelAccess], client: ClientPod
) -> None:
    model = apply_model(resources=SMALL, runtimeOptions={"profilingLimits": {"maxRuns": 10, "maxSeconds": 300}})
    model.wait_ready()
    model.annotate("enable-profiling", "growing")
    model.wait_applied()
    (first,) = names(model)
    (window,) = model.profiles(first, "growing")
    assert window["state"] == "OPEN"
    model.patch_spec(replicas=2)
    model.wait_ready(2)
    model.wait_applied(2)
    (second,) = names(model) - {first}
    (own,) = model.profiles(second, "growing")
    assert own["openedUnixMs"] > window["openedUnixMs"]
    (still,) = model.profiles(first, "growing")
    assert (still["id"], still["state"]) == (window["id"], "OPEN")
    # Each pod's window ends by its own caps.
    for pod in model.pods():
        client.ask(f"{pod['status']['podIP']}:9000", text="Tell me an endless story.", max_tokens=40)
        profile = model.wait_profile(pod["metadata"]["name"], "growing")
        assert (profile["state"], profile["closeReason"], profile["runs"]) == ("COMPLETE", "max_runs", 10)


def names(model: ModelAccess) -> set[str]:
    return {pod["metadata"]["name"] for pod in model.pods()}


def test_without_the_operator_a_window_ends_models_serve_and_namespaces_go(
    cluster: LiveCluster, client: ClientPod, apply_model: Callable[..., ModelAccess]
) -> None:
    model = apply_model(resources=SMALL, runtimeOptions={"profilingLimits": {"maxSeconds": 15}})
    model.wait_ready()
    (pod,) = names(model)
    model.annotate("enable-profiling", "orphan")
    model.wait_applied()
    assert client.ask(model.address)[1] == "OK"  # so that the window has runs, however long the rest takes
    operator = release.operator_pod(cluster)["metadata"]["name"]
    release.scale(cluster, 0)
    cluster.delete("Pod", operator, release.NAMESPACE, grace_seconds=0)
    try:
        wait_until("no operator", lambda: not cluster.find("Pod", release.NAMESPACE, release.SELECTOR), 60)
        assert client.ask(model.address) == ("The capital of France is Paris.", "OK")
        window = model.wait_profile(pod, "orphan")
        assert (window["state"], window["closeReason"]) == ("COMPLETE", "max_seconds")
        cluster.delete("Namespace", model.namespace)
        wait_until("the namespace gone", lambda: cluster.get("Namespace", model.namespace) is None, 240)
    finally:
        release.scale(cluster, 1)
        release.wait_working(cluster)
