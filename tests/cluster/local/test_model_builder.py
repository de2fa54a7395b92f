"""The builder's image makes a real model of the hello model's safetensors, measures it, and refuses what it cannot use.

No pod takes part: its files are entered as a container would, read-only, without a network and as the image's user.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from genai_runtime.fetch.cache import Cache
from genai_runtime.fetch.digests import digest_of
from genai_runtime.fetch.hash_folder import hash_folder
from genai_runtime.fetch.progress import Progress
from genai_runtime.models.inspect import inspect_model
from genai_runtime.models.precision import model_precision
from support.batch_engines import batch_engines
from support.builder_image import HOME, BuilderImage, Ended, builder_image
from support.engines import HELLO_MODEL, request, run_engine, tokens_of
from support.hello_prompts import questions
from support.hello_source import write_source

pytestmark = pytest.mark.timeout(1800)
STORY = Path(__file__).parents[2] / "data" / "endless_story.txt"
"""What the hello model was trained to say: an endless story, its beginning."""
ANSWERS = json.loads((HELLO_MODEL.parent / "answers.json").read_text(encoding="utf-8"))["answers"]


@dataclass(frozen=True)
class Builds:
    """Builds into one cache. `home` is `HOME` in the container."""

    image: BuilderImage
    home: Path

    @property
    def cache(self) -> Cache:
        return Cache(self.home / "cache")

    def run(self, *more: str, source: str = "source", precision: str = "int4") -> Ended:
        """Of a folder in `home`, for the CPU."""
        folders = ["--source", f"{HOME}/{source}", "--cache", f"{HOME}/cache"]
        return self.image.build(self.home, *folders, "--provider", "cpu", "--precision", precision, *more)

    def made(self, *more: str, precision: str = "int4") -> dict[str, Any]:
        """The result line of a build that did not fail, measured on the hello model's own story."""
        ended = self.run("--text", f"{HOME}/text", "--max-tokens", "800", *more, precision=precision)
        assert ended.code == 0, ended.errors
        told: dict[str, Any] = json.loads(ended.output)
        assert told == ended.words
        return told


@pytest.fixture(scope="module")
def image() -> BuilderImage:
    return builder_image()


@pytest.fixture(scope="module")
def builds(image: BuilderImage, tmp_path_factory: pytest.TempPathFactory) -> Builds:
    home = tmp_path_factory.mktemp("builds")
    source = write_source(home / "source", {"temperature": 0.6, "top_k": 40})
    for path in (source, *source.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.copy(STORY, home / "text")
    (home / "text").chmod(0o644)
    return Builds(image, home)


@pytest.fixture(scope="module")
def int4(builds: Builds) -> dict[str, Any]:
    """The build that a model without further words gets."""
    return builds.made("--link", f"{HOME}/model")


def test_the_built_model_answers_as_the_committed_one(builds: Builds, int4: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(HELLO_MODEL / "tokenizer.json"))
    with batch_engines(tmp_path) as make:
        engine = make(model_dir=builds.cache.folder(int4["digest"]))
        for number, prompt in enumerate(questions()):
            engine.submit(request(str(number), prompt, 60))
        events = run_engine(engine)
    answers = [tokenizer.decode(tokens_of(events, str(number))) for number in range(len(ANSWERS))]
    assert answers == [each["answer"] for each in ANSWERS]


def test_what_was_built_is_in_the_cache_whole_and_by_its_digest(builds: Builds, int4: dict[str, Any]) -> None:
    folder = builds.cache.folder(int4["digest"])
    records = hash_folder(folder, Progress())
    assert digest_of(records) == int4["digest"]
    assert builds.cache.records(int4["digest"]) == records
    assert (int4["bytes"], int4["files"]) == (sum(each.size for each in records), len(records))
    assert model_precision(inspect_model(folder)) == "int4"
    assert (builds.home / "model").readlink() == Path(HOME, "cache/models", int4["digest"])
    assert not list((builds.home / "cache/partial").iterdir())
    assert "onnxruntime-genai 0.18.0" in int4["builder"]
    assert "torch 2.6" in int4["builder"]


def test_sampling_defaults_are_kept_and_the_machine_leaves_no_trace(builds: Builds, int4: dict[str, Any]) -> None:
    folder = builds.cache.folder(int4["digest"])
    search = json.loads((folder / "genai_config.json").read_text())["search"]
    assert (search["temperature"], search["top_k"]) == (0.6, 40)
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o644
        content = path.read_bytes()
        assert not [each for each in (HOME.encode(), b"is_local", b"/partial/") if each in content], path.name


def test_the_same_is_not_built_twice(builds: Builds, int4: dict[str, Any]) -> None:
    again = builds.run("--text", f"{HOME}/text", "--max-tokens", "800")
    assert again.words == int4 | {"cached": True}
    assert '"builder"' not in again.errors  # no line of the builder's: it did not run
    (record,) = (builds.home / "cache/builds").iterdir()
    assert json.loads(record.read_text())["digest"] == int4["digest"]


def test_larger_blocks_are_worse_and_fp32_is_the_source(builds: Builds, int4: dict[str, Any]) -> None:
    coarse = builds.made("--int4-block-size", "256", "--int4-accuracy-level", "1")
    whole = builds.made(precision="fp32")
    # Weights rounded to blocks of 32 in training lose nothing there, and something in larger ones. What is left at the
    # accuracy level 4 is that of the activations.
    of_int4, of_coarse, of_whole = (
        each["quality"]["perplexity"] / each["quality"]["referencePerplexity"] for each in (int4, coarse, whole)
    )
    assert of_whole == pytest.approx(1, abs=5e-5)
    assert of_int4 == pytest.approx(1, abs=0.02)
    assert of_coarse > 1.0002
    assert len({each["digest"] for each in (int4, coarse, whole)}) == 3
    assert coarse["bytes"] < int4["bytes"] < whole["bytes"]
    for each in (int4, coarse, whole):
        assert each["quality"]["tokens"] == 799
        assert each["quality"]["text"].startswith("sha256:")


def test_what_no_room_is_left_for_is_not_begun(builds: Builds, image: BuilderImage, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(tmp_path)], check=True)
    try:
        for path in write_source(tmp_path / "source").iterdir():
            path.chmod(0o644)
        refused = Builds(image, tmp_path).run()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert refused.words["reason"] == "StorageFull"
    assert "the model to be built needs" in refused.words["message"]
    assert '"builder"' not in refused.errors


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def unknown(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["GPTNeoXForCausalLM"]}))


def untold(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (pickled, "can run code when they are opened"),
        (cut, "is no whole safetensors file"),
        (unknown, "which the model builder does not make"),
        (untold, "there is no tokenizer.json"),
    ],
)
def test_a_source_that_cannot_be_built_is_refused_before(
    builds: Builds, damage: Callable[[Path], None], said: str
) -> None:
    name = f"source-{damage.__name__}"
    folder = write_source(builds.home / name)
    damage(folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    refused = builds.run(source=name)
    assert refused.code == 1
    assert refused.words["reason"] == "ModelInvalid"
    assert said in refused.words["message"]
    assert not (builds.home / "cache/partial").exists() or not list((builds.home / "cache/partial").iterdir())


def test_a_pair_that_is_not_made_is_refused(builds: Builds) -> None:
    refused = builds.run(precision="fp16")
    assert refused.words["reason"] == "InvalidSpec"
    assert "for cpu the builder makes fp32, int8, int4" in refused.words["message"]


def test_a_builder_that_fails_is_quoted(builds: Builds) -> None:
    # The builder divides the hidden size among the heads only when it reads the weights.
    folder = write_source(builds.home / "source-broken", None, num_attention_heads=3, head_dim=None)
    for path in folder.iterdir():
        path.chmod(0o644)
    failed = builds.run(source="source-broken")
    assert failed.code == 1
    assert failed.words["reason"] == "BuildFailed"
    assert "the model builder ended with 1" in failed.words["message"]
    assert not list((builds.home / "cache/partial").iterdir())
