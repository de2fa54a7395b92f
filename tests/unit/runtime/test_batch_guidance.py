"""Structured output through the batch engine and a real model: it fits, ends by itself, and concerns nobody else."""

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from llguidance import LLMatcher
from tokenizers import Tokenizer

from genai_runtime.engine.batch import grammar_matcher
from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.generation import EngineEvent, Finished, FinishReason, GenerationRequest, Guidance, Sampling
from support.batch_engines import Make, batch_engines, free_run
from support.engines import end_of, prompt_of, run_engine, tokens_of
from support.grammars import HELLO, random_schema

pytestmark = pytest.mark.model
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Zürich", "東京"]}, "size": {"type": "integer", "maximum": 99999}},
    "required": ["city", "size"],
    "additionalProperties": False,
}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with batch_engines(tmp_path) as load:
        yield load


@pytest.fixture
def engine(make: Make) -> BatchEngine:
    return make()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(HELLO / "tokenizer.json"))


def guided(request_id: str, guidance: Guidance, seed: int, **more: object) -> GenerationRequest:
    sampling = Sampling(temperature=0.9, seed=seed)
    return GenerationRequest(request_id, prompt_of(12, seed), 600, sampling, guidance=guidance, **more)


def test_rows_with_schemas_of_their_own_all_fit(engine: BatchEngine, tokenizer: Tokenizer) -> None:
    schemas = {f"r{number}": random_schema(random.Random(number)) for number in range(24)}
    for number, (request_id, schema) in enumerate(schemas.items()):
        engine.submit(guided(request_id, Guidance("json_schema", json.dumps(schema)), number))
    events = run_engine(engine)
    for request_id, schema in schemas.items():
        assert end_of(events, request_id).reason is FinishReason.STOP
        jsonschema.validate(json.loads(tokenizer.decode(tokens_of(events, request_id))), schema)


def test_a_guided_request_gets_the_same_alone_and_in_company(make: Make, tokenizer: Tokenizer) -> None:
    wanted = guided("r", Guidance("json_schema", json.dumps(SCHEMA)), 5, logprobs=3, min_tokens=400, ignore_eos=True)
    engine = make()
    engine.submit(wanted)
    alone = [event for event in run_engine(engine) if event.request_id == "r"]
    jsonschema.validate(json.loads(tokenizer.decode(tokens_of(alone, "r"))), SCHEMA)
    for number in range(10):
        engine.submit(guided(f"other{number}", Guidance("regex", "[a-z ]{40}"), number))
    engine.submit(wanted)
    together = [event for event in run_engine(engine) if event.request_id == "r"]
    assert together[:-1] == alone[:-1]
    assert end_of(together, "r").reason is FinishReason.STOP


def test_a_complete_grammar_ends_without_another_run(engine: BatchEngine) -> None:
    engine.submit(guided("r", Guidance("regex", "[a-z]"), 1))
    events = run_engine(engine)
    assert len(tokens_of(events, "r")) == 1
    assert end_of(events, "r").reason is FinishReason.STOP
    assert engine.stats().decode_runs == 1


def test_nobody_waits_for_the_grammar_of_another(engine: BatchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a mask takes is its own request's loss: that one's position is computed again, to the same tokens."""
    wanted = guided("slow", Guidance("regex", "[a-c]{20}"), 3)
    engine.submit(wanted)
    alone = tokens_of(run_engine(engine), "slow")
    release, compute = threading.Event(), grammar_matcher._timed

    def held(matcher: LLMatcher) -> tuple[bytes, float]:
        assert release.wait(200)
        return compute(matcher)

    grammars = engine._loaded().model.grammars
    assert grammars is not None
    monkeypatch.setattr(grammars._masking.lane, "_seconds", 200.0)
    monkeypatch.setattr(grammar_matcher, "_timed", held)
    engine.submit(wanted)
    events: list[EngineEvent] = []
    while not tokens_of(events, "slow"):
        events += engine.step()
    for number in range(3):
        engine.submit(free_run(f"r{number}", 10, number, 30))
    while sum(isinstance(each, Finished) for each in events) < 3:
        events += engine.step()
    assert len(tokens_of(events, "slow")) == 1
    release.set()
    run_engine(engine, events)
    assert tokens_of(events, "slow") == alone


def test_what_is_wrong_with_a_request_is_named(engine: BatchEngine) -> None:
    engine.submit(guided("grammar", Guidance("lark", "start: nothing"), 1))
    engine.submit(guided("schema", Guidance("json_schema", "[1, 2"), 1))
    engine.submit(GenerationRequest("bias", [5, 6], 10, Sampling(logit_bias={4000: 1.0})))
    engine.submit(guided("good", Guidance("regex", "[a-z]{2}"), 1))
    events = run_engine(engine)
    for request_id, field in (("grammar", "guidance"), ("schema", "guidance"), ("bias", "logit_bias")):
        end = end_of(events, request_id)
        assert (end.reason, end.invalid_field) == (FinishReason.ERROR, f"options.{field}")
        assert end.message.startswith(f"options.{field}: ")
    assert end_of(events, "good").reason is FinishReason.STOP
    assert end_of(events, "good").invalid_field == ""
