"""What is known of profiles and their collectors: old events, gaps of the watches, and whose profiles a model wakes."""

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from genai_operator.clients.kube import JOB, PROFILE
from genai_operator.constants import LABEL_PROFILE
from genai_operator.services.profile_cache import ProfileCache
from genai_operator.services.queue import QueueMetrics
from genai_operator.status.observed import JobState

Object = dict[str, Any]
KEY = "team/slow"


def profile(version: int, uid: str = "a", phase: str = "", name: str = "slow", **spec: Any) -> Object:
    metadata = {"name": name, "namespace": "team", "uid": uid, "resourceVersion": str(version), "managedFields": [1]}
    return {"metadata": metadata, "spec": {"model": "hello", **spec}, "status": {"phase": phase} if phase else {}}


def job(version: int, condition: str = "", owner: str = "a", label: str = "slow") -> Object:
    metadata = {
        "name": "slow-collector",
        "namespace": "team",
        "uid": "j",
        "resourceVersion": str(version),
        "labels": {LABEL_PROFILE: label} if label else {},
        "ownerReferences": [{"uid": owner, "controller": True}],
    }
    conditions = [{"type": condition, "status": "True", "message": "so it is"}] if condition else []
    return {"metadata": metadata, "status": {"conditions": conditions, "active": version}}


def test_an_event_older_than_what_is_known_is_dropped() -> None:
    cache = ProfileCache()
    assert cache.observe(PROFILE, "ADDED", profile(5)) == KEY
    assert cache.observe(PROFILE, "MODIFIED", profile(5)) is None
    assert cache.observe(PROFILE, "MODIFIED", profile(4, phase="Running")) is None
    assert cache.observe(PROFILE, "MODIFIED", profile(6, phase="Running")) == KEY
    known = cache.profile(KEY)
    assert known is not None
    assert known["status"] == {"phase": "Running"}
    assert "managedFields" not in known["metadata"]


def test_the_end_of_an_earlier_object_of_the_name_is_not_the_end_of_the_present_one() -> None:
    cache = ProfileCache()
    cache.observe(PROFILE, "ADDED", profile(5, uid="b"))
    assert cache.observe(PROFILE, "DELETED", profile(6, uid="a")) == KEY
    assert cache.profile(KEY) is not None
    cache.observe(PROFILE, "DELETED", profile(7, uid="b"))
    assert cache.profile(KEY) is None


def test_our_own_write_does_not_come_back_and_a_foreign_one_in_between_is_noticed() -> None:
    cache = ProfileCache()
    cache.observe(PROFILE, "ADDED", profile(5))
    assert cache.wrote(profile(6, phase="Running")) is False
    assert cache.observe(PROFILE, "MODIFIED", profile(6, phase="Running")) is None
    assert cache.wrote(profile(8, phase="Running", suspend=True)) is True
    assert cache.wrote(profile(9, uid="another")) is False


def test_a_model_wakes_its_profiles_that_have_not_ended() -> None:
    cache = ProfileCache()
    cache.observe(PROFILE, "ADDED", profile(1))
    cache.observe(PROFILE, "ADDED", profile(2, name="other", uid="b"))
    cache.observe(PROFILE, "ADDED", profile(3, name="foreign", uid="c", model="another"))
    assert cache.of_model("team/hello") == ["team/other", "team/slow"]
    assert cache.uids() == {"a", "b", "c"}
    cache.observe(PROFILE, "MODIFIED", profile(4, phase="Complete"))
    cache.observe(PROFILE, "DELETED", profile(5, name="other", uid="b"))
    assert cache.of_model("team/hello") == []
    assert cache.uids() == {"c"}


def test_what_a_listing_does_not_show_is_gone_unless_it_is_newer() -> None:
    cache = ProfileCache()
    cache.observe(PROFILE, "ADDED", profile(1))
    cache.observe(PROFILE, "ADDED", profile(9, name="new", uid="b"))
    assert cache.missing(PROFILE, {"x"}, 5, "elsewhere") == []
    assert cache.missing(PROFILE, {"x"}, 5) == [KEY]
    assert cache.keys() == ["team/new"]
    cache.observe(JOB, "ADDED", job(2))
    assert cache.missing(JOB, set(), 5) == [KEY]
    assert cache.job(KEY) is None


def test_of_a_collector_only_its_end_is_news() -> None:
    cache = ProfileCache()
    assert cache.observe(JOB, "ADDED", job(1, label="")) is None
    assert cache.observe(JOB, "ADDED", job(1)) == KEY
    assert cache.observe(JOB, "MODIFIED", job(2)) is None
    assert cache.observe(JOB, "MODIFIED", job(3, "SuccessCriteriaMet")) is None
    assert cache.observe(JOB, "MODIFIED", job(4, "Failed")) == KEY
    known = cache.job(KEY)
    assert known is not None
    assert (known.state, known.message, known.owner_uid) == (JobState.FAILED, "so it is", "a")
    assert cache.observe(JOB, "DELETED", job(5)) == KEY
    assert cache.job(KEY) is None


def test_two_queues_share_their_series() -> None:
    registry = CollectorRegistry()
    models = QueueMetrics("models", registry)
    profiles = models.of("profiles")
    models.adds.inc(2)
    profiles.adds.inc()
    page = generate_latest(registry).decode()
    assert 'workqueue_adds_total{name="models"} 2.0' in page
    assert 'workqueue_adds_total{name="profiles"} 1.0' in page
