"""The benchmark model's files compute what an independent forward pass of the same weights computes."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import onnxruntime_genai as og
import pytest
from tokenizers import Tokenizer

from bench.serving.int4 import quantise, rounded, rounded_weights
from bench.serving.model_folder import write_folder
from bench.serving.reference import Cache, forward, greedy, perplexity, sample_text
from bench.serving.shape import EOS_ID, SPECIAL, Shape, Weights, random_weights

pytestmark = pytest.mark.model

TINY = Shape(hidden=64, layers=2, heads=4, kv_heads=2, feed_forward=128, vocabulary=512, context=128)
PROMPT = [300, 17, 450, 8, 301, 33, 99]
NEW = 24


@pytest.fixture(scope="module")
def weights() -> Weights:
    return random_weights(TINY, seed=4)


def generate(folder: Path, prompts: list[list[int]], count: int) -> list[list[int]]:
    model = og.Model(str(folder))
    parameters = og.GeneratorParams(model)
    length = len(prompts[0]) + count
    parameters.set_search_options(max_length=length, batch_size=len(prompts))
    generator = og.Generator(model, parameters)
    generator.append_tokens(np.array(prompts, np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    return [list(map(int, generator.get_sequence(row)[-count:])) for row in range(len(prompts))]


def test_the_float_graph_generates_the_tokens_of_the_reference(tmp_path: Path, weights: Weights) -> None:
    folder = write_folder(tmp_path / "float", TINY, weights, block=0)
    prompts = [PROMPT, PROMPT[::-1]]
    assert generate(folder, prompts, NEW) == [greedy(TINY, weights, prompt, NEW) for prompt in prompts]


@pytest.mark.parametrize("block", [32, 64])
def test_the_four_bit_graph_gives_the_logits_of_the_rounded_weights(
    tmp_path: Path, weights: Weights, block: int
) -> None:
    folder = write_folder(tmp_path / "int4", TINY, weights, block)
    found = logits(folder, np.array([PROMPT]))
    expected = forward(TINY, rounded_weights(weights, block), np.array([PROMPT]))
    # Eight-bit activations (accuracy level 4) leave less than a tenth of what rounding the weights does.
    rounding = np.abs(forward(TINY, weights, np.array([PROMPT])) - expected).mean()
    assert np.abs(found - expected).mean() < rounding / 5


def logits(folder: Path, ids: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for each in session.get_inputs()[2:]:
        feed[each.name] = np.zeros((len(ids), TINY.kv_heads, 0, TINY.head_size), np.float32)
    return np.asarray(session.run(["logits"], feed)[0])


def test_the_paged_graph_serves_og_engine(tmp_path: Path, weights: Weights) -> None:
    folder = write_folder(tmp_path / "paged", TINY, weights, block=0, paged=True)
    prompts = [PROMPT, PROMPT[:3], PROMPT * 8]
    engine = og.Engine(og.Model(str(folder)))
    events = engine.create_event_buffer(16)
    requests = []
    for prompt in prompts:
        request = engine.create_request()
        options = og.TurnOptions(request)
        options.set_max_generated_tokens(NEW)
        request.begin_turn(np.array(prompt, np.int32), options)
        requests.append(request)
    found: list[list[int]] = [[] for _ in prompts]
    while engine.has_pending_requests():
        engine.run(events)
        for number in range(len(events)):
            event = events[number]
            if int(event.flags) & 1:
                found[[event.request is each for each in requests].index(True)].append(int(event.token))
    assert found == [greedy(TINY, weights, prompt, NEW) for prompt in prompts]


def test_the_cache_changes_nothing(weights: Weights) -> None:
    ids, cache = np.array([PROMPT]), Cache()
    parts = [forward(TINY, weights, ids[:, :3], cache), forward(TINY, weights, ids[:, 3:], cache)]
    np.testing.assert_allclose(np.concatenate(parts, 1), forward(TINY, weights, ids), atol=1e-4)


def test_no_answer_ends_by_itself(weights: Weights) -> None:
    assert forward(TINY, weights, np.array([PROMPT]))[..., EOS_ID].max() == 0
    assert not set(range(len(SPECIAL))) & set(greedy(TINY, weights, PROMPT, 64))


def test_four_bits_round_to_the_nearest_step() -> None:
    random = np.random.default_rng(0)
    matrix = random.standard_normal((8, 128), np.float32)
    matrix[3, :32] = 0
    packed, scales = quantise(matrix, 32)
    assert packed.shape == (8, 4, 16)
    steps = np.abs(np.repeat(scales, 32, 1))
    # half a step, and a whole one at the end that a symmetric range lacks
    assert (np.abs(rounded(matrix, 32) - matrix) <= steps * 1.001).all()
    assert (np.abs(rounded(matrix, 32) - matrix) <= steps * 0.501).mean() > 0.99


def test_a_text_of_the_models_own_is_likelier_than_another(weights: Weights) -> None:
    text = sample_text(TINY, weights, batch=4, length=48)
    own = perplexity(forward(TINY, weights, text), text)
    coarse = perplexity(forward(TINY, rounded_weights(weights, 64), text), text)
    other = np.random.default_rng(5).integers(0, TINY.vocabulary, text.shape)
    assert own < coarse < perplexity(forward(TINY, weights, other), other)


def test_the_tokenizer_has_every_byte_and_its_special_tokens(tmp_path: Path, weights: Weights) -> None:
    folder = write_folder(tmp_path / "float", TINY, weights, block=0)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == TINY.vocabulary
    text = "badu gize ünïcode 🙂\n"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert (
        tokenizer.encode("<|im_end|>").ids
        == json.loads((folder / "genai_config.json").read_text())["model"]["eos_token_id"]
    )
