"""Why a model is as it is: every reason of docs/status.md has a rule, and the facts decide which one is told."""

import re
from pathlib import Path
from typing import Any

import pytest

from genai_kubectl.decisions.why import Facts, log_wanted, why
from genai_kubectl.decisions.why_rules import RULES
from genai_operator.status.reasons import Reason

STATUS_PAGE = Path(__file__).parents[3] / "docs" / "status.md"
GOOD = {
    "Accepted": ("True", "Accepted"),
    "ModelAvailable": ("True", "Available"),
    "ModelBuilt": ("True", "Built"),
    "WorkloadAvailable": ("True", "Available"),
    "Ready": ("True", "Serving"),
    "Progressing": ("False", "Complete"),
    "Degraded": ("False", "Healthy"),
    "RuntimeOptionsApplied": ("True", "Applied"),
}
# reason -> the condition that carries it when it is the trouble
CARRIED_BY = {
    **dict.fromkeys(("InvalidSpec", "NameConflict"), "Accepted"),
    **dict.fromkeys(
        ("Unreachable", "PartiallyApplied", "Unsupported", "Rejected", "Applying"), "RuntimeOptionsApplied"
    ),
    **dict.fromkeys(("Paused", "RollingOut", "RolloutBlocked"), "Progressing"),
    "ProviderDegraded": "Degraded",
}


def model(messages: dict[str, str] | None = None, **conditions: tuple[str, str]) -> dict[str, Any]:
    merged = {**GOOD, **conditions}
    return {
        "metadata": {"name": "hello", "namespace": "demo", "generation": 2},
        "spec": {},
        "status": {
            "observedGeneration": 2,
            "conditions": [
                {"type": kind, "status": status, "reason": reason, "message": (messages or {}).get(kind, f"m {kind}")}
                for kind, (status, reason) in merged.items()
            ],
        },
    }


def pod(name: str, *, is_ready: bool = False, created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if is_ready else "False"}
    return {
        "metadata": {"name": name, "creationTimestamp": created},
        "status": {"phase": "Running", "conditions": [condition]},
    }


def event(kind: str, name: str, reason: str, message: str, *, normal: bool = False) -> dict[str, Any]:
    return {
        "type": "Normal" if normal else "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": {"kind": kind, "name": name},
    }


def documented_reasons() -> set[str]:
    """First cells of the page's tables that have the header `reason`."""
    found, inside = set(), False
    for line in STATUS_PAGE.read_text().splitlines():
        if line.startswith("| reason |"):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and (cell := re.match(r"\| `(\w+)` \|", line)):
            found.add(cell[1])
    return found


def test_the_page_is_read() -> None:
    assert {"Serving", "Halted", "CrashLoopBackOff", "Rejected"} <= documented_reasons()


@pytest.mark.parametrize("reason", sorted(documented_reasons() | {each.value for each in Reason}))
def test_every_documented_reason_becomes_one_sentence_and_a_remedy(reason: str) -> None:
    kind = CARRIED_BY.get(reason, "Ready")
    truth = "True" if kind == "Degraded" else "False"
    good = {each[1] for each in GOOD.values()} | {"NoPods"}
    answer = why(Facts(model() if reason in good else model(**{kind: (truth, reason)}), [pod("hello-1")]))
    assert reason in RULES
    if reason in good:
        assert answer.good
        return
    assert (answer.reason, answer.good) == (reason, False)
    assert answer.sentence.startswith("hello ")
    assert answer.sentence.endswith(".")
    assert answer.sentence.count("\n") == 0
    assert answer.remedy
    assert "{" not in answer.sentence + answer.remedy.replace('{"spec":{"suspend":false}}', "")


def test_a_model_that_serves_needs_nothing() -> None:
    answer = why(Facts(model()))
    assert answer.sentence == "hello serves and nothing is wrong: m Ready."
    assert (answer.good, answer.remedy) == (True, "")


def test_a_bad_spec_counts_more_than_what_follows_from_it() -> None:
    answer = why(
        Facts(model(Accepted=("False", "InvalidSpec"), Degraded=("True", "InvalidSpec"), Ready=("False", "Pending")))
    )
    assert answer.reason == "InvalidSpec"


def test_trouble_of_one_pod_is_told_though_others_serve() -> None:
    broken = model({"Degraded": "pod hello-2: not found"}, Degraded=("True", "ImagePullBackOff"))
    answer = why(Facts(broken, [pod("hello-1", is_ready=True), pod("hello-2")]))
    assert (answer.reason, answer.pod) == ("ImagePullBackOff", "hello-2")
    assert "not found" in answer.sentence


def test_no_status_means_no_operator() -> None:
    seen = {"metadata": {"name": "hello", "namespace": "demo", "generation": 1}, "spec": {}}
    answer = why(Facts(seen))
    assert answer.reason == "NotSeen"
    assert "watches namespace demo" in answer.remedy


def test_a_spec_that_nobody_acted_on() -> None:
    behind = model()
    behind["metadata"]["generation"] = 3
    assert why(Facts(behind)).reason == "NotActedOn"


def test_a_pending_pod_is_explained_by_its_newest_warning() -> None:
    events = [
        event("Pod", "hello-1", "FailedMount", "an older one"),
        event("Pod", "hello-1", "FailedMount", 'secret "tls" not found'),
        event("Pod", "hello-1", "Pulled", "fine", normal=True),
        event("Pod", "another-1", "Failed", "not ours"),
    ]
    answer = why(Facts(model(Ready=("False", "Pending")), [pod("hello-1")], events))
    assert answer.sentence.endswith('the cluster says FailedMount: secret "tls" not found.')


@pytest.mark.parametrize(
    ("kind", "name", "ours"), [("ReplicaSet", "hello-5d4f", True), ("ReplicaSet", "hello-b-5d4f", False)]
)
def test_events_of_the_models_own_replica_set_only(kind: str, name: str, ours: bool) -> None:
    facts = Facts(model(Ready=("False", "Pending")), events=[event(kind, name, "FailedCreate", "quota")])
    assert ("FailedCreate" in why(facts).sentence) is ours


def test_a_crash_is_explained_by_the_last_line_of_the_log() -> None:
    crashed = model({"Ready": "pod hello-1 ended with exit code 3"}, Ready=("False", "CrashLoopBackOff"))
    pods = [pod("hello-1")]
    assert log_wanted(crashed, pods) == "hello-1"
    log = 'noise\n{"event": "cannot serve", "error": "libcuda.so.1 is missing"}\n\n'
    answer = why(Facts(crashed, pods, logs={"hello-1": log}))
    assert 'the last line of its log: "libcuda.so.1 is missing"' in answer.sentence
    assert "kubectl logs -n demo hello-1 --previous" in answer.remedy


def test_no_log_is_read_where_it_would_not_help() -> None:
    assert log_wanted(model(Ready=("False", "Halted")), [pod("hello-1")]) == ""


def test_the_pod_in_question_is_the_newest_that_is_not_ready() -> None:
    pods = [
        pod("hello-1", is_ready=True, created="2026-01-01T00:00:09Z"),
        pod("hello-2", created="2026-01-01T00:00:01Z"),
        pod("hello-3", created="2026-01-01T00:00:05Z"),
    ]
    assert why(Facts(model(Ready=("False", "Loading")), pods)).pod == "hello-3"


def test_braces_and_line_breaks_of_a_message_stay_harmless() -> None:
    said = 'webhook says {"name": 1}\nand more'
    answer = why(Facts(model({"Ready": said}, Ready=("False", "AdmissionDenied"))))
    assert 'webhook says {"name": 1} and more' in answer.sentence


def test_a_reason_of_a_later_version_is_told_in_its_own_words() -> None:
    answer = why(Facts(model({"Ready": "the moon is full"}, Ready=("False", "MoonPhase"))))
    assert "the moon is full" in answer.sentence
    assert answer.remedy == "kubectl describe gaim -n demo hello"


def test_what_the_answer_follows_from_is_listed() -> None:
    facts = Facts(model(Ready=("False", "Pending")), [pod("hello-1")], [event("Pod", "hello-1", "Failed", "x")])
    evidence = why(facts).evidence
    assert "condition Ready False Pending: m Ready" in evidence
    assert "pod hello-1 Running" in evidence
    assert "event Failed of Pod hello-1: x" in evidence


def test_a_failed_build_is_told_whether_or_not_an_earlier_one_serves() -> None:
    said = "no such architecture; see kubectl logs -n demo hello-build-x -c build"
    failed = {"ModelBuilt": ("False", "BuildFailed"), "Progressing": ("False", "BuildFailed")}
    failed |= {"Degraded": ("True", "BuildFailed")}
    for serving in (("True", "Serving"), ("False", "BuildFailed")):
        answer = why(Facts(model(dict.fromkeys((*failed, "Ready"), said), **failed, Ready=serving)))
        assert (answer.reason, answer.good) == ("BuildFailed", False)
        assert said in answer.sentence


def test_a_build_that_goes_on_is_told_while_an_earlier_one_serves() -> None:
    going_on = {"ModelBuilt": ("False", "Building"), "Progressing": ("True", "Building")}
    answer = why(Facts(model({"Progressing": "pod hello-build-x builds the model"}, **going_on)))
    assert answer.reason == "Building"
    assert "hello-build-x builds" in answer.sentence
