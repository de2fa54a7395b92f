"""A decoder driven row by row: GenAI's own results, and the same bits whatever else runs."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from genai_runtime.engine import ort
from genai_runtime.engine.batch import graph as graph_module
from genai_runtime.engine.batch.graph import Graph, Logits
from genai_runtime.engine.single import SingleEngine
from genai_runtime.errors import ModelUnusable
from genai_runtime.generation import FinishReason
from support.engines import HELLO_MODEL, end_of, hello_spec, prompt_of, request, run_engine, tokens_of
from support.lora import write_adapter
from support.tiny_decoder import TinyDecoder

EOS = 2
MAX_LENGTH = 400
VARIANTS: dict[str, TinyDecoder | None] = {
    "hello": None,
    "plain": TinyDecoder(),
    "position_ids": TinyDecoder(positions="rotary"),
    "float16": TinyDecoder(dtype=np.float16),
    "norm_before_residual": TinyDecoder(tail="norm"),
    "unknown_tail": TinyDecoder(tail="reshape"),
    "local_window": TinyDecoder(window=16),
    "weights_inside": TinyDecoder(external=False),
    "bias": TinyDecoder(bias=True),
    "one_layer": TinyDecoder(layers=1),
    "head_80": TinyDecoder(hidden=160, heads=2, kv_heads=1),
    "head_128": TinyDecoder(hidden=256, heads=2, kv_heads=1),
    "head_192": TinyDecoder(hidden=384, heads=2, kv_heads=1),
    "head_256": TinyDecoder(hidden=256, heads=1, kv_heads=1),
}


@pytest.fixture(scope="module", params=VARIANTS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = VARIANTS[request.param]
    return HELLO_MODEL if shape is None else shape.write(tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TinyDecoder().write(tmp_path_factory.mktemp("models") / "plain")


def load(folder: Path, rows: int = 16, max_length: int = MAX_LENGTH, **changes: object) -> Graph:
    """With a cache full of NaN: nothing may be read that was not written before."""
    graph = Graph.load(hello_spec(folder, model_dir=folder, **changes), rows, max_length)
    for each in graph._cache:
        each[:] = np.nan
    return graph


def fill(graph: Graph, row: int, ids: list[int], chunk: int = MAX_LENGTH) -> None:
    """Prefill in chunks."""
    for past in range(0, len(ids), chunk):
        graph.prefill(row, np.array(ids[past : past + chunk]), past)


def lengths_of(graph: Graph, lengths: list[int]) -> list[int]:
    """As `decode` takes them."""
    return lengths + [0] * (graph.rows - len(lengths))


def alone(graph: Graph, prompt: list[int], steps: int, chunk: int = MAX_LENGTH) -> list[Logits]:
    """The logits of a greedy generation in row 0, with nothing beside it."""
    fill(graph, 0, prompt[:-1], chunk)
    graph.ids[0] = prompt[-1]
    found = []
    for step in range(steps):
        found.append(graph.decode(1, lengths_of(graph, [len(prompt) - 1 + step]))[0].copy())
        graph.ids[0] = found[-1].argmax()
    return found


def tokens(logits: list[Logits]) -> list[int]:
    return [int(each.argmax()) for each in logits]


def test_generates_what_genai_generates(folder: Path) -> None:
    graph, single = load(folder, rows=1), SingleEngine()
    single.load(hello_spec(folder, model_dir=folder))
    for length in (1, 2, 17, 150, 300):
        prompt = prompt_of(length)
        single.submit(request("a", prompt, 40))
        events = run_engine(single)
        wanted = tokens_of(events, "a") + [EOS] * (end_of(events, "a").reason is FinishReason.STOP)
        assert tokens(alone(graph, prompt, len(wanted))) == wanted
    single.close()
    graph.close()


LENGTHS = [33, 1, 200, 64, 65, 17, 300, 128, 40, 5, 250, 99, 31, 77, 2, 150]


def test_a_row_gets_the_same_bits_alone_and_in_any_batch(folder: Path) -> None:
    graph, steps = load(folder), 3
    prompts = [prompt_of(length, seed) for seed, length in enumerate(LENGTHS)]
    wanted = [alone(graph, prompt, steps) for prompt in prompts]
    for n in range(2, graph.rows + 1):
        for row in range(n):
            fill(graph, row, prompts[row][:-1])
            graph.ids[row] = prompts[row][-1]
        for step in range(steps):
            lengths = lengths_of(graph, [length - 1 + step for length in LENGTHS[:n]])
            logits = graph.decode(n, lengths)
            assert all(np.array_equal(logits[row], wanted[row][step]) for row in range(n)), (n, step)
            graph.ids[:n] = logits.argmax(1)


def test_a_row_gets_the_same_bits_for_any_chunks(folder: Path) -> None:
    graph, longest = load(folder, rows=1), 300
    prompt = prompt_of(longest)
    fill(graph, 0, prompt)
    whole = graph.save(0, 0, longest)
    for chunk in [*range(1, 70), 97, 100, 127, 128, 129, 130, 161, 257, 289]:
        for each in graph._cache:
            each[:] = np.nan
        fill(graph, 0, prompt, chunk)
        pieces = graph.save(0, 0, longest)
        assert all(np.array_equal(a, b) for a, b in zip(whole.tensors, pieces.tensors, strict=True)), chunk


def test_a_row_gets_the_same_bits_for_any_length_of_prompt(folder: Path) -> None:
    graph, longest = load(folder, rows=1), 300
    prompt = prompt_of(longest)
    fill(graph, 0, prompt)
    whole = graph.save(0, 0, longest)
    for length in range(1, longest):
        fill(graph, 0, prompt[:length])
        part = graph.save(0, 0, length)
        assert all(np.array_equal(a[:, :length], b) for a, b in zip(whole.tensors, part.tensors, strict=True)), length


def test_a_row_gets_the_same_bits_in_large_batches(folder: Path) -> None:
    graph = load(folder, rows=40)
    lengths = lengths_of(graph, [(row * 37) % 150 for row in range(graph.rows)])
    for row, length in enumerate(lengths):
        if length:
            fill(graph, row, prompt_of(int(length), row))
        graph.ids[row] = row + 10
    alone = [graph.decode(1, lengths, first=row)[0].copy() for row in range(graph.rows)]
    for n in (17, 31, 32, 33, 40):
        logits = graph.decode(n, lengths)
        assert all(np.array_equal(logits[row], alone[row]) for row in range(n)), n


LONG = {
    "narrow": TinyDecoder(hidden=256, context=2048),
    "wide": TinyDecoder(hidden=256, heads=1, kv_heads=1, context=2048),
}


@pytest.fixture(scope="module", params=LONG)
def long_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return LONG[request.param].write(tmp_path_factory.mktemp("models") / request.param)


@pytest.mark.parametrize("threads", [1, 2, 5, 16])
def test_a_long_row_gets_the_same_bits_in_a_batch_whatever_the_threads(long_folder: Path, threads: int) -> None:
    graph = load(long_folder, rows=5, max_length=2048, intra_op_threads=threads)
    lengths = lengths_of(graph, [1900, 513, 1024, 20, 700])
    for row, length in enumerate(lengths):
        fill(graph, row, prompt_of(int(length), row), 512)
        graph.ids[row] = row + 10
    alone = [graph.decode(1, lengths, first=row)[0].copy() for row in range(graph.rows)]
    for n in range(2, graph.rows + 1):
        logits = graph.decode(n, lengths)
        assert all(np.array_equal(logits[row], alone[row]) for row in range(n)), n


def test_a_long_row_gets_the_same_bits_for_any_chunks(long_folder: Path) -> None:
    graph, longest = load(long_folder, rows=1, max_length=2048), 1900
    prompt = prompt_of(longest)
    fill(graph, 0, prompt, longest)
    whole = graph.save(0, 0, longest)
    for chunk in (21, 64, 65, 129, 500, 1025):
        fill(graph, 0, prompt, chunk)
        pieces = graph.save(0, 0, longest)
        assert all(np.array_equal(a, b) for a, b in zip(whole.tensors, pieces.tensors, strict=True)), chunk


def test_leaving_out_logits_changes_no_bit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = load(folder, rows=1)
    monkeypatch.setattr(graph_module, "_MAX_EDITED_BYTES", -1)
    whole = load(folder, rows=1)
    assert not whole._chooses_positions
    prompt = prompt_of(100)
    for ours, theirs in zip(alone(edited, prompt, 5, 32), alone(whole, prompt, 5, 32), strict=True):
        assert np.array_equal(ours, theirs)
    ids = np.array(prompt_of(20, seed=1))
    assert np.array_equal(edited.verify(0, ids, 50), whole.verify(0, ids, 50))


def test_leaves_logits_out_where_the_graph_is_understood() -> None:
    for name, shape in VARIANTS.items():
        assert shape is None or shape.tail in ("skip", "norm", "reshape"), name
    assert load(HELLO_MODEL, rows=1)._chooses_positions


@pytest.mark.parametrize(("tail", "understood"), [("skip", True), ("norm", True), ("reshape", False)])
def test_knows_which_tails_it_understands(tmp_path: Path, tail: str, understood: bool) -> None:
    graph = load(TinyDecoder(tail=tail).write(tmp_path / "model"), rows=1)
    assert graph._chooses_positions == understood


def test_a_copied_row_continues_as_the_first_would(plain: Path) -> None:
    graph = load(plain, rows=4)
    prompt = prompt_of(70)
    (wanted,) = alone(graph, prompt, 1)
    fill(graph, 3, prompt[:-1])
    graph.copy_row(3, 1, len(prompt) - 1)
    graph.ids[1] = prompt[-1]
    lengths = lengths_of(graph, [0, len(prompt) - 1])
    assert np.array_equal(graph.decode(1, lengths, first=1)[0], wanted)
    assert np.isnan(graph._cache[0][1, :, len(prompt) :]).all()


def test_a_saved_block_continues_in_another_row(plain: Path) -> None:
    graph = load(plain, rows=3)
    prompt = prompt_of(100)
    (wanted,) = alone(graph, prompt, 1)
    fill(graph, 2, prompt[:-1])
    blocks = [graph.save(2, start, stop) for start, stop in ((0, 32), (32, 64), (64, 99))]
    assert sum(block.nbytes for block in blocks) == 99 * graph.kv_bytes_per_token
    fill(graph, 2, prompt_of(100, seed=9))
    for start, block in zip((0, 32, 64), blocks, strict=True):
        graph.load_block(0, start, block)
    graph.ids[0] = prompt[-1]
    assert np.array_equal(graph.decode(1, lengths_of(graph, [99]))[0], wanted)


def test_a_prefix_from_a_block_continues_with_the_same_bits(folder: Path) -> None:
    graph = load(folder, rows=2)
    prompt = prompt_of(150)
    (wanted,) = alone(graph, prompt, 1, 64)
    block = graph.save(0, 0, 64)
    graph.load_block(1, 0, block)
    graph.prefill(1, np.array(prompt[64:-1]), 64)
    graph.ids[1] = prompt[-1]
    assert np.array_equal(graph.decode(1, lengths_of(graph, [0, 149]), first=1)[0], wanted)


def test_verifying_gives_the_logits_after_each_id(folder: Path) -> None:
    graph = load(folder, rows=2)
    prompt = prompt_of(40)
    found = alone(graph, prompt, 6)
    fill(graph, 1, prompt[:-1])
    logits = graph.verify(1, np.array([prompt[-1], *tokens(found)[:-1]]), len(prompt) - 1)
    assert logits.shape == (6, graph.vocabulary_size)
    tolerance = 0.05 if folder == HELLO_MODEL or "float16" in folder.name else 1e-3
    assert np.abs(logits - np.array(found)).max() < tolerance
    graph.ids[:] = found[-1].argmax()
    lengths = lengths_of(graph, [len(prompt) + 5] * 2)
    assert np.abs(np.subtract(*graph.decode(2, lengths))).max() < tolerance


def test_a_terminated_run_can_be_done_again_and_others_see_nothing(plain: Path) -> None:
    graph = load(plain, rows=3, max_length=512)
    prompt = prompt_of(60)
    wanted = alone(graph, prompt, 4)
    options = ort.RunOptions()
    long = prompt_of(500)
    fill(graph, 2, long)
    kept = graph.save(2, 0, 500)
    fill(graph, 0, prompt[:-1])
    graph.ids[0], stopped = prompt[-1], 0
    for step, logits in enumerate(wanted):
        timer = threading.Timer(0.001 * step, options.terminate)
        timer.start()
        try:
            while True:
                graph.prefill(2, np.array(long), 0, options)
        except ort.OrtError as error:
            stopped += error.terminated
        timer.join()
        options.clear()
        options.terminate()
        with pytest.raises(ort.OrtError) as raised:
            graph.decode(1, lengths_of(graph, [59 + step]), options)
        assert raised.value.terminated
        options.clear()
        assert np.array_equal(graph.decode(1, lengths_of(graph, [59 + step]), options)[0], logits)
        graph.ids[0] = logits.argmax()
    assert stopped == len(wanted)
    graph.prefill(2, np.array(long), 0, options)
    redone = graph.save(2, 0, 500)
    assert all(np.array_equal(a, b) for a, b in zip(kept.tensors, redone.tensors, strict=True))


def test_uses_the_last_position_there_is(plain: Path) -> None:
    graph = load(plain, rows=2, max_length=100_000)
    assert graph.context_length == graph.max_length == TinyDecoder().context
    prompt = prompt_of(graph.max_length)
    fill(graph, 0, prompt[:-1], 64)
    graph.ids[0] = prompt[-1]
    logits = graph.decode(1, lengths_of(graph, [graph.max_length - 1]))
    assert np.isfinite(logits).all()


def test_lengths_of_one_row_beside_an_empty_one(plain: Path) -> None:
    graph = load(plain, rows=2)
    (wanted,) = alone(graph, [11], 1)
    fill(graph, 1, prompt_of(90))
    graph.ids[:] = 11
    assert np.array_equal(graph.decode(2, lengths_of(graph, [0, 90]))[0], wanted)


def test_memory_is_taken_when_it_is_written(plain: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    Graph.load(hello_spec(plain, model_dir=plain), 1, 64).close()
    before = resident()
    graph = Graph.load(hello_spec(plain, model_dir=plain), 4000, 512)
    whole = graph.kv_bytes_per_token * graph.rows * graph.max_length
    assert whole > 500_000_000
    for row in (0, 1999, 3999):
        fill(graph, row, prompt_of(300))
    assert resident() - before < whole / 10
    graph.close()


def test_the_graph_tells_the_vocabulary(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(plain, folder)
    config = json.loads((folder / "genai_config.json").read_text())
    config["model"]["vocab_size"] = 1000
    (folder / "genai_config.json").write_text(json.dumps(config))
    graph = load(folder, rows=1)
    assert graph.vocabulary_size == TinyDecoder().vocabulary
    (logits,) = alone(graph, [1], 1)
    assert logits.shape == (TinyDecoder().vocabulary,)


def test_gives_float32_whatever_the_graph_computes_in(folder: Path) -> None:
    (logits,) = alone(load(folder, rows=1), [5], 1)
    assert logits.dtype == np.float32


class TestAdapters:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return TinyDecoder(lora_rank=0).write(tmp_path / "lora")

    @pytest.fixture
    def adapters(self, tmp_path: Path) -> dict[str, Path]:
        random, shape = np.random.default_rng(3), TinyDecoder()
        down = random.normal(0, 0.1, (shape.hidden, 4)).astype(np.float32)
        up = random.normal(0, 1, (4, shape.vocabulary)).astype(np.float32)
        names = ("lm_head.lora_A.weight", "lm_head.lora_B.weight")
        return {
            name: write_adapter(tmp_path / f"{name}.onnx_adapter", dict(zip(names, (down, scale * up), strict=True)))
            for name, scale in (("once", 1), ("twice", 2))
        }

    def test_change_the_runs_that_use_them(self, folder: Path, adapters: dict[str, Path]) -> None:
        graph = load(folder, rows=1, adapters=adapters)
        fill(graph, 0, prompt_of(20))
        graph.ids[0] = 50
        lengths = lengths_of(graph, [20])
        base = graph.decode(1, lengths).copy()
        found = {}
        for name in adapters:
            with ort.RunOptions() as options:
                graph.set_adapter(options, name)
                found[name] = graph.decode(1, lengths, options).copy()
        assert np.abs(found["once"] - base).max() > 0.1
        assert np.allclose(found["twice"] - base, 2 * (found["once"] - base), atol=1e-4)
        assert np.array_equal(graph.decode(1, lengths), base)

    def test_that_are_unknown_are_refused(self, folder: Path) -> None:
        with ort.RunOptions() as options, pytest.raises(KeyError):
            load(folder, rows=1).set_adapter(options, "unknown")

    def test_of_another_model_are_refused_at_once(self, plain: Path, adapters: dict[str, Path]) -> None:
        with pytest.raises(ModelUnusable, match="'once' does not fit") as error:
            load(plain, rows=1, adapters=adapters)
        assert error.value.reason == "ModelInvalid"

    def test_that_are_no_adapters_are_refused(self, folder: Path) -> None:
        with pytest.raises(ModelUnusable, match="'broken' does not fit"):
            load(folder, rows=1, adapters={"broken": folder / "tokenizer.json"})


@pytest.mark.parametrize("level", ["disabled", "basic", "extended", "all", None])
def test_runs_at_each_graph_optimization_level(plain: Path, level: str | None) -> None:
    graph = load(plain, rows=1, graph_optimization_level=level, memory_arena=False, memory_pattern=False, spinning=True)
    assert tokens(alone(graph, prompt_of(30), 10)) == tokens(alone(load(plain, rows=1), prompt_of(30), 10))
