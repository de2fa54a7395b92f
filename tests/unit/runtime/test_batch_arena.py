"""What arena shrinkage does to the memory of a real engine: a long prompt's scratch is given back, and only then."""

from pathlib import Path

import pytest

from genai_runtime.engine.batch.engine import BatchEngine
from genai_runtime.engine.batch.memory import resident_bytes
from genai_runtime.engine.single import SingleEngine
from genai_runtime.errors import EngineFailure
from support.engines import hello_spec, prompt_of, request, run_engine, tokens_of
from support.tiny_decoder import TinyDecoder

MIB = 1024 * 1024
LONG, SHORT = 6000, 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyDecoder(hidden=256, context=8192).write(tmp_path_factory.mktemp("models") / "wide")


def load(model: Path, tmp_path: Path, **changes: object) -> BatchEngine:
    """The prefix cache is off: what it keeps would count as memory of the run."""
    engine = BatchEngine()
    changes = {"prefill_chunk": 8192, "prefix_cache_bytes": 0, "max_concurrent": 2, **changes}
    engine.load(hello_spec(tmp_path, model_dir=model, intra_op_threads=1, **changes))
    return engine


def generate(engine: BatchEngine, length: int) -> list[int]:
    engine.submit(request("r", prompt_of(length), 4))
    return tokens_of(run_engine(engine), "r")


def test_a_prompts_scratch_is_given_back_while_it_is_on(model: Path, tmp_path: Path) -> None:
    engine = load(model, tmp_path)
    expected = generate(engine, SHORT)
    generate(engine, LONG)
    kept = resident_bytes()
    engine.set_arena_shrinkage(True)
    assert generate(engine, SHORT) == expected
    shrunk = resident_bytes()
    assert kept - shrunk > 20 * MIB
    engine.set_arena_shrinkage(False)
    generate(engine, LONG)
    assert resident_bytes() - shrunk > 20 * MIB
    engine.close()


def test_without_an_arena_there_is_nothing_to_shrink(model: Path, tmp_path: Path) -> None:
    engine = BatchEngine()
    info = engine.load(hello_spec(tmp_path, model_dir=model, max_concurrent=1, memory_arena=False))
    assert info.unsupported_options == ["arena-shrinkage"]
    engine.close()


def test_the_engine_single_says_that_it_cannot(tmp_path: Path) -> None:
    engine = SingleEngine()
    assert engine.load(hello_spec(tmp_path)).unsupported_options == ["arena-shrinkage"]
    with pytest.raises(EngineFailure, match="arena-shrinkage"):
        engine.set_arena_shrinkage(True)
    engine.close()
