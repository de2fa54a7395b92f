"""Guided output is what the grammar says, from a model that would write anything: the hello model's own tokenizer."""

import json
import random
import re
from collections.abc import Iterator

import jsonschema
import numpy as np
import pytest
from tokenizers import Tokenizer

from genai_runtime.engine.batch.grammar import Grammars
from genai_runtime.engine.batch.grammar_matcher import GrammarFailed
from genai_runtime.engine.batch.sampling import RowSampler, sample
from genai_runtime.generation import GenerationRequest, Guidance
from support.grammars import HELLO, HELLO_EOS, HELLO_VOCABULARY, follow, guided_row, random_schema

PADDED = HELLO_VOCABULARY + 37


@pytest.fixture(scope="module")
def grammars() -> Iterator[Grammars]:
    made = Grammars(HELLO, HELLO_VOCABULARY, [HELLO_EOS])
    yield made
    made.close()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(HELLO / "tokenizer.json"))


def allowed(grammars: Grammars, guidance: Guidance, tokens: list[int]) -> set[int]:
    matcher = grammars.compile(guidance)
    for token in tokens:
        matcher.accept(token)
    return set(np.flatnonzero(matcher.mask() == 0).tolist())


@pytest.mark.parametrize("seed", range(200))
def test_output_parses_and_fits_its_schema(grammars: Grammars, tokenizer: Tokenizer, seed: int) -> None:
    schema = random_schema(random.Random(seed))
    output, ended = follow(grammars, Guidance("json_schema", json.dumps(schema)), seed)
    assert ended == "stop"
    jsonschema.validate(json.loads(tokenizer.decode(output)), schema)


@pytest.mark.parametrize("seed", range(10))
def test_any_json_object_is_an_object(grammars: Grammars, tokenizer: Tokenizer, seed: int) -> None:
    closing = [HELLO_EOS, *(id_ for piece, id_ in tokenizer.get_vocab().items() if set(piece) <= set('"}]'))]
    output, ended = follow(grammars, Guidance("json_object"), seed, likely=closing)
    assert ended == "stop"
    assert isinstance(json.loads(tokenizer.decode(output), strict=True), dict)


@pytest.mark.parametrize(
    "pattern",
    [r"[0-9]{3}-[a-z]{2,4}!", r"(yes|no|maybe)", r"[äöü]{3}", r"日本語😀{2}", r"(a|b){0,20}", r"\p{Lu}\p{Ll}{2,5}"],
)
def test_output_matches_its_regular_expression(grammars: Grammars, tokenizer: Tokenizer, pattern: str) -> None:
    plain = pattern.replace(r"\p{Lu}", r"\w").replace(r"\p{Ll}", r"\w")
    for seed in range(8):
        output, ended = follow(grammars, Guidance("regex", pattern), seed)
        assert ended == "stop"
        text = tokenizer.decode(output)
        assert re.fullmatch(plain, text), text


def test_output_follows_its_lark_grammar(grammars: Grammars, tokenizer: Tokenizer) -> None:
    source = 'start: sum\nsum: NUMBER ("+" NUMBER){0,5}\nNUMBER: /[1-9][0-9]{0,3}/'
    for seed in range(20):
        output, ended = follow(grammars, Guidance("lark", source), seed)
        assert ended == "stop"
        assert re.fullmatch(r"[1-9][0-9]{0,3}(\+[1-9][0-9]{0,3}){0,5}", tokenizer.decode(output))


def test_a_character_may_be_split_across_tokens(grammars: Grammars, tokenizer: Tokenizer) -> None:
    smile = tokenizer.encode("😀", add_special_tokens=False).ids
    assert len(smile) > 1
    guidance = Guidance("regex", "😀|😁")
    for count in range(len(smile)):
        assert smile[count] in allowed(grammars, guidance, smile[:count])
        assert HELLO_EOS not in allowed(grammars, guidance, smile[:count])
    assert allowed(grammars, guidance, smile) == {HELLO_EOS}


def test_the_end_is_allowed_exactly_when_the_output_is_complete(grammars: Grammars, tokenizer: Tokenizer) -> None:
    a, b = (tokenizer.token_to_id(letter) for letter in "ab")
    guidance = Guidance("regex", "(ab)+")
    for tokens, complete in (([], False), ([a], False), ([a, b], True), ([a, b, a], False), ([a, b, a, b], True)):
        assert (HELLO_EOS in allowed(grammars, guidance, tokens)) is complete


def test_a_grammar_that_can_go_no_further_is_complete(grammars: Grammars, tokenizer: Tokenizer) -> None:
    a, b = (tokenizer.token_to_id(letter) for letter in "ab")
    matcher = grammars.compile(Guidance("regex", "ab?"))
    assert not matcher.complete
    matcher.accept(a)
    assert not matcher.complete
    assert HELLO_EOS in set(np.flatnonzero(matcher.mask() == 0))
    matcher.accept(b)
    assert matcher.complete


def test_min_tokens_and_ignore_eos_give_way_to_a_complete_grammar(grammars: Grammars, tokenizer: Tokenizer) -> None:
    request = GenerationRequest("r", [5], 50, min_tokens=10, ignore_eos=True)
    row = RowSampler(request, HELLO_VOCABULARY, [HELLO_EOS], grammars.compile(Guidance("regex", "a")))
    logits = np.zeros((1, HELLO_VOCABULARY), np.float32)
    (choice,) = sample(logits, [row])
    assert choice.token == tokenizer.token_to_id("a")
    row.accept(choice.token)
    assert row.complete
    (choice,) = sample(logits, [row])
    assert choice.token == HELLO_EOS
    assert row.ends_with(HELLO_EOS)


@pytest.mark.parametrize(
    "guidance",
    [
        Guidance("lark", "start: <[*]>*"),
        Guidance("lark", "start: A\nA: ~/(x|y)*x(x|y){3}/"),
        Guidance("regex", "(?s:.*)"),
    ],
)
def test_ids_that_the_tokenizer_lacks_are_never_allowed(guidance: Guidance) -> None:
    padded = Grammars(HELLO, PADDED, [HELLO_EOS, PADDED - 1])
    found = padded.compile(guidance).mask() == 0
    assert found.shape == (PADDED,)
    assert found[:HELLO_VOCABULARY].any()
    assert not found[HELLO_VOCABULARY:].any()
    padded.close()


def test_special_tokens_are_not_text(grammars: Grammars) -> None:
    found = allowed(grammars, Guidance("regex", "(?s:.*)"), [])
    assert not found & {0, 1, 3}


def test_a_vocabulary_smaller_than_the_tokenizer_is_kept_to() -> None:
    small = Grammars(HELLO, 300, [HELLO_EOS])
    assert small.compile(Guidance("regex", "[a-z ]+")).mask().shape == (300,)
    small.close()


def test_a_token_against_the_grammar_ends_its_row_alone(grammars: Grammars, tokenizer: Tokenizer) -> None:
    matcher = grammars.compile(Guidance("regex", "[a-z]{5}"))
    matcher.accept(tokenizer.token_to_id("7"))
    with pytest.raises(GrammarFailed, match="cannot follow"):
        matcher.mask()
    good = grammars.compile(Guidance("regex", "[a-z]{5}"))
    assert good.mask().max() == 0


def test_a_guided_row_gets_the_same_alone_and_among_others(grammars: Grammars) -> None:
    schema = Guidance("json_schema", json.dumps({"type": "array", "items": {"type": "integer"}, "minItems": 9}))
    alone, _ = follow(grammars, schema, seed=4, most=40)
    rng, shared = np.random.default_rng(4), np.random.default_rng(99)
    rows = [guided_row(grammars.compile(schema), seed) for seed in (1, 4, 9)]
    output = []
    for _ in range(len(alone)):
        logits = shared.normal(0, 2, (3, HELLO_VOCABULARY)).astype(np.float32)
        logits[1] = rng.normal(0, 2, (1, HELLO_VOCABULARY)).astype(np.float32)[0]
        choices = sample(logits, rows)
        for row, choice in zip(rows, choices, strict=True):
            if not row.ends_with(choice.token):
                row.accept(choice.token)
        output.append(choices[1].token)
    assert output == alone
