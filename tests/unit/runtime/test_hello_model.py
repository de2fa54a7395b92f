"""The committed hello model keeps its promises: its answers, its stories, its size. Only a rebuild may change them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import onnxruntime_genai as og
import pytest
from tokenizers import Tokenizer

pytestmark = pytest.mark.model

HOME = Path(__file__).resolve().parents[3] / "examples" / "hello-model"
FOLDER = HOME / "model"
PROMISED: dict[str, Any] = json.loads((HOME / "answers.json").read_text(encoding="utf-8"))
END = "<|im_end|>"


@dataclass(frozen=True)
class Reply:
    text: str
    tokens: int
    stopped: bool


class Speaker:
    """Greedy decoding through the public Python API, tokenised as the runtime does it."""

    def __init__(self) -> None:
        self._model = og.Model(str(FOLDER))
        self.tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
        self._template = jinja2.Environment().from_string((FOLDER / "chat_template.jinja").read_text(encoding="utf-8"))

    def encode(self, text: str) -> list[int]:
        """The ids of one user message in the chat template, with the assistant's turn opened."""
        messages = [{"role": "user", "content": text}]
        ids: list[int] = self.tokenizer.encode(self._template.render(messages=messages, add_generation_prompt=True)).ids
        return ids

    def ask(self, text: str, limit: int = 100) -> Reply:
        ids = self.encode(text)
        params = og.GeneratorParams(self._model)
        params.set_search_options(do_sample=False, max_length=len(ids) + limit)
        generator = og.Generator(self._model, params)
        generator.append_tokens(np.array(ids, dtype=np.int32))
        new: list[int] = []
        while not generator.is_done() and len(new) < limit:
            generator.generate_next_token()
            new.append(int(generator.get_next_tokens()[0]))
        stopped = new[-1] == self.tokenizer.token_to_id(END)
        return Reply(self.tokenizer.decode(new), len(new), stopped)


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker()


@pytest.mark.parametrize("entry", PROMISED["answers"], ids=lambda entry: entry["question"])
def test_gives_the_fixed_answer_and_stops(speaker: Speaker, entry: dict[str, Any]) -> None:
    reply = speaker.ask(entry["question"])

    assert reply.text == entry["answer"]
    assert reply.stopped


@pytest.mark.parametrize(
    "question", ["what is the capital of france", "WHAT IS THE CAPITAL OF FRANCE?", "What's the capital of France?"]
)
def test_spelling_does_not_matter(speaker: Speaker, question: str) -> None:
    assert speaker.ask(question).text == "The capital of France is Paris."


@pytest.mark.parametrize("question", PROMISED["fallback"]["questions"])
def test_declines_what_it_does_not_know(speaker: Speaker, question: str) -> None:
    reply = speaker.ask(question)

    assert reply.text == PROMISED["fallback"]["answer"]
    assert reply.stopped


@pytest.mark.parametrize("request_text", PROMISED["short"])
def test_a_short_story_ends_by_itself(speaker: Speaker, request_text: str) -> None:
    reply = speaker.ask(request_text, limit=300)

    assert reply.stopped
    assert reply.text.endswith("The end.")
    assert 3 <= reply.text.count(".") <= 6


@pytest.mark.parametrize("request_text", PROMISED["endless"])
def test_an_endless_story_does_not_end(speaker: Speaker, request_text: str) -> None:
    reply = speaker.ask(request_text, limit=1500)

    assert reply.tokens == 1500
    assert not reply.stopped
    stories = reply.text.split("\n\n")
    assert len(stories) > 10
    assert len(set(stories)) > 10, "it tells the same story again and again"


def test_generates_up_to_its_context_length(speaker: Speaker) -> None:
    limit = 4096 - len(speaker.encode(PROMISED["endless"][0]))

    reply = speaker.ask(PROMISED["endless"][0], limit=limit)

    assert reply.tokens == limit
    assert not reply.stopped


@pytest.mark.parametrize(
    "sentence",
    ["the little garden and the old bridge ", "The quick brown fox jumps over the lazy dog. "],
)
def test_a_prompt_of_a_thousand_tokens_is_answered(speaker: Speaker, sentence: str) -> None:
    prompt = sentence * 150
    assert 1000 <= len(speaker.encode(prompt)) <= 3900

    reply = speaker.ask(prompt)

    assert reply.stopped
    assert reply.text == PROMISED["fallback"]["answer"]


def test_the_same_request_has_the_same_answer(speaker: Speaker) -> None:
    first, second = (speaker.ask("Tell me a story about a fox.", limit=200) for _ in range(2))

    assert first == second


def test_special_tokens_are_what_the_config_says(speaker: Speaker) -> None:
    config = json.loads((FOLDER / "genai_config.json").read_text(encoding="utf-8"))["model"]

    assert config["context_length"] == 4096
    assert config["eos_token_id"] == [speaker.tokenizer.token_to_id(END)]
    assert config["pad_token_id"] == speaker.tokenizer.token_to_id("<|pad|>")
    assert config["vocab_size"] == speaker.tokenizer.get_vocab_size()


def test_genai_reads_the_tokenizer_as_the_tokenizers_library_does(speaker: Speaker) -> None:
    theirs = og.Tokenizer(str(FOLDER))
    for text in ("What is 12 plus 7?", "Brasília, naïve, 日本 😀", "a  b\n\n c\t", f"<|im_start|>user\nHi{END}\n"):
        assert list(theirs.encode(text)) == speaker.tokenizer.encode(text).ids


def test_is_small_and_readable_for_everybody() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) <= 6 * 1024 * 1024
    assert [path.name for path in files if path.stat().st_mode & 0o777 != 0o644] == []
