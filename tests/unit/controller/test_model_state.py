"""What the status says of a model that is fetched first: while it is, when it failed, and when it is there."""

import json
from typing import Any

import pytest

from genai_operator.services.reading import observed_pod
from genai_operator.status import summarise
from genai_operator.status.observed import FetchProgress, ObservedPod
from support.models import answers, conditions, make_model, message, observe, ready_pod, starting_pod

URI = "hf://org/name"
MODEL = make_model(model={"uri": URI})
DIGEST = "0a" * 32
WORDS = json.dumps({"digest": DIGEST, "bytes": 7, "files": 3, "cached": False, "revision": "sha256:" + DIGEST})


def fetching(number: int = 1, **changes: Any) -> ObservedPod:
    changes = {"preparation": "fetch", "preparation_id": f"c{number}", "preparing": True, **changes}
    return starting_pod(number, container_id="", **changes)


def fetched(number: int = 1, **changes: Any) -> ObservedPod:
    return ready_pod(number, **{"preparation": "fetch", "prepared": True, "folder_words": WORDS, **changes})


def failed(reason: str, said: str, **changes: Any) -> ObservedPod:
    words = json.dumps({"reason": reason, "message": said})
    crash = {"terminated_reason": "Error", "terminated_message": words, "exit_code": 1, "restarts": 2}
    return fetching(**{"preparing": False, "waiting_reason": "CrashLoopBackOff", **crash, **changes})


def test_a_pod_that_fetches_says_so_and_how_far_it_is() -> None:
    progress = {"uid-1": FetchProgress("Fetching", 300, 1000, 12.6)}
    status = summarise(MODEL, observe(fetching(), fetches=progress))
    seen = conditions(status)
    assert seen["Ready"] == ("False", "Fetching")
    assert seen["ModelAvailable"] == ("Unknown", "Fetching")
    assert seen["Progressing"] == ("True", "Fetching")
    assert seen["Degraded"] == ("False", "Healthy")
    assert "pod hello-1 fetches" in message(status, "Ready")
    assert status["model"] == {
        "state": "Fetching",
        "progress": {
            "pod": "hello-1",
            "percent": 30,
            "fetchedBytes": 300,
            "totalBytes": 1000,
            "remainingSeconds": 13,
        },
    }


def test_conditions_stay_while_only_the_figures_move() -> None:
    one, other = (
        summarise(MODEL, observe(fetching(), fetches={"uid-1": FetchProgress("Fetching", done, 1000)}))
        for done in (300, 600)
    )
    assert one["conditions"] == other["conditions"]
    assert one["model"] != other["model"]


def test_the_pod_that_has_most_to_do_still_is_told_and_waiting_ones_are_not() -> None:
    progress = {
        "uid-1": FetchProgress("Fetching", 900, 1000),
        "uid-2": FetchProgress("Fetching", 100, 1000),
        "uid-3": FetchProgress("Resolving"),
    }
    status = summarise(MODEL, observe(fetching(1), fetching(2), fetching(3), fetches=progress))
    assert status["model"]["progress"]["pod"] == "hello-2"
    waiting = summarise(MODEL, observe(fetching(3), fetches=progress))
    assert "progress" not in waiting["model"]


FAILURES = {
    "no such model": ("ModelNotFound", "there is no org/name"),
    "other bytes": ("ChecksumMismatch", "the folder's digest is 0b"),
    "wrong credentials": ("Unauthorized", "the key token"),
    "too much": ("ModelTooLarge", "2 GiB"),
    "a server that is away": ("SourceUnavailable", "no answer"),
    "no room": ("StorageFull", "1 GiB is free"),
    "a broken folder": ("ModelInvalid", "no tokenizer.json"),
}


@pytest.mark.parametrize(("reason", "said"), FAILURES.values(), ids=FAILURES.keys())
def test_a_failed_fetch_names_its_cause_and_its_source_and_is_no_crash_loop(reason: str, said: str) -> None:
    status = summarise(MODEL, observe(failed(reason, said)))
    seen = conditions(status)
    assert seen["Ready"] == ("False", reason)
    assert seen["ModelAvailable"] == ("False", reason)
    assert seen["Degraded"] == ("True", reason)
    assert URI in message(status, "Ready")
    assert said in message(status, "Ready")
    assert status["model"] == {"state": "Failed"}


def test_a_secret_that_is_of_no_use_is_named_and_other_causes_are_left_as_they_are() -> None:
    model = make_model(model={"uri": URI, "secretName": "keys"})
    assert (
        message(summarise(model, observe(failed("InvalidSpec", "no key"))), "Ready") == f"{URI} (Secret keys): no key"
    )
    assert message(summarise(model, observe(failed("OutOfMemory", "too little"))), "Ready") == "too little"
    # The server's own words about its own spec.
    serving = failed("InvalidSpec", "no certificate", prepared=True)
    assert message(summarise(model, observe(serving)), "Ready") == "no certificate"


def test_a_failure_stays_while_it_is_tried_again_unless_it_may_pass_by_itself() -> None:
    again = {"preparing": True, "waiting_reason": ""}
    assert conditions(summarise(MODEL, observe(failed("ChecksumMismatch", "x", **again))))["Ready"] == (
        "False",
        "ChecksumMismatch",
    )
    status = summarise(MODEL, observe(failed("SourceUnavailable", "x", **again)))
    assert conditions(status)["Ready"] == ("False", "Fetching")
    assert status["model"] == {"state": "Fetching"}


def test_a_complete_folder_is_told_with_its_digest_before_and_after_it_is_loaded() -> None:
    loading = fetched(ready=False)
    status = summarise(MODEL, observe(loading))
    assert conditions(status)["ModelAvailable"] == ("Unknown", "Fetched")
    assert conditions(status)["Ready"] == ("False", "Loading")
    assert status["model"] == {
        "state": "Fetched",
        "digest": DIGEST,
        "revision": "sha256:" + DIGEST,
        "sizeBytes": 7,
        "files": 3,
        "cached": False,
    }
    pod = fetched()
    status = summarise(MODEL, observe(pod, answers=answers(MODEL, pod)))
    assert conditions(status)["ModelAvailable"] == ("True", "Available")
    assert status["model"]["digest"] == DIGEST


def test_a_second_replica_that_fetches_leaves_the_digest_known() -> None:
    status = summarise(MODEL, observe(fetched(1), fetching(2)))
    assert (status["model"]["state"], status["model"]["digest"]) == ("Fetching", DIGEST)


def test_an_older_template_may_have_another_model() -> None:
    old, new = fetched(1, template="old"), fetching(2, template="new")
    assert "digest" not in summarise(MODEL, observe(old, new))["model"]


NO_WORDS = {
    "none": "",
    "no JSON": "no JSON",
    "no object": "[1]",
    "values of another kind": json.dumps({"digest": 3, "files": True}),
    "values without end": json.dumps({"digest": "0" * 99, "revision": "x" * 999, "bytes": -1, "files": 2**70}),
}


@pytest.mark.parametrize("words", NO_WORDS.values(), ids=NO_WORDS.keys())
def test_words_that_are_none_are_left_out(words: str) -> None:
    assert summarise(MODEL, observe(fetched(folder_words=words)))["model"] == {"state": "Fetched"}


def test_a_pod_that_waits_for_its_image_has_not_failed_to_fetch() -> None:
    pod = fetching(preparing=False, waiting_reason="ImagePullBackOff")
    status = summarise(MODEL, observe(pod))
    assert conditions(status)["Ready"] == ("False", "ImagePullBackOff")
    assert status["model"] == {"state": "Pending"}


def test_a_model_that_is_neither_fetched_nor_verified_has_no_such_part() -> None:
    assert "model" not in summarise(make_model(), observe(ready_pod()))
    verified = fetched(preparation="verify", folder_words=json.dumps({"digest": DIGEST}))
    model = make_model(model={"uri": "pvc://a/b", "sha256": DIGEST})
    assert summarise(model, observe(verified))["model"] == {"state": "Verified", "digest": DIGEST}
    assert summarise(model, observe(fetching(preparation="verify")))["model"] == {"state": "Verifying"}


def body(initial: dict[str, Any], main: dict[str, Any] | None = None) -> dict[str, Any]:
    waiting = {"state": {"waiting": {"reason": "PodInitializing"}}, "name": "model"}
    return {
        "metadata": {"name": "p", "uid": "u"},
        "status": {
            "podIP": "10.0.0.1",
            "initContainerStatuses": [{"name": "fetch", "containerID": "containerd://f", **initial}],
            "containerStatuses": [main or waiting],
        },
    }


ENDED = {"exitCode": 1, "reason": "Error", "message": "words"}


def test_an_init_container_that_runs_is_no_running_model() -> None:
    pod = observed_pod(body({"state": {"running": {}}}))
    assert (pod.fetching, pod.preparation_id, pod.running, pod.container_id) == (True, "containerd://f", False, "")
    assert pod.exit_code is None


@pytest.mark.parametrize(
    "initial",
    [
        {"state": {"terminated": ENDED}},
        {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ENDED}},
        {"state": {"running": {}}, "lastState": {"terminated": ENDED}},
    ],
    ids=["ended", "waiting for another attempt", "tried again"],
)
def test_an_init_container_that_failed_tells_why_until_it_ends_well(initial: dict[str, Any]) -> None:
    pod = observed_pod(body(initial))
    assert (pod.exit_code, pod.terminated_message, pod.running, pod.prepared) == (1, "words", False, False)


def test_an_init_container_that_ended_well_leaves_the_word_to_the_models() -> None:
    ended = {"state": {"terminated": {"exitCode": 0, "message": WORDS}}, "lastState": {"terminated": ENDED}}
    main = {"name": "model", "containerID": "containerd://m", "state": {"running": {}}}
    pod = observed_pod(body(ended, main))
    assert (pod.prepared, pod.folder_words, pod.running, pod.container_id) == (True, WORDS, True, "containerd://m")
    assert pod.exit_code is None


def test_an_older_pod_that_never_got_its_model_is_silent_once_there_is_a_new_one() -> None:
    """A roll-out keeps it; after a correction the user wants to know what became of that."""
    old = failed("ModelNotFound", "nothing", number=1, template="old")
    new = failed("ChecksumMismatch", "another", number=2, template="new")
    assert conditions(summarise(MODEL, observe(old)))["Ready"] == ("False", "ModelNotFound")
    assert conditions(summarise(MODEL, observe(old, new)))["Ready"] == ("False", "ChecksumMismatch")
    better = summarise(MODEL, observe(old, fetching(2, template="new")))
    assert conditions(better)["Ready"] == ("False", "Fetching")
    # What served and crashes is another matter.
    crashed = failed("ModelInvalid", "boom", number=1, template="old", prepared=True)
    status = summarise(MODEL, observe(crashed, fetching(2, template="new")))
    assert conditions(status)["Ready"] == ("False", "ModelInvalid")
