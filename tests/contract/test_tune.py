"""`genai-runtime tune` as people and Jobs run it: real engine processes, the hello model, one JSON object."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.engines import HELLO_MODEL

WEIGHTS = [path.name for path in HELLO_MODEL.iterdir() if path.name.startswith("model.onnx")]
COMMAND = [sys.executable, "-c", "from genai_runtime.cli import main; main()", "tune"]


def tune(tmp_path: Path, *arguments: str, **settings: object) -> tuple["subprocess.CompletedProcess[str]", str]:
    """What it printed, and what it left for Kubernetes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}
    left = tmp_path / "termination-log"
    own = {
        "GENAI_RUN_DIR": str(tmp_path / "run"),
        "GENAI_PROFILE_DIR": str(tmp_path / "profiles"),
        "GENAI_TERMINATION_LOG": str(left),
        "GENAI_SETTINGS": json.dumps(settings),
    }
    done = subprocess.run(
        [*COMMAND, *arguments], env={**kept, **own}, capture_output=True, text=True, timeout=300, check=False
    )
    return done, left.read_text() if left.exists() else ""


@pytest.mark.model
@pytest.mark.timeout(360)
def test_a_tiny_sweep_measures_what_it_was_told_to(tmp_path: Path) -> None:
    done, left = tune(
        tmp_path,
        *(str(HELLO_MODEL), "--clients", "1,3", "--prompt-tokens", "8", "--new-tokens", "4"),
        *("--seconds", "86400", "--slot", "0.05", "--spinning", "enabled"),
        *("--threads", "none", "--batch", "none", "--prefill-chunk", "none"),
        threads=1,
        spinning="disabled",
        max_concurrent_requests=2,
        prefill_chunk=32,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert json.loads(left) == found
    assert len(left.encode()) < 4096
    assert found["baseline"] == {
        "intraOpThreads": 1,
        "spinning": "disabled",
        "prefillChunk": 32,
        "maxBatchSize": 2,
    }
    assert found["settings"] in ({}, {"spinning": "enabled"})
    assert [each["clients"] for each in found["figures"]] == [1, 3]
    assert all(each["tokensPerSecond"] > 0 and each["timeToFirstTokenMs"] > 0 for each in found["figures"])
    assert (found["engine"], found["provider"], found["notMeasured"]) == ("batch", "cpu", [])
    assert found["measurements"] >= 1 + 4 + 3  # the first, two rounds of two, and the confirmation
    tried = [json.loads(line) for line in done.stderr.splitlines() if '"measured"' in line]
    assert {(each["threads"], each["spinning"], each["batch"]) for each in tried} == {(1, False, 2), (1, True, 2)}


def built(cache: Path, digest: str, perplexity: float) -> Path:
    """A copy of the hello model as a builder leaves it, with the record of what it lost."""
    folder = cache / "models" / digest
    shutil.copytree(HELLO_MODEL, folder)
    record = {"digest": digest, "quality": {"perplexity": perplexity, "referencePerplexity": 10.0}}
    (cache / "builds").mkdir(exist_ok=True)
    (cache / "builds" / f"{digest}.json").write_text(json.dumps(record))
    return folder


@pytest.mark.model
@pytest.mark.timeout(360)
def test_variants_are_measured_and_one_that_lost_too_much_is_refused(tmp_path: Path) -> None:
    fine, coarse = built(tmp_path, "a" * 64, 10.1), built(tmp_path, "b" * 64, 12.0)
    link = tmp_path / "fine"
    link.symlink_to(fine)
    done, left = tune(
        tmp_path,
        *(str(link), "--variant", f"int4-32-4={link}", "--variant", f"int4-128-4={coarse}"),
        *("--clients", "1", "--prompt-tokens", "8", "--new-tokens", "4", "--seconds", "86400", "--slot", "0.05"),
        *("--threads", "none", "--spinning", "none", "--batch", "none", "--prefill-chunk", "none"),
        threads=1,
        precision="int4",
    )
    assert done.returncode == 0, done.stderr
    found, short = json.loads(done.stdout), json.loads(left)
    assert found["settings"] == short["settings"] == {}  # however fast the other was
    assert [row[0] for row in short["variants"]["rows"]] == ["int4-32-4", "int4-128-4"]
    assert found["baseline"]["variant"] == "int4-32-4"
    mine, other = found["variants"]
    assert (mine["name"], mine["increasePercent"], mine.get("refused")) == ("int4-32-4", 1.0, None)
    assert (other["name"], other["increasePercent"]) == ("int4-128-4", 20.0)
    assert other["refused"] == "its perplexity is 20 % above fp32's; 5 % is permitted"
    for each in (mine, other):
        assert each["figures"][0]["tokensPerSecond"] > 0
        assert each["sizeBytes"] == sum((HELLO_MODEL / name).stat().st_size for name in WEIGHTS)
    tried = [json.loads(line) for line in done.stderr.splitlines() if '"measured"' in line]
    assert {each["variant"] for each in tried} == {"int4-32-4", "int4-128-4"}


@pytest.mark.model
@pytest.mark.parametrize(
    ("arguments", "reason", "words"),
    [
        (("--prompt-tokens", "1000000"), "InvalidSpec", "state a shorter load"),
        (("--threads", "two"), "InvalidSpec", "'two' is not a list of numbers"),
        (("--variant", "fine"), "InvalidSpec", "give NAME=DIR"),
        (("--variant", "../a=/x"), "InvalidSpec", "give NAME=DIR"),
        (("--variant", "a=/x", "--variant", "a=/y"), "InvalidSpec", "two of the name a"),
        (("--variant", "a=/nowhere"), "ModelNotFound", "/nowhere"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, arguments: tuple[str, ...], reason: str, words: str) -> None:
    done, left = tune(tmp_path, str(HELLO_MODEL), *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    told = json.loads(left)
    assert (told["reason"], words in told["message"]) == (reason, True)
