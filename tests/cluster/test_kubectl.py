"""kubectl genai on a live model: it halts, resumes, drains, cancels, tells, talks, measures and profiles."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from genai_traces.check import problems
from support.certificates import Authority
from support.client_pod import ClientPod
from support.kubectl_genai import KubectlGenai, end, one_file
from support.live_cluster import LiveCluster, wait_until
from support.model_resource import PORT, ModelAccess, genai_model

PARIS = "The capital of France is Paris."
QUESTION = "What is the capital of France?"
STORY = "Tell me an endless story."


@pytest.fixture
def genai(cluster: LiveCluster, shared_model: ModelAccess) -> Iterator[KubectlGenai]:
    """The program in the model's namespace; the model serves without options afterwards."""
    yield KubectlGenai(Path(cluster.environment()["KUBECONFIG"]), shared_model.namespace)
    for key in ("terminate-session", "drain", "cancel", "log-level"):
        shared_model.annotate(key, None)
    shared_model.wait_applied()


def test_halt_and_resume(genai: KubectlGenai, shared_model: ModelAccess, client: ClientPod) -> None:
    said = genai.run("halt", "hello", "-o", "json").json()
    assert [pod["state"] for pod in said["pods"]] == ["Applied"]
    assert client.ask(shared_model.address)[1] == "UNAVAILABLE"
    shared_model.wait_condition("Ready", "False", "Halted", 20)
    told = genai.run("why", "hello", "-o", "json").json()
    assert told["reason"] == "Halted"
    assert f"genai resume -n {shared_model.namespace} hello" in told["remedy"]
    assert genai.run("resume", "hello").out == "hello serves on 1 pod\n"
    assert client.ask(shared_model.address) == (PARIS, "OK")


def test_why_says_that_nothing_is_wrong(genai: KubectlGenai, shared_model: ModelAccess) -> None:
    shared_model.wait_ready()
    ended = genai.run("why", "hello")
    assert ended.out == "hello serves and nothing is wrong: 1 of 1 pods serve.\n"


def test_why_names_a_model_that_is_not_there(
    genai: KubectlGenai, shared_model: ModelAccess, cluster: LiveCluster
) -> None:
    cluster.create(genai_model("lost", shared_model.namespace, model={"uri": "builtin://nothing"}))
    lost = ModelAccess(cluster, "lost", shared_model.namespace)
    lost.wait_condition("Ready", "False", "ModelNotFound")
    said = genai.run("why", "lost").out
    assert said.startswith("lost does not start because there is no model where spec.model.uri points")
    cluster.delete("GenAIModel", "lost", shared_model.namespace)


def test_drain_refuses_and_resume_serves(genai: KubectlGenai, shared_model: ModelAccess, client: ClientPod) -> None:
    (pod,) = shared_model.pods()
    assert genai.run("drain", "hello", "--deadline", "30s").code == 0
    # By its own address: the Service sends nobody there any more.
    assert client.ask(f"{pod['status']['podIP']}:{PORT}")[1] == "UNAVAILABLE"
    assert genai.run("resume", "hello").code == 0
    shared_model.wait_ready()
    assert client.ask(shared_model.address) == (PARIS, "OK")


def test_cancel_ends_the_request_that_it_names_and_no_other(
    genai: KubectlGenai, shared_model: ModelAccess, client: ClientPod
) -> None:
    story = client.start("ask", shared_model.address, text=STORY, max_tokens=4000, shown=1)
    story.wait_for("chunk")
    said = genai.run("cancel", "hello", "--tokens-over", "1", "-o", "json").json()
    assert said["ended"] == 1
    assert [line["reason"] for line in story.finish() if line["event"] == "finish"] == ["CANCELLED"]
    assert client.ask(shared_model.address) == (PARIS, "OK")


def test_the_log_level_reaches_the_pod(genai: KubectlGenai, shared_model: ModelAccess) -> None:
    assert genai.run("logs-level", "hello", "debug").out == "hello logs at debug on 1 pod\n"
    (pod,) = shared_model.pods()
    options = json.loads(shared_model.ctl(pod["metadata"]["name"], "options", "--output", "json"))
    assert options["options"]["logLevel"] == "debug"
    assert genai.run("logs-level", "hello", "default").code == 0


def test_top_shows_what_the_pods_do(genai: KubectlGenai, shared_model: ModelAccess, client: ClientPod) -> None:
    stories = client.start("ask", shared_model.address, text=STORY, max_tokens=4000, parallel=2, shown=1)
    stories.wait_for("chunk")
    (load,) = genai.run("top", "hello", "--once", "-o", "json").json()
    genai.run("cancel", "hello", "--tokens-over", "1")
    stories.finish()
    assert (load["model"], load["running"], load["state"]) == ("hello", 2, "SERVING")
    assert load["tokensPerSecond"] > 0
    header, line = genai.run("top", "--once").out.splitlines()
    assert header.split() == ["MODEL", "POD", "STATE", "TOK/S", "RUNNING", "WAITING", "BATCH", "KV", "WINDOW"]
    assert line.split()[0] == "hello"


def test_chat_answers(genai: KubectlGenai) -> None:
    assert genai.run("chat", "hello", QUESTION).out == f"{PARIS}\n"
    said = genai.run("chat", "hello", QUESTION, "--max-tokens", "2", "-o", "json").json()
    assert (said["completionTokens"], said["finishReason"]) == (2, "length")


def test_bench_counts_every_token(genai: KubectlGenai) -> None:
    measured = genai.run("bench", "hello", "--streams", "3", "-d", "2s", "--max-tokens", "16", "-o", "json").json()
    assert measured["failed"] == 0
    assert measured["requests"] >= 3
    assert 0 < measured["tokens"] <= 16 * measured["requests"]
    assert measured["ttftP50Ms"] <= measured["ttftP99Ms"]


def test_chat_with_a_key_and_a_certificate(
    cluster: LiveCluster, new_namespace: Callable[[], str], tmp_path: Path
) -> None:
    namespace = new_namespace()
    authority = make_secrets(cluster, namespace, tmp_path)
    server = {"tls": {"secretName": "certificate"}, "apiKeys": {"secretName": "keys"}}
    cluster.create(genai_model("hello", namespace, server=server))
    ModelAccess(cluster, "hello", namespace).wait_ready()
    genai = KubectlGenai(Path(cluster.environment()["KUBECONFIG"]), namespace)
    (tmp_path / "key").write_text("a-key-of-some-length\n")
    with_key = ("--api-key-file", str(tmp_path / "key"))
    assert genai.run("chat", "hello", QUESTION, "--ca", str(authority), *with_key).out == f"{PARIS}\n"
    by_variable = genai.run("chat", "hello", QUESTION, "--ca", str(authority), GENAI_API_KEY="a-key-of-some-length")
    assert by_variable.out == f"{PARIS}\n"
    keyless = genai.run("chat", "hello", QUESTION, "--ca", str(authority))
    assert (keyless.code, keyless.out) == (1, "")
    assert "--api-key-file" in keyless.err
    unknown = genai.run("chat", "hello", QUESTION, *with_key)
    assert unknown.code == 1
    assert "--ca" in unknown.err


def test_a_profile_from_start_to_report(
    genai: KubectlGenai, shared_model: ModelAccess, client: ClientPod, tmp_path: Path
) -> None:
    starting = genai.start("profile", "start", "hello", "--name", "slow", "--max-runs", "30", "-o", "json")
    answers(client, shared_model, "slow")
    profile = end(starting).json()
    assert (profile["status"]["phase"], profile["status"]["capturedRuns"]) == ("Complete", 30)
    fetched = genai.run("profile", "fetch", "slow", "-o", "json", folder=tmp_path).json()
    trace = tmp_path / fetched["file"]
    assert problems(trace) == []
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    again = genai.run("profile", "fetch", "slow", folder=tmp_path)
    assert again.code == 1
    opened = genai.run("profile", "open", str(trace), "--no-browser", "--directory", str(tmp_path))
    assert opened.code == 0
    assert "<html" in (tmp_path / "slow.html").read_text()[:500].lower()
    operators = genai.run("profile", "top", "slow", "-o", "json").json()["operators"]
    assert sum(each["sharePercent"] for each in operators) == pytest.approx(100, abs=30)
    same = genai.run("profile", "diff", str(trace), "slow", "--fail-over", "0", "-o", "json").json()
    assert (same["regressions"], same["percent"]) == ([], 0)


def test_stop_keeps_what_was_captured(genai: KubectlGenai, shared_model: ModelAccess, client: ClientPod) -> None:
    starting = genai.start("profile", "start", "hello", "--name", "stopped", "--max-seconds", "600", "-o", "json")
    answers(client, shared_model, "stopped")
    assert genai.run("profile", "stop", "stopped").code == 0
    assert end(starting).json()["status"]["capturedRuns"] > 0
    assert "stopped" in genai.run("profile", "list").out


def test_the_one_file_talks_and_fetches_as_the_package_does(
    genai: KubectlGenai, tmp_path: Path, shared_model: ModelAccess, client: ClientPod
) -> None:
    """It carries older releases of two libraries: exec and port-forward have to work with them too."""
    alone = replace(genai, program=one_file(tmp_path))
    assert alone.run("chat", "hello", QUESTION).out == f"{PARIS}\n"
    assert alone.run("bench", "hello", "-d", "1s", "--max-tokens", "4", "-o", "json").json()["failed"] == 0
    assert alone.run("top", "hello", "-o", "json").json()[0]["state"] == "SERVING"
    starting = alone.start("profile", "start", "hello", "--name", "alone", "--max-runs", "5", "-o", "json")
    answers(client, shared_model, "alone")
    assert end(starting).json()["status"]["phase"] == "Complete"
    fetched = alone.run("profile", "fetch", "alone", "-o", "json", folder=tmp_path).json()
    assert problems(tmp_path / fetched["file"]) == []
    assert alone.run("profile", "open", "alone.trace.json.gz", "--no-browser", folder=tmp_path).out == "alone.html\n"


def answers(client: ClientPod, model: ModelAccess, profile: str) -> None:
    """A request while the profile's window is open, which captures some of it."""

    def is_open() -> bool:
        found = model.cluster.get("GenAIProfile", profile, model.namespace) or {}
        pods = found.get("status", {}).get("pods", [])
        return bool(pods) and all(pod["state"] == "Open" for pod in pods)

    wait_until(f"the window of {profile} is open", is_open, 180)
    client.ask(model.address, text=STORY, max_tokens=60)


def make_secrets(cluster: LiveCluster, namespace: str, folder: Path) -> Path:
    """A certificate for the model's own name and a key; returns the authority."""
    authority = Authority()
    certificate = authority.issue(f"hello.{namespace}.svc")
    for name, data in (("tls.crt", certificate.certificate), ("tls.key", certificate.key)):
        (folder / name).write_bytes(data)
    cluster.kubectl(
        *("create", "secret", "tls", "certificate", "-n", namespace),
        *(f"--cert={folder / 'tls.crt'}", f"--key={folder / 'tls.key'}"),
    )
    literal = "--from-literal=team-a=a-key-of-some-length"
    cluster.kubectl("create", "secret", "generic", "keys", "-n", namespace, literal)
    (folder / "ca.crt").write_bytes(authority.certificate)
    return folder / "ca.crt"
