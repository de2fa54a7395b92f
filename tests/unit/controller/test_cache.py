"""The cache: newer wins, only what matters wakes a model, own writes are awaited."""

from typing import Any

from genai_operator.clients.kube import DEPLOYMENT, MODEL, POD, SERVICE
from genai_operator.constants import LABEL_MODEL
from genai_operator.services.cache import Cache, ChildId

Object = dict[str, Any]
KEY = "team/hello"


def body(kind: str, version: int, *, name: str = "hello", uid: str = "", **rest: Any) -> Object:
    metadata: Object = {
        "name": name,
        "namespace": "team",
        "uid": uid or f"{kind}-{name}",
        "resourceVersion": str(version),
        "labels": {LABEL_MODEL: "hello"},
        **rest.pop("metadata", {}),
    }
    return {"kind": kind, "metadata": metadata, **rest}


def model(version: int, **rest: Any) -> Object:
    return body("GenAIModel", version, **{"spec": {"replicas": 1}, **rest})


def service(version: int, **rest: Any) -> Object:
    owner = [{"uid": "GenAIModel-hello", "controller": True}]
    return body("Service", version, metadata={"ownerReferences": owner, **rest.pop("metadata", {})}, **rest)


def pod(version: int, **status: Any) -> Object:
    return body("Pod", version, name="hello-1", status={"phase": "Running", **status})


def test_a_model_is_kept_without_what_no_decision_reads() -> None:
    cache = Cache()
    annotations = {"genai-operator.io/enable-profiling": "1", "kubectl.kubernetes.io/last-applied-configuration": "{…}"}
    event = model(1, metadata={"managedFields": [{"manager": "x"}], "annotations": annotations}, status={"replicas": 0})
    assert cache.observe(MODEL, "ADDED", event) == KEY
    kept = cache.model(KEY)
    assert kept is not None
    assert kept["metadata"]["annotations"] == {"genai-operator.io/enable-profiling": "1"}
    assert "managedFields" not in kept["metadata"]
    assert (kept["spec"], kept["status"]) == ({"replicas": 1}, {"replicas": 0})


def test_an_older_event_changes_nothing() -> None:
    cache = Cache()
    cache.observe(MODEL, "ADDED", model(5, spec={"replicas": 5}))
    assert cache.observe(MODEL, "MODIFIED", model(4, spec={"replicas": 4})) is None
    assert cache.model(KEY)["spec"] == {"replicas": 5}  # type: ignore[index]  # it is there


def test_a_new_model_of_the_same_name_replaces_the_old_one_whatever_its_version() -> None:
    cache = Cache()
    cache.observe(MODEL, "ADDED", model(5))
    assert cache.observe(MODEL, "ADDED", model(3, uid="another")) == KEY
    assert cache.observe(MODEL, "DELETED", model(9)) == KEY  # the old one's late farewell
    assert cache.model(KEY) is not None
    assert cache.observe(MODEL, "DELETED", model(10, uid="another")) == KEY
    assert cache.model(KEY) is None


def test_the_echo_of_our_own_status_write_wakes_nobody() -> None:
    cache = Cache()
    cache.observe(MODEL, "ADDED", model(5))
    assert not cache.wrote_model(model(6, status={"replicas": 1}))
    assert cache.observe(MODEL, "MODIFIED", model(6, status={"replicas": 1})) is None
    assert cache.model(KEY)["status"] == {"replicas": 1}  # type: ignore[index]  # it is there


def test_an_edit_that_slipped_in_before_our_status_write_is_not_lost() -> None:
    cache = Cache()
    cache.observe(MODEL, "ADDED", model(5))
    annotations = {"genai-operator.io/terminate-session": "1"}
    assert cache.wrote_model(model(7, metadata={"annotations": annotations}))
    assert cache.observe(MODEL, "MODIFIED", model(6, metadata={"annotations": annotations})) is None
    assert cache.model(KEY)["metadata"]["annotations"] == annotations  # type: ignore[index]  # it is there


def test_a_childs_status_wakes_nobody_and_its_drift_does() -> None:
    cache = Cache()
    assert cache.observe(SERVICE, "ADDED", service(1, spec={"ports": [1]})) == KEY
    assert cache.observe(SERVICE, "MODIFIED", service(2, spec={"ports": [1]}, status={"loadBalancer": {}})) is None
    assert cache.observe(SERVICE, "MODIFIED", service(3, spec={"ports": [2]})) == KEY
    assert cache.observe(SERVICE, "MODIFIED", service(4, spec={"ports": [2]}, metadata={"ownerReferences": []})) == KEY
    assert cache.observe(SERVICE, "DELETED", service(5)) == KEY
    assert cache.child(ChildId("Service", "team", "hello")) is None


def test_the_roll_outs_own_annotation_is_no_drift() -> None:
    cache = Cache()
    revision = {"annotations": {"deployment.kubernetes.io/revision": "2"}}
    cache.observe(DEPLOYMENT, "ADDED", body("Deployment", 1, spec={}))
    assert cache.observe(DEPLOYMENT, "MODIFIED", body("Deployment", 2, spec={}, metadata=revision)) is None


def test_a_deployments_counts_wake_the_model_when_they_change() -> None:
    cache = Cache()
    cache.observe(DEPLOYMENT, "ADDED", body("Deployment", 1, spec={}))
    assert cache.observe(DEPLOYMENT, "MODIFIED", body("Deployment", 2, spec={}, status={"readyReplicas": 1})) == KEY
    assert cache.observe(DEPLOYMENT, "MODIFIED", body("Deployment", 3, spec={}, status={"readyReplicas": 1})) is None
    assert cache.deployment(KEY).ready_replicas == 1  # type: ignore[union-attr]  # it is there
    cache.observe(DEPLOYMENT, "DELETED", body("Deployment", 4))
    assert cache.deployment(KEY) is None


def test_a_pod_wakes_its_model_only_when_something_changed_that_decisions_read() -> None:
    cache = Cache()
    assert cache.observe(POD, "ADDED", pod(1)) == KEY
    assert cache.observe(POD, "MODIFIED", pod(2, startTime="now")) is None
    assert cache.observe(POD, "MODIFIED", pod(3, podIP="10.0.0.1")) == KEY
    assert cache.observe(POD, "MODIFIED", pod(2)) is None
    assert [each.ip for each in cache.pods(KEY)] == ["10.0.0.1"]
    assert cache.observe(POD, "DELETED", pod(4)) == KEY
    assert cache.pods(KEY) == ()


def test_what_a_complete_listing_does_not_show_is_dropped_unless_it_is_newer() -> None:
    cache = Cache()
    cache.observe(MODEL, "ADDED", model(1))
    cache.observe(SERVICE, "ADDED", service(2))
    cache.observe(POD, "ADDED", pod(3))
    assert cache.missing(SERVICE, set(), 1) == []
    assert cache.missing(SERVICE, set(), 10, "other") == []
    assert cache.missing(SERVICE, {"Service-hello"}, 10) == []
    assert cache.missing(SERVICE, set(), 10) == [KEY]
    assert cache.missing(POD, set(), 10) == [KEY]
    assert cache.missing(MODEL, set(), 10) == [KEY]
    assert (cache.keys(), cache.pods(KEY), list(cache.children(KEY))) == ([], (), [])


def test_our_writes_are_awaited_until_a_watch_shows_them() -> None:
    now = 100.0
    cache = Cache(clock=lambda: now)
    cache.observe(MODEL, "ADDED", model(1))
    cache.wrote_model(model(5))
    cache.wrote_child(SERVICE, KEY, service(6))
    now = 130.0
    cache.observe(MODEL, "MODIFIED", model(4))
    assert cache.oldest_awaited() == ("GenAIModel team/hello", 30.0)
    cache.observe(MODEL, "MODIFIED", model(5))
    assert cache.oldest_awaited() == ("Service team/hello/hello", 30.0)
    cache.observe(SERVICE, "DELETED", service(7))
    assert cache.oldest_awaited() is None


def test_an_apply_that_changed_nothing_is_not_awaited() -> None:
    cache = Cache()
    cache.observe(SERVICE, "ADDED", service(6, spec={"ports": [1]}))
    child = cache.wrote_child(SERVICE, KEY, service(6, spec={"ports": [1]}))
    assert child == cache.child(ChildId("Service", "team", "hello"))
    assert cache.oldest_awaited() is None
