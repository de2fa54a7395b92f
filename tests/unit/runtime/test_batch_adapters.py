"""Requests of different LoRA adapters share the batch engine: runs of their own, and the tokens of each as if alone."""

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.errors import ModelUnusable
from genai_runtime.generation import EngineEvent, Finished
from support.batch_engines import Make, alone, batch_engines, free_run
from support.engines import run_engine, tokens_of
from support.lora import write_adapter
from support.tiny_decoder import TinyDecoder

pytestmark = pytest.mark.model


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with batch_engines(tmp_path) as load:
        yield load


@pytest.fixture
def adapters(tmp_path: Path) -> dict[str, Path]:
    noise, shape = np.random.default_rng(3), TinyDecoder()
    weights = {
        "lm_head.lora_A.weight": noise.normal(0, 0.3, (shape.hidden, 4)).astype(np.float32),
        "lm_head.lora_B.weight": noise.normal(0, 1, (4, shape.vocabulary)).astype(np.float32),
    }
    for name in ("legal", "medical"):
        (tmp_path / name).mkdir()
        write_adapter(tmp_path / name / "adapter.onnx_adapter", weights)
        weights["lm_head.lora_B.weight"] = -weights["lm_head.lora_B.weight"]
    return {"legal": tmp_path / "legal", "medical": tmp_path / "medical" / "adapter.onnx_adapter"}


@pytest.fixture
def engine(make: Make, tmp_path: Path, adapters: dict[str, Path]) -> BatchEngine:
    folder = TinyDecoder(lora_rank=0).write(tmp_path / "model")
    return make(model_dir=folder, adapters=adapters, max_concurrent=8, max_sequence_length=512)


def test_each_adapter_has_its_own_tokens_in_any_company(engine: BatchEngine) -> None:
    names = ["", "legal", "medical"]
    wanted = [free_run(f"r{n}", 20 + 7 * (n // 3), n // 3, 20 + n, adapter=names[n % 3]) for n in range(12)]
    expected = {each.request_id: alone(engine, each) for each in wanted}
    assert len({tuple(expected[f"r{n}"][:20]) for n in range(3)}) == 3  # the same prompt, three adapters
    rng = random.Random(4)
    for _ in range(4):
        rng.shuffle(wanted)
        events: list[EngineEvent] = []
        for each in wanted:
            engine.submit(each)
            for _ in range(rng.randrange(5)):
                events += engine.step()
        run_engine(engine, events)
        assert {name: tokens_of(events, name) for name in expected} == expected


def test_an_adapter_has_prefixes_of_its_own(engine: BatchEngine) -> None:
    first = free_run("r", 200, 1, 5, adapter="legal")
    alone(engine, first)
    alone(engine, dataclasses.replace(first, adapter="medical"))
    assert engine.stats().prefix_cache_hit_tokens == 0
    alone(engine, first)
    assert engine.stats().prefix_cache_hit_tokens == 192


def test_adapters_that_are_not_there_are_refused_by_name(make: Make, tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ModelUnusable, match=str(path)) as caught:
            make(adapters={"legal": path})
        assert caught.value.reason == "ModelNotFound"


def states(engine: BatchEngine) -> dict[str, str]:
    return {each.name: each.state for each in engine.adapters}


def test_adapters_come_and_go_on_a_live_engine(make: Make, tmp_path: Path, adapters: dict[str, Path]) -> None:
    """An engine that was loaded with none has them later, and tokens as one that was loaded with them."""
    folder = TinyDecoder(lora_rank=0).write(tmp_path / "model")
    with_all = make(model_dir=folder, adapters=adapters, max_concurrent=4, max_sequence_length=256)
    wanted = [free_run(f"r{n}", 40, 3, 20, adapter=name) for n, name in enumerate(("", "legal", "medical"))]
    expected = [alone(with_all, each) for each in wanted]
    engine = make(model_dir=folder, max_concurrent=4, max_sequence_length=256)
    assert alone(engine, wanted[0]) == expected[0]
    assert states(engine) == {}
    engine.set_adapters(adapters)
    assert states(engine) == {"legal": "loaded", "medical": "loaded"}
    assert [alone(engine, each) for each in wanted] == expected
    engine.set_adapters({"legal": adapters["medical"]})
    assert states(engine) == {"legal": "loaded"}
    assert alone(engine, dataclasses.replace(wanted[1], request_id="again")) == expected[2]


def test_an_adapter_in_use_goes_with_its_last_request(engine: BatchEngine, adapters: dict[str, Path]) -> None:
    long, other = free_run("long", 20, 1, 60, adapter="legal"), free_run("other", 20, 1, 5, adapter="legal")
    expected = alone(engine, long)
    engine.submit(long)
    events = engine.step()
    engine.set_adapters({"medical": adapters["medical"]})
    assert states(engine) == {"legal": "unloading", "medical": "loaded"}
    engine.submit(other)
    run_engine(engine, events)
    assert tokens_of(events, "long") == expected
    assert [each.message for each in events if isinstance(each, Finished) and each.request_id == "other"] == [
        "the model has no adapter 'legal'; it has: medical"
    ]
    assert states(engine) == {"medical": "loaded"}


def test_one_that_cannot_be_loaded_harms_no_other(engine: BatchEngine, adapters: dict[str, Path]) -> None:
    first = free_run("r", 20, 1, 20, adapter="legal")
    expected = alone(engine, first)
    broken = adapters["legal"].parent / "broken.onnx_adapter"
    broken.write_bytes(b"no adapter")
    absent = adapters["legal"].parent / "absent"
    engine.set_adapters({**adapters, "broken": broken, "absent": absent})
    assert states(engine) == {"legal": "loaded", "medical": "loaded", "broken": "rejected", "absent": "rejected"}
    assert "does not exist" in next(each.message for each in engine.adapters if each.name == "absent")
    assert alone(engine, dataclasses.replace(first, request_id="s")) == expected


def test_a_graph_without_such_weights_takes_no_adapter(make: Make, tmp_path: Path, adapters: dict[str, Path]) -> None:
    engine = make(model_dir=TinyDecoder().write(tmp_path / "model"), max_concurrent=2, max_sequence_length=64)
    engine.set_adapters({"legal": adapters["legal"]})
    assert states(engine) == {"legal": "rejected"}


def test_prefixes_of_one_adapter_are_not_those_of_the_next_of_its_name(
    engine: BatchEngine, adapters: dict[str, Path]
) -> None:
    medical = free_run("m", 200, 1, 5, adapter="medical")
    legal = dataclasses.replace(medical, request_id="l", adapter="legal")
    expected = alone(engine, medical)
    alone(engine, legal)
    engine.set_adapters({"legal": adapters["medical"]})
    assert alone(engine, dataclasses.replace(legal, request_id="again")) == expected


def test_an_adapter_that_would_replace_what_requests_give_is_refused(engine: BatchEngine, tmp_path: Path) -> None:
    """ONNX Runtime would take it, and every request's tokens would be this one."""
    path = write_adapter(tmp_path / "ids.onnx_adapter", {"input_ids": np.full((1, 1), 5, np.int64)})
    engine.set_adapters({"ids": path})
    (refused,) = engine.adapters
    assert (refused.name, refused.state) == ("ids", "rejected")
    assert "it replaces 'input_ids'" in refused.message
