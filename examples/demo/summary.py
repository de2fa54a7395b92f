"""What the demo measured and whether it holds: `build/demo/summary.json`. Measures nothing itself."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
READY_SECONDS = 15.0
TERMINATE_MS = 200.0
RESUME_MS = 1000.0
OPERATOR_RSS_MIB = 256.0  # the memory limit in the chart; what 1,000 models need is for make bench-control to say
ANSWER = "The capital of France is Paris."


@dataclass(slots=True)
class TraceSummary:
    """The merged trace of the profile window."""

    file: str = ""
    runs: int = 0
    events: int = 0
    top_ops: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Summary:
    """The keys of the file, in its order. A step that did not happen leaves its default, which does not hold."""

    ready_s: float = -1.0
    first_token_s: float = -1.0
    answer: str = ""
    tokens: int = 0
    http_answer: str = ""
    trace: TraceSummary = field(default_factory=TraceSummary)
    terminate_ms: float = -1.0
    resume_ms: float = -1.0
    pod_restarts: int = -1
    operator_rss_mib: float = -1.0
    ok: bool = False

    def checks(self) -> dict[str, bool]:
        """Every key but `ok`, and whether its value is what was promised."""
        trace = self.trace
        return {
            "ready_s": 0 <= self.ready_s <= READY_SECONDS,
            "first_token_s": self.first_token_s > 0,
            "answer": self.answer.strip() == ANSWER,
            "tokens": self.tokens > 0,
            "http_answer": self.http_answer == ANSWER,
            "trace": trace.runs > 0 and trace.events > 0 and bool(trace.top_ops) and (ROOT / trace.file).is_file(),
            "terminate_ms": 0 <= self.terminate_ms <= TERMINATE_MS,
            "resume_ms": 0 <= self.resume_ms <= RESUME_MS,
            "pod_restarts": self.pod_restarts == 0,
            "operator_rss_mib": 0 < self.operator_rss_mib <= OPERATOR_RSS_MIB,
        }

    def values(self) -> dict[str, str]:
        """The same keys, as a person reads them."""
        trace = f"{self.trace.runs} runs, {self.trace.events} events, {self.trace.file}"
        return {
            "ready_s": f"{self.ready_s:.1f} (at most {READY_SECONDS:g})",
            "first_token_s": f"{self.first_token_s:.3f}",
            "answer": self.answer,
            "tokens": str(self.tokens),
            "http_answer": self.http_answer,
            "trace": trace,
            "terminate_ms": f"{self.terminate_ms:.0f} (at most {TERMINATE_MS:g})",
            "resume_ms": f"{self.resume_ms:.0f} (at most {RESUME_MS:g})",
            "pod_restarts": str(self.pod_restarts),
            "operator_rss_mib": f"{self.operator_rss_mib:.0f} (at most {OPERATOR_RSS_MIB:g})",
        }

    def write(self, path: Path) -> None:
        """Decides `ok` and writes the file."""
        self.ok = all(self.checks().values())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
