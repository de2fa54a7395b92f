"""kubectl genai against a real API server: what it writes, waits for and prints; who may do what.

No operator runs here: the test writes the statuses that one would write.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genai_kubectl.decisions.rights import PROFILER, USER, VIEWER, roles
from support.kubectl_genai import Ended, KubectlGenai, end
from support.kubectl_world import GROUP, NAMESPACE, ROLES, TIME, KubectlWorld, kubectl_world
from support.live_cluster import wait_until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubectlWorld]:
    with kubectl_world(tmp_path_factory.mktemp("kubectl")) as running:
        yield running


@pytest.fixture
def model(world: KubectlWorld, request: pytest.FixtureRequest) -> str:
    """A model of this test alone, with one pod, whose pod has all options."""
    name = f"m{abs(hash(request.node.name)) % 10**8}"
    world.make_model(name)
    world.acknowledge(name, "first")
    return name


def as_role(world: KubectlWorld, role: str, folder: Path) -> KubectlGenai:
    """The program with the token of the account that has a role."""
    config = json.loads(world.plane.kubeconfig.read_text())
    token = world.kubectl("create", "token", role).strip()
    config["users"] = [{"name": "admin", "user": {"token": token}}]
    path = folder / f"{role}.kubeconfig"
    path.write_text(json.dumps(config))
    return replace(world.genai, kubeconfig=path)


# --- live options -----------------------------------------------------------------------------------------------------


def test_halt_writes_the_annotation_and_ends_when_pods_have_it(world: KubectlWorld, model: str) -> None:
    halting = world.genai.start("halt", model, "-o", "json")
    world.wait_annotation(model, "terminate-session", "1")
    assert halting.poll() is None  # the acknowledgement of before is none for this
    world.acknowledge(model, "second")
    said = end(halting).json()
    assert (said["model"], said["terminateSession"], said["pods"][0]["state"]) == (model, "1", "Applied")


def test_resume_takes_the_annotations_away(world: KubectlWorld, model: str) -> None:
    for key, value in (("terminate-session", "1"), ("drain", "30s")):
        world.kubectl("annotate", "gaim", model, f"{GROUP}/{key}={value}")
    resuming = world.genai.start("resume", model)
    world.wait_annotation(model, "terminate-session", None)
    world.acknowledge(model, "second")
    ended = end(resuming)
    assert (ended.code, ended.out) == (0, f"{model} serves on 1 pod\n")
    assert world.annotation(model, "drain") is None


def test_a_model_that_serves_has_nothing_to_resume(world: KubectlWorld, model: str) -> None:
    assert "was neither halted nor draining" in world.genai.run("resume", model).out


def test_cancel_tells_how_many_and_takes_its_rule_away(world: KubectlWorld, model: str) -> None:
    cancelling = world.genai.start("cancel", model, "--client", "team-b", "--older-than", "1m", "-o", "json")
    world.wait_annotation(model, "cancel", "client=team-b,older-than=60s")
    world.acknowledge(model, "second", cancelledRequests=3)
    world.wait_annotation(model, "cancel", None)
    world.acknowledge(model, "third", cancelledRequests=None)
    said = end(cancelling).json()
    assert (said["ended"], said["cancel"], said["kept"]) == (3, "client=team-b,older-than=60s", False)


def test_a_kept_rule_stands_until_it_is_cleared(world: KubectlWorld, model: str) -> None:
    keeping = world.genai.start("cancel", model, "--tokens-over", "500", "--keep")
    world.wait_annotation(model, "cancel", "tokens-over=500")
    world.acknowledge(model, "second", cancelledRequests=1)
    assert "1 request ended" in end(keeping).out
    assert world.annotation(model, "cancel") == "tokens-over=500"
    other = world.genai.run("cancel", model, "--client", "x")
    assert (other.code, world.annotation(model, "cancel")) == (1, "tokens-over=500")
    assert "--clear" in other.err
    clearing = world.genai.start("cancel", model, "--clear")
    world.wait_annotation(model, "cancel", None)
    world.acknowledge(model, "third", cancelledRequests=None)
    assert end(clearing).code == 0


def test_a_pod_that_does_not_answer_is_exit_code_5_and_no_rule_is_left(world: KubectlWorld, model: str) -> None:
    ended = world.genai.run("cancel", model, "--request-id", "r-1", "--timeout", "1s")
    assert (ended.code, ended.out) == (5, "")
    assert "the operator has not taken the change up" in ended.err
    assert world.annotation(model, "cancel") is None


def test_a_value_that_the_operator_rejects_is_told_at_once(world: KubectlWorld, model: str) -> None:
    draining = world.genai.start("drain", model, "--deadline", "2h", "--timeout", "60s")
    world.wait_annotation(model, "drain", "7200s")
    message = f'annotation {GROUP}/drain: "7200s" must be "0" or 1s to 1h'
    rejected = {"type": "RuntimeOptionsApplied", "status": "False", "reason": "Rejected", "message": message}
    world.status("gaim", model, {"conditions": [{**rejected, "lastTransitionTime": TIME}]})
    ended = end(draining)
    assert ended.code == 1
    assert message in ended.err


def test_the_log_level_is_set_and_taken_away(world: KubectlWorld, model: str) -> None:
    setting = world.genai.start("logs-level", model, "debug", "-o", "name")
    world.wait_annotation(model, "log-level", "debug")
    world.acknowledge(model, "second")
    assert end(setting).out == f"genaimodels.{GROUP}/{model}\n"
    resetting = world.genai.start("logs-level", model, "default")
    world.wait_annotation(model, "log-level", None)
    world.acknowledge(model, "third")
    assert end(resetting).code == 0


# --- profiles ---------------------------------------------------------------------------------------------------------

POD_WINDOW = {"name": "m-1", "uid": "u", "state": "Complete", "profileId": "p-1", "runs": 20, "bytes": 4096}
COMPLETE = {
    "phase": "Complete",
    "capturedRuns": 20,
    "capturedRequests": 2,
    "capturedBytes": 4096,
    "overheadPercent": 1.5,
    "pods": [POD_WINDOW],
    "topOperators": [{"opType": "MatMulNBits", "provider": "CPU", "calls": 80, "sharePercent": 71.5}],
    "artifact": {"type": "Pod", "location": "pod://m-1/p-1"},
}


def test_a_profile_is_made_as_it_was_asked_for(world: KubectlWorld) -> None:
    options = ("--pods-count", "2", "--sample-rate", "0.5", "--runs", "every 100", "--max-bytes", "1Mi")
    made = world.genai.run("profile", "start", "hello", "--no-wait", *options, "--ttl", "1h", "-o", "json").json()
    stored = json.loads(world.kubectl("get", "gap", made["metadata"]["name"], "-o", "json"))["spec"]
    assert stored["pods"] == {"count": 2}
    assert stored["requests"]["sampleRate"] == 0.5
    assert (stored["runs"], stored["limits"], stored["ttlSecondsAfterFinished"]) == (
        "every 100",
        {"maxBytes": "1Mi"},
        3600,
    )
    assert made["metadata"]["name"].startswith("hello-")


def test_a_value_that_the_api_server_refuses_names_its_field(world: KubectlWorld) -> None:
    ended = world.genai.run("profile", "start", "hello", "--runs", "9-1", "--no-wait")
    assert ended.code == 1
    assert "spec.runs" in ended.err
    assert ended.err.count("\n") == 1


def test_start_waits_and_prints_what_was_captured(world: KubectlWorld) -> None:
    starting = world.genai.start("profile", "start", "hello", "--name", "waited")
    wait_until("it is made", lambda: "waited" in world.kubectl("get", "gap", "-o", "name"), 30)
    world.status("gap", "waited", COMPLETE)
    ended = end(starting)
    assert ended.code == 0
    assert "20 runs of 2 requests, 4.0 KiB, 0 dropped" in ended.out
    assert "MatMulNBits" in ended.out
    assert "kubectl genai profile open waited" in ended.err
    shown = world.genai.run("profile", "top", "waited", "-o", "json").json()
    assert shown["operators"] == COMPLETE["topOperators"]


def test_a_window_that_captured_nothing_is_exit_code_1(world: KubectlWorld) -> None:
    starting = world.genai.start("profile", "start", "hello", "--name", "empty", "-o", "json")
    wait_until("it is made", lambda: "empty" in world.kubectl("get", "gap", "-o", "name"), 30)
    reason = {"reason": "NothingCaptured", "message": "no request ran", "lastTransitionTime": TIME}
    failed = {"phase": "Failed", "conditions": [{"type": "Failed", "status": "True", **reason}]}
    world.status("gap", "empty", failed)
    ended = end(starting)
    assert ended.code == 1
    assert json.loads(ended.out)["status"]["phase"] == "Failed"
    assert "NothingCaptured: no request ran" in ended.err


def test_start_that_takes_too_long_is_exit_code_5(world: KubectlWorld) -> None:
    ended = world.genai.run("profile", "start", "hello", "--name", "slow", "--timeout", "1s")
    assert ended.code == 5
    assert "kubectl genai profile stop slow" in ended.err


def test_stop_of_one_that_has_not_started_makes_it_wait(world: KubectlWorld) -> None:
    world.genai.run("profile", "start", "hello", "--name", "early", "--no-wait")
    assert world.genai.run("profile", "stop", "early").code == 0
    assert json.loads(world.kubectl("get", "gap", "early", "-o", "json"))["spec"]["suspend"] is True


def test_profiles_are_listed_in_every_format(world: KubectlWorld) -> None:
    world.genai.run("profile", "start", "other", "--name", "listed", "--no-wait")
    world.status("gap", "listed", COMPLETE)
    chosen = ("profile", "list", "--model", "other")
    header, line = world.genai.run(*chosen).out.splitlines()
    assert header.split() == ["NAME", "MODEL", "PHASE", "PODS", "RUNS", "DROPPED", "OVERHEAD", "AGE"]
    assert line.split()[:5] == ["listed", "other", "Complete", "1/1", "20"]
    assert "pod://m-1/p-1" in world.genai.run(*chosen, "-o", "wide").out
    assert world.genai.run(*chosen, "-o", "name").out == f"genaiprofile.{GROUP}/listed\n"
    (item,) = world.genai.run(*chosen, "-o", "json").json()["items"]
    assert item["metadata"]["name"] == "listed"
    everywhere = world.genai.run("profile", "list", "-A").out
    assert everywhere.startswith("NAMESPACE")


def test_a_file_is_never_replaced_unasked(world: KubectlWorld, tmp_path: Path) -> None:
    (tmp_path / "waited.trace.json.gz").write_text("mine")
    ended = world.genai.run("profile", "fetch", "waited", folder=tmp_path)
    assert ended.code == 1
    assert "--force" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["waited.trace.json.gz"]


def test_the_pod_that_reads_a_claim_is_admitted_and_deleted(world: KubectlWorld, tmp_path: Path) -> None:
    """Nothing runs it here, so the test says that it failed."""
    world.genai.run("profile", "start", "read", "--name", "collected", "--no-wait")
    world.make_pod("read-2", "read")
    artifact = {"type": "PersistentVolumeClaim", "location": "pvc://traces/monday/trace.json.gz", "bytes": 7}
    world.status("gap", "collected", {**COMPLETE, "artifact": artifact})
    enforce = "pod-security.kubernetes.io/enforce"
    world.kubectl("label", "namespace", NAMESPACE, f"{enforce}=restricted")
    try:
        fetching = world.genai.start("profile", "fetch", "collected", folder=tmp_path)

        def readers() -> str:
            return world.kubectl("get", "pods", "-l", "app.kubernetes.io/name=genai-reader", "-o", "name").strip()

        _, _, name = wait_until("a pod is made", lambda: readers() or None, 60).partition("/")
        world.status("pod", name, {"phase": "Failed", "message": "the claim is lost"})
        ended = end(fetching)
    finally:
        world.kubectl("label", "namespace", NAMESPACE, f"{enforce}-")
    assert (ended.code, "the claim is lost" in ended.err) == (1, True), ended.err
    assert list(tmp_path.iterdir()) == []
    wait_until("the pod is deleted", lambda: not readers(), 30)


# --- looking on -------------------------------------------------------------------------------------------------------


def test_why_without_an_operator(world: KubectlWorld) -> None:
    world.make_model("unseen")
    answer = world.genai.run("why", "unseen", "-o", "json").json()
    assert (answer["reason"], answer["healthy"]) == ("NotSeen", False)


def test_why_reads_conditions_pods_and_events(world: KubectlWorld) -> None:
    world.make_model("waiting")
    world.make_pod("waiting-1", "waiting")
    world.status("pod", "waiting-1", {"conditions": []})
    ready = {"type": "Ready", "status": "False", "reason": "Pending", "message": "0 of 1 pods are ready"}
    world.status("gaim", "waiting", {"observedGeneration": 1, "conditions": [{**ready, "lastTransitionTime": TIME}]})
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e1", "namespace": NAMESPACE},
        "involvedObject": {"kind": "Pod", "name": "waiting-1", "namespace": NAMESPACE},
        "type": "Warning",
        "reason": "FailedMount",
        "message": 'secret "tls" not found',
        "lastTimestamp": TIME,
    }
    world.create(event)
    ended = world.genai.run("why", "waiting")
    sentence, remedy = ended.out.splitlines()
    assert sentence.endswith('the cluster says FailedMount: secret "tls" not found.')
    assert remedy.startswith("What helps: ")
    assert "event FailedMount of Pod waiting-1" in world.genai.run("why", "waiting", "-o", "wide").out


@pytest.mark.parametrize(
    "arguments",
    [("halt", "none"), ("why", "none"), ("chat", "none", "hi"), ("top", "none"), ("profile", "fetch", "none")],
)
def test_what_is_not_there_is_exit_code_3(world: KubectlWorld, arguments: tuple[str, ...]) -> None:
    ended = world.genai.run(*arguments)
    assert (ended.code, ended.out) == (3, "")
    assert '"none" not found' in ended.err
    assert ended.err.count("\n") == 1


def test_an_api_server_that_is_not_there_is_one_sentence(world: KubectlWorld, tmp_path: Path) -> None:
    config = json.loads(world.plane.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(json.dumps(config))
    ended = replace(world.genai, kubeconfig=tmp_path / "config").run("why", "hello")
    assert ended.code == 1
    assert "the API server cannot be reached" in ended.err
    assert ended.err.count("\n") == 1


def test_a_context_that_is_not_there_names_those_that_are(world: KubectlWorld) -> None:
    ended = world.genai.run("why", "hello", "--context", "none")
    assert ended.code == 1
    assert "it has test" in ended.err


# --- rights -----------------------------------------------------------------------------------------------------------


def rights(world: KubectlWorld, role: str) -> dict[str, set[str]]:
    """resource -> verbs of the account, by `kubectl auth can-i --list`, without what every account has."""
    account = f"--as=system:serviceaccount:{NAMESPACE}:{role}"
    found: dict[str, set[str]] = {}
    for line in world.kubectl("auth", "can-i", "--list", account).splitlines()[1:]:
        resource, verbs = line.split()[0], line[line.rindex("[") + 1 : line.rindex("]")].split()
        if not line.startswith(" ") and not resource.startswith("[") and "self" not in resource:
            found.setdefault(resource.removesuffix(f".{GROUP}"), set()).update(verbs)
    return found


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_what_its_commands_need_and_nothing_else(world: KubectlWorld, role: str) -> None:
    needed: dict[str, set[str]] = {}
    for resource, verbs, least in roles():
        if least in (VIEWER, role):
            needed.setdefault(resource, set()).update(verbs)
    assert rights(world, role) == needed


def refused(ended: Ended, role: str) -> None:
    assert (ended.code, ended.out) == (4, "")
    assert f"--clusterrole={role} --serviceaccount={NAMESPACE}:" in ended.err
    assert ended.err.splitlines()[-1].startswith("kubectl genai: could not ")


def test_who_lacks_a_right_is_told_the_role(world: KubectlWorld, model: str, tmp_path: Path) -> None:
    world.make_pod(f"{model}-1", model)
    viewer = as_role(world, VIEWER, tmp_path)
    profiler = as_role(world, PROFILER, tmp_path)
    refused(viewer.run("halt", model), USER)
    refused(viewer.run("chat", model, "hi"), USER)
    refused(profiler.run("logs-level", model, "debug"), USER)
    refused(viewer.run("profile", "start", model), PROFILER)
    assert world.annotation(model, "terminate-session") is None
    assert viewer.run("why", model).code == 0
    assert viewer.run("profile", "list").code == 0
    assert profiler.run("profile", "start", model, "--name", f"{model}-p", "--no-wait").code == 0
    world.status("gap", f"{model}-p", {**COMPLETE, "pods": [{**POD_WINDOW, "name": f"{model}-1"}]})
    refused(viewer.run("profile", "fetch", f"{model}-p", folder=tmp_path), PROFILER)
    assert not list(tmp_path.glob("*.gz"))


# --- tuning -----------------------------------------------------------------------------------------------------------


def test_tune_has_it_measured_shows_it_and_puts_it_into_the_spec(world: KubectlWorld, model: str) -> None:
    def spec() -> dict[str, Any]:
        return dict(json.loads(world.kubectl("get", "gaim", model, "-o", "json"))["spec"])

    tuning = world.genai.start("tune", model, "--clients", "8", "--max-time", "1m", "--apply")
    wait_until("it asks", lambda: "tuning" in spec(), 60)
    asked = spec()["tuning"]
    assert (asked["load"]["clients"], asked["maxSeconds"], asked["apply"]) == (8, 60, "Never")
    found = {
        "state": "Complete",
        "message": "+20.0 % tokens per second",
        "revision": "r",
        "request": asked["request"],
        "settings": {"intraOpThreads": 1, "spinning": "disabled"},
        "tokensPerSecond": 120.0,
        "baselineTokensPerSecond": 100.0,
        "gainPercent": 20.0,
        "load": asked["load"],
        "notMeasured": ["prefillChunk"],
        "at": TIME,
    }
    generation = json.loads(world.kubectl("get", "gaim", model, "-o", "json"))["metadata"]["generation"]
    world.status("gaim", model, {"observedGeneration": generation, "recommended": {**found, "request": "older"}})
    assert tuning.poll() is None  # the answer is to another question
    world.status("gaim", model, {"observedGeneration": generation, "recommended": found})
    done = end(tuning)
    assert done.code == 0, done.err
    assert "tokens/s          100.0     120.0         +20.0 %" in done.out
    assert "threads.spinning   auto      disabled" in done.out
    assert "prefillChunk" in done.out
    assert (spec()["threads"]["intraOp"], spec()["threads"]["spinning"]) == (1, "disabled")
    assert spec()["tuning"] == asked
    world.status("gaim", model, {"observedGeneration": generation + 1})
    told = world.genai.run("tune", model, "-o", "json")  # what was measured holds for the spec that has it
    assert told.json()["settings"] == found["settings"]
    assert spec()["tuning"] == asked


def test_tune_writes_another_build_into_the_spec_as_the_api_server_takes_it(world: KubectlWorld, model: str) -> None:
    def body() -> dict[str, Any]:
        return dict(json.loads(world.kubectl("get", "gaim", model, "-o", "json")))

    source = {"uri": "hf://org/model", "cache": {"claimName": "cache"}, "build": {"int4BlockSize": 32}}
    spec = {"model": source, "precision": "int4", "tuning": {"sweep": {"precision": ["int4", "int8"]}}}
    world.kubectl("patch", "gaim", model, "--type=merge", f"--patch={json.dumps({'spec': spec})}")
    four_bits = {"precision": "int4", "int4BlockSize": 32, "int4AccuracyLevel": 4}
    figures = {"sizeBytes": 2**20, "perplexity": 10.5, "increasePercent": 5.0, "tokensPerSecond": 100.0}
    lossless = {"precision": "int8", "sizeBytes": 2**21, "perplexity": 10.01, "increasePercent": 0.1}
    refused = {"precision": "fp32", "refused": "what it lost is not known"}
    found = {
        "state": "Complete",
        "message": "faster",
        "revision": "r",
        "settings": {"precision": "int8"},
        "at": TIME,
        "tokensPerSecond": 120.0,
        "baselineTokensPerSecond": 100.0,
        "gainPercent": 20.0,
        "variants": [{**four_bits, **figures}, {**lossless, "tokensPerSecond": 120.0, "gainPercent": 20.0}, refused],
    }
    world.status("gaim", model, {"observedGeneration": body()["metadata"]["generation"], "recommended": found})
    done = world.genai.run("tune", model, "--apply")
    assert done.code == 0, done.err
    assert "int4, blocks of 32, level 4   100.0" in done.out
    assert "+0.10 %" in done.out
    assert "what it lost is not known" in done.out
    assert "once it is built" in done.err
    assert body()["spec"]["precision"] == "int8"
    assert body()["spec"]["model"] == {**source, "build": {}}  # blocks are refused beside another precision


def test_a_measurement_that_failed_is_told(world: KubectlWorld, model: str) -> None:
    tuning = world.genai.start("tune", model)

    def body() -> dict[str, Any]:
        return dict(json.loads(world.kubectl("get", "gaim", model, "-o", "json")))

    wait_until("it asks", lambda: "tuning" in body()["spec"], 60)
    failed = {"state": "Failed", "message": "too long", "revision": "r", "request": body()["spec"]["tuning"]["request"]}
    world.status("gaim", model, {"observedGeneration": body()["metadata"]["generation"], "recommended": failed})
    done = end(tuning)
    assert (done.code, "could not be measured: too long" in done.err) == (1, True)
