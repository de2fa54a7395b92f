"""`make demo`: the main job on a running cluster, told as it happens; ends with build/demo/summary.json.

The order of the story and what each chapter measures. What makes the cluster and the images is the Makefile's business.
"""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from commentary import Commentary
from kubernetes.client.exceptions import ApiException
from summary import Summary, TraceSummary

from support.client_pod import ClientPod, RunningClient
from support.live_cluster import LiveCluster, wait_until
from support.model_resource import ModelAccess
from support.release import CHART, NAMESPACE, RELEASE, operator_rss_mib, restart

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "build" / "demo"
HELLO = ROOT / "examples" / "hello.yaml"
DEMO_NAMESPACE = "genai-demo"
QUESTION = "What is the capital of France?"
STORY = "Tell me an endless story."
STORY_TOKENS = 4000  # nearly the whole context of the demo model
STORY_SHOWN = 40  # tokens
LOAD_SECONDS = 6
PREFILL_TOKENS = 1000


class Demo:
    """The chapters share a cluster, a model, a client and the summary they fill."""

    def __init__(self, cluster: LiveCluster) -> None:
        self.cluster = cluster
        self.tell = Commentary()
        self.summary = Summary()
        self.model = ModelAccess(cluster, "hello", DEMO_NAMESPACE)
        self.client = ClientPod(cluster, DEMO_NAMESPACE)

    def kubectl(self, *arguments: str) -> str:
        """Runs kubectl and shows the command."""
        self.tell.command(["kubectl", *arguments])
        return self.cluster.kubectl(*arguments)

    def install(self) -> None:
        """The chart."""
        self.tell.step("Install the operator with Helm")
        arguments = ["upgrade", "--install", RELEASE, str(CHART.relative_to(ROOT))]
        arguments += ["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", "3m"]
        self.tell.command(["helm", *arguments])
        arguments[3] = str(CHART)
        self.cluster.helm(*arguments)
        # The images keep their names from build to build; a new one has to be started.
        self.tell.command(["kubectl", "rollout", "restart", f"deployment/{RELEASE}", "-n", NAMESPACE])
        self.tell.result(f"{restart(self.cluster)} is at work")

    def start_afresh(self) -> None:
        """Removes what an earlier run left, so that every run measures the same."""
        self.cluster.make_namespace(DEMO_NAMESPACE)
        self.cluster.delete("GenAIModel", "hello", DEMO_NAMESPACE)
        self.cluster.delete("Pod", "client", DEMO_NAMESPACE, grace_seconds=0)
        wait_until("the last run's pods gone", lambda: not self.cluster.find("Pod", DEMO_NAMESPACE), 60)
        self.client.make()

    def serve(self) -> None:
        """kubectl apply, until Ready."""
        self.tell.step("One resource becomes an endpoint")
        self.start_afresh()
        start = time.monotonic()
        self.tell.command(["kubectl", "apply", "-n", DEMO_NAMESPACE, "-f", str(HELLO.relative_to(ROOT))])
        self.cluster.kubectl("apply", "-n", DEMO_NAMESPACE, "-f", str(HELLO))
        self.model.wait_ready()
        self.summary.ready_s = round(time.monotonic() - start, 2)
        for line in self.kubectl("get", "genaimodels", "-n", DEMO_NAMESPACE).splitlines():
            self.tell.result(line)
        self.tell.say(f"Ready after {self.summary.ready_s:.1f} s.")

    def answer(self) -> None:
        """A streamed answer to a client in a pod."""
        self.tell.step("A gRPC client in a pod streams an answer")
        self.tell.say(f"client: {QUESTION}")
        running = self.client.start("ask", self.model.address, text=QUESTION)
        self._tell_stream(running)
        lines = running.finish()
        chunks = [line for line in lines if line["event"] == "chunk"]
        sent = next(line["at"] for line in lines if line["event"] == "sent")
        if chunks:
            self.summary.first_token_s = round(chunks[0]["at"] - sent, 4)
        self.summary.answer = "".join(line["text"] for line in chunks).strip()
        self.summary.tokens = sum(line["tokens"] for line in chunks)
        self.tell.say(f"First token after {self.summary.first_token_s * 1000:.0f} ms, {self.summary.tokens} tokens.")

    def answer_http(self) -> None:
        """The same question in OpenAI's HTTP."""
        self.tell.step("The same question over OpenAI's HTTP")
        effective, url = self.model.status()["effective"], self.model.status()["endpoints"]["http"]
        self.tell.say(f"POST {url}/v1/chat/completions")
        text, code = self.client.ask_http(url, "hello", text=QUESTION)
        self.summary.http_answer = text.strip()
        self.tell.result(f"{code}: {self.summary.http_answer}")
        self.tell.say(
            f"Both are served by the engine {effective['engine']}, {effective['maxBatchSize']} requests at a time: "
            f"{effective['engineReason']}."
        )

    def profile(self) -> None:
        """A window on the live pod under load, and its merged trace."""
        self.tell.step("A profiling window on the live pod, by annotation, under load")
        load = self.client.start("load", self.model.address, seconds=LOAD_SECONDS, parallel=2)
        load.wait_for("sent")
        self._annotate("enable-profiling", "demo")
        self.tell.result(f"{self.model.wait_applied()['applied']} pods acknowledged; the engine was not restarted")
        load.finish()
        self._annotate("enable-profiling", "0")
        pod = self.model.ready_pods()[0]["metadata"]["name"]
        profile = self.model.wait_profile(pod, "demo")
        if profile["state"] != "COMPLETE":
            raise AssertionError(f"the profile failed: {profile['message']}")
        file = OUTPUT / f"{profile['id']}.json.gz"
        fetch = ["exec", "-n", DEMO_NAMESPACE, pod, "--", "genai-runtime", "ctl", "profile", "fetch", profile["id"]]
        self.tell.command(["kubectl", *fetch, ">", str(file.relative_to(ROOT))])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.model.fetch_profile(pod, profile["id"]))
        self.summary.trace = read_trace(file, profile)
        trace = self.summary.trace
        self.tell.result(f"{trace.runs} runs of the model, {trace.events} events, in {file.relative_to(ROOT)}")
        rows = [(op["opType"], op["provider"], f"{op['share']:.1%}") for op in profile["topOperators"][:5]]
        self.tell.table("Where the time went", ("operator", "provider", "share"), rows)
        self.tell.say(
            "Open the file in https://ui.perfetto.dev: one process a pod, one thread a request, ops under runs."
        )

    def terminate(self) -> None:
        """A long generation, then a prefill, ended by an annotation; and served again."""
        self.tell.step("End what is running, at once, without losing the model")
        self.tell.say(f"client: {STORY}")
        story = self.client.start("ask", self.model.address, text=STORY, max_tokens=STORY_TOKENS, shown=STORY_SHOWN)
        self._tell_stream(story, until_tokens=STORY_SHOWN)
        long_ms = self._terminated(story)
        self.tell.result(f"long generation: ended {long_ms:.0f} ms after the patch")
        self.summary.resume_ms = round(self._resumed(), 1)
        self.tell.result(f"served again {self.summary.resume_ms:.0f} ms after the patch, with the same process")

        self.tell.say(f"The same while prompts of {PREFILL_TOKENS} tokens are being read:")
        prompts = self.client.start("prefill", self.model.address, tokens=PREFILL_TOKENS, parallel=2)
        for _ in range(3):
            prompts.wait_for("status")
        prefill_ms = self._terminated(prompts, in_prefill=True)
        self.tell.result(f"in the prefill: ended {prefill_ms:.0f} ms after the patch")
        self._resumed()
        self.summary.terminate_ms = round(max(long_ms, prefill_ms), 1)

    def look_back(self) -> None:
        """What it cost."""
        statuses = [each for pod in self.model.pods() for each in pod["status"].get("containerStatuses", [])]
        self.summary.pod_restarts = sum(each["restartCount"] for each in statuses)
        self.summary.operator_rss_mib = round(operator_rss_mib(self.cluster), 1)

    def _annotate(self, key: str, value: str) -> float:
        """Patches the annotation and returns the wall clock just before; the command is what a person would type."""
        annotation = f"genai-operator.io/{key}={value}"
        self.tell.command(["kubectl", "annotate", "genaimodel", "hello", annotation, "--overwrite"])
        at = time.time()
        self.model.annotate(key, value)
        return at

    def _terminated(self, running: RunningClient, *, in_prefill: bool = False) -> float:
        """Milliseconds from the patch to the client's last message."""
        patched = self._annotate("terminate-session", "1")
        lines = running.finish()
        ended = {line["id"]: line for line in lines if line["event"] == "finish" and line["reason"] == "TERMINATED"}
        codes = {line["id"]: line for line in lines if line["event"] == "status"}
        if not ended or any(codes[each]["code"] != "ABORTED" for each in ended):
            raise AssertionError(f"expected a last message TERMINATED and status ABORTED, got {lines[-3:]}")
        if in_prefill and all(line["completion_tokens"] for line in ended.values()):
            raise AssertionError(f"expected one to be ended before its first token, got {list(ended.values())}")
        one = next(iter(ended))
        self.tell.say(f"last message: {ended[one]['reason']}; status {codes[one]['code']}: {codes[one]['details']}")
        return float((max(line["at"] for line in lines) - patched) * 1000)

    def _resumed(self) -> float:
        """Milliseconds from the patch to the first token of a request that was refused until then."""
        waiting = self.client.start("until-served", self.model.address, text=QUESTION)
        waiting.wait_for("refused")
        patched = self._annotate("terminate-session", "0")
        return float((waiting.wait_for("chunk")["at"] - patched) * 1000)

    def _tell_stream(self, running: RunningClient, until_tokens: int | None = None) -> None:
        tokens = 0
        self.tell.begin_stream()
        for line in running:
            if line["event"] == "chunk":
                self.tell.stream(line["text"])
                tokens += line["tokens"]
            if line["event"] == "status" or (until_tokens and tokens >= until_tokens):
                break
        self.tell.end_stream()


def read_trace(file: Path, profile: dict[str, Any]) -> TraceSummary:
    """What the fetched file really holds; the pod's own summary is believed only for the number of runs and shares."""
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    top_ops = [each["opType"] for each in profile["topOperators"][:5]]
    return TraceSummary(str(file.relative_to(ROOT)), int(profile["runs"]), len(events), top_ops)


def main() -> int:
    """Tells the story; the exit status says whether everything held."""
    start = time.monotonic()
    demo = Demo(LiveCluster.connect())
    try:
        chapters = (
            demo.install,
            demo.serve,
            demo.answer,
            demo.answer_http,
            demo.profile,
            demo.terminate,
            demo.look_back,
        )
        for chapter in chapters:
            chapter()
    except (AssertionError, ApiException, subprocess.SubprocessError, OSError) as error:
        demo.tell.problem(str(error))
    demo.summary.write(OUTPUT / "summary.json")
    demo.tell.checks(demo.summary.values(), demo.summary.checks())
    demo.tell.say(f"{time.monotonic() - start:.0f} s; {(OUTPUT / 'summary.json').relative_to(ROOT)}")
    return 0 if demo.summary.ok else 1


if __name__ == "__main__":
    sys.exit(main())
