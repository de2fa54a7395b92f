"""`genai-runtime` as people and pods run it: real processes, the hello model, signals and exit codes."""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest

from genai_protocol.v1 import inference_pb2, inference_pb2_grpc

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "examples" / "hello-model" / "model"
COMMAND = [sys.executable, "-c", "from genai_runtime.cli import main; main()"]


def environment(tmp_path: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}
    own = {"GENAI_RUN_DIR": str(tmp_path / "run"), "GENAI_PROFILE_DIR": str(tmp_path / "profiles")}
    return {**kept, **own, "GENAI_GRPC_PORT": "0", "GENAI_HTTP_PORT": "0", "GENAI_METRICS_PORT": "0", **changes}


@dataclass
class Served:
    """A running `genai-runtime serve`."""

    process: subprocess.Popen[str]
    tmp_path: Path
    listening: dict[str, Any]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=environment(self.tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def events(self, *arguments: str) -> list[dict[str, Any]]:
        done = self.command(*arguments, "--target", self.listening["grpc"], "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_for(self, **fields: Any) -> dict[str, Any]:
        return wait_for(self.process, **fields)


def wait_for(process: "subprocess.Popen[str]", **fields: Any) -> dict[str, Any]:
    """Read log lines up to the first that has these fields."""
    assert process.stderr is not None
    for text in process.stderr:
        line: dict[str, Any] = json.loads(text)
        if fields.items() <= line.items():
            return line
    pytest.fail(f"the server ended with {process.wait()} before it said {fields}")


@contextmanager
def serving(tmp_path: Path, **changes: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [*COMMAND, "serve", str(MODEL)],
        env=environment(tmp_path, GENAI_MODEL_NAME="hello", **changes),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        listening = wait_for(process, message="listening")
        wait_for(process, message="state", state="serving")
        yield Served(process, tmp_path, listening)
    finally:
        process.kill()
        process.communicate()


def shown(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """What `ctl options` printed."""
    assert done.returncode == 0, done.stderr
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())


@pytest.mark.model
def test_requests_are_listed_and_ended_by_live_options(tmp_path: Path) -> None:
    """The level of the start comes as a pod's does; that of the engine process shows in its own lines."""
    with serving(tmp_path, GENAI_SETTINGS='{"log_level": "debug"}') as served:
        asked = ["generate", "--target", served.listening["grpc"], "--json", "--max-tokens", "5000"]
        command = [*COMMAND, *asked, "--request-id", "r", "-o", "ignore_eos=true", "Once"]
        with subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            client.stdout.readline()
            client.stdout.readline()  # a token has come
            (line,) = json.loads(served.command("ctl", "requests", "-o", "json").stdout)
            assert (line["requestId"], line["stage"], line["client"]) == ("r", "decode", "127.0.0.1")
            rule = "request-id=r,tokens-over=2"
            assert shown(served.command("ctl", "options", "--cancel", rule))["cancel"].startswith(rule)
            finish = json.loads(client.communicate(timeout=30)[0].splitlines()[-1])["finish"]
        assert (finish["reason"], finish["completion_tokens"] > 2) == ("CANCELLED", True)
        assert finish["message"] == f"ended by the runtime option cancel: {rule}"
        assert served.wait_for(message="request ended", request="r")["level"] == "debug"
        options = shown(served.command("ctl", "options", "--log-level", "info", "--arena-shrinkage", "1"))
        assert (options["cancel"], options["log-level"], options["requests"]) == (f"{rule} (1 ended)", "info", "0")
        assert served.events("chat", "hi", "--request-id", "unseen")[-1]["status"] == "OK"
        assert shown(served.command("ctl", "options", "--log-level", "0"))["log-level"] == "as started"
        assert served.events("chat", "hi", "--request-id", "seen")[-1]["status"] == "OK"
        assert served.wait_for(message="request ended")["request"] == "seen"


@pytest.mark.model
def test_the_hello_model_is_asked_profiled_halted_and_drained(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        target = served.listening["grpc"]
        answer = served.command("chat", "--target", target, "What is the capital of France?")
        assert (answer.returncode, answer.stdout) == (0, "The capital of France is Paris.\n")
        assert served.command("ctl", "options", "--enable-profiling", "slow").returncode == 0
        end = served.events("chat", "Tell me a short story.")[-1]
        assert (end["status"], end["finish"]["reason"]) == ("OK", "STOP")
        assert len(end["token_ids"]) == end["finish"]["completion_tokens"]
        assert served.command("ctl", "options", "--enable-profiling", "0").returncode == 0
        served.wait_for(message="profile ended", state="complete")
        profile = json.loads(served.command("ctl", "profile", "list", "-o", "json").stdout)[0]
        assert profile["runs"] == end["finish"]["completion_tokens"] + 2  # the prompt's, and the one that chose the end
        fetched = subprocess.run(
            [*COMMAND, "ctl", "profile", "fetch", profile["id"]],
            env=environment(tmp_path),
            capture_output=True,
            check=True,
        )
        assert json.loads(gzip.decompress(fetched.stdout))
        assert served.command("ctl", "options", "--terminate-session", "1").returncode == 0
        refused = served.command("chat", "--target", target, "hi")
        assert refused.returncode == 1
        assert "UNAVAILABLE" in refused.stderr
        assert served.command("ctl", "options", "--terminate-session", "0").returncode == 0
        status = json.loads(served.command("ctl", "status", "-o", "json").stdout)
        assert status["model"]["state"] == "SERVING_STATE_SERVING"
        assert status["model"]["warmupTokensPerSecond"] > 0
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=30) == 0


@pytest.mark.model
def test_a_window_is_started_and_stopped_by_hand(tmp_path: Path) -> None:
    with serving(tmp_path) as served:

        def profile(*arguments: str) -> Any:
            done = served.command("ctl", "profile", *arguments, "-o", "json")
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        chosen = ("--label", "mine", "--runs", "prefill,0-1", "--request-id", "r1", "--max-runs", "100")
        started = profile("start", *chosen)
        assert started["windowId"].startswith("ctl-")
        beside = served.command("ctl", "profile", "start")
        assert beside.returncode == 1
        assert f"FAILED_PRECONDITION: the profiling window {started['id']} is open" in beside.stderr
        for request_id in ("r1", "r2"):
            served.events("chat", "Tell me a short story.", "--request-id", request_id)
        assert profile("stop")["id"] == started["id"]
        served.wait_for(message="profile ended", state="complete")
        (done,) = profile("list")
        assert (done["windowId"], done["closeReason"], done["requests"]) == (started["windowId"], "disabled", 1)
        assert 3 <= done["runs"] < done["skippedRuns"]
        assert profile("start", *chosen, "--window-id", started["windowId"])["state"] == "PROFILE_STATE_COMPLETE"
        for arguments, says in (
            (["stop"], "no window is open"),
            (["stop", "other"], "NOT_FOUND"),
            (["start", "--runs", "prefill,9-1"], "'9-1', which ends before it begins"),
            (["start", "--client", "a b"], "spec.clients"),
            (["fetch", "../../etc/passwd"], "NOT_FOUND"),
        ):
            wrong = served.command("ctl", "profile", *arguments)
            assert (wrong.returncode, wrong.stdout) == (1, "")
            assert says in wrong.stderr
        assert served.command("ctl", "options", "--enable-profiling", "slow").returncode == 0
        not_ours = served.command("ctl", "profile", "stop")
        assert not_ours.returncode == 1
        assert "opened by an option" in not_ours.stderr
        table = served.command("ctl", "profile", "list").stdout.splitlines()
        assert table[0].split() == ["ID", "STATE", "RUNS", "SKIPPED", "EVENTS", "BYTES", "COST", "CLOSED"]
        assert [line.split("-")[0] for line in table[1:]] == ["slow", "mine"]


@pytest.mark.model
def test_the_cpu_serves_where_the_provider_is_missing_and_that_is_allowed(tmp_path: Path) -> None:
    options = '{"cuda": {"gpu_mem_limit": 1048576}}'
    changes = {"GENAI_PROVIDER_FALLBACK": "allow", "GENAI_PROVIDER_OPTIONS": options, "GENAI_PRECISION": "int4"}
    with serving(tmp_path, GENAI_DEVICE="cuda", **changes) as served:
        answer = served.command("chat", "--target", served.listening["grpc"], "What is the capital of France?")
        assert answer.stdout == "The capital of France is Paris.\n"
        with grpc.insecure_channel(served.listening["grpc"]) as channel:
            model = inference_pb2_grpc.GenAIServiceStub(channel).GetModel(inference_pb2.GetModelRequest())
    assert (model.provider, model.engine, model.precision) == ("cpu", "batch", "int4")
    assert model.provider_reason.startswith("cuda was asked for")


@pytest.mark.model
def test_a_killed_engine_comes_back(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
        for pid in children:
            os.kill(int(pid), signal.SIGKILL)
        served.wait_for(message="state", state="engine_down")
        served.wait_for(message="state", state="serving")
        assert served.events("chat", "What is the capital of France?")[-1]["text"] == "The capital of France is Paris."


@pytest.mark.model
def test_metrics_hold_no_text_of_users(tmp_path: Path) -> None:
    with serving(tmp_path, GENAI_METRICS_PORT="19471") as served:
        served.events("chat", "What is the capital of France?")
        with urlopen(served.listening["metrics"], timeout=20) as answer:
            text = answer.read().decode()
    assert 'genai_requests_total{method="chat",reason="stop"} 1.0' in text
    assert 'genai_state{state="serving"} 1.0' in text
    assert "France" not in text


@pytest.mark.parametrize(
    ("arguments", "changes", "says", "reason"),
    [
        (["serve"], {}, "GENAI_MODEL_DIR", "InvalidSpec"),
        (["serve", "/nonexistent"], {}, "/nonexistent does not exist", "ModelNotFound"),
        (["serve", "builtin://nothing"], {}, "no model 'nothing'", "ModelNotFound"),
        (["serve", "builtin://../x"], {}, "builtin://NAME", "InvalidSpec"),
        (["serve", str(MODEL)], {"GENAI_DEVICE": "tpu"}, "GENAI_DEVICE", "InvalidSpec"),
        (["serve", str(MODEL)], {"GENAI_DEVICE": "directml"}, "dml was asked for", "ExecutionProviderUnavailable"),
        (["serve", str(MODEL)], {"GENAI_DEVICE": "cuda"}, "cuda was asked for", "ExecutionProviderUnavailable"),
        (["serve", str(MODEL)], {"GENAI_PRECISION": "fp16"}, "its weights are int4", "InvalidSpec"),
        (
            ["serve", str(MODEL)],
            {"GENAI_CONTROL_PORT": "19472", "GENAI_CONTROL_TLS_DIR": "/x"},
            "tls.crt",
            "InvalidSpec",
        ),
    ],
)
def test_a_server_that_cannot_start_says_why_and_leaves_last_words(
    tmp_path: Path, arguments: list[str], changes: dict[str, str], says: str, reason: str
) -> None:
    words = tmp_path / "termination-log"
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(tmp_path, GENAI_TERMINATION_LOG=str(words), **changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    left = json.loads(words.read_text())
    assert left["reason"] == reason
    assert says in left["message"]


def test_check_tells_usable_from_unusable(tmp_path: Path) -> None:
    def check(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, "check", str(folder)],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    (tmp_path / "README.md").touch()
    usable, unusable = check(MODEL), check(tmp_path)
    assert (usable.returncode, unusable.returncode) == (0, 1)
    assert "FileMissing: genai_config.json" in unusable.stdout
