"""What a caller can send as a grammar costs a bounded time, ends in words, and never ends the process."""

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer

from genai_runtime.engine.batch import grammar_matcher
from genai_runtime.engine.batch.grammar import GrammarLimits, Grammars, GuidanceUnavailable
from genai_runtime.engine.batch.grammar_matcher import GrammarFailed, GrammarMatcher, Masking
from genai_runtime.engine.batch.lane import Lane
from genai_runtime.errors import InvalidGuidance
from genai_runtime.generation import Guidance
from support.grammars import HELLO, HELLO_EOS, HELLO_VOCABULARY, follow, random_regex


@pytest.fixture(scope="module")
def grammars() -> Iterator[Grammars]:
    made = Grammars(HELLO, HELLO_VOCABULARY, [HELLO_EOS])
    yield made
    made.close()


def nested(depth: int) -> str:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return json.dumps(schema)


def chain(rule: str, length: int) -> str:
    return "".join(rule.format(n, n + 1) + "\n" for n in range(length))


def chained(length: int) -> str:
    links = {f"{n:x}": {"$ref": f"#/$defs/{n + 1:x}"} for n in range(length)}
    return json.dumps({"$defs": {**links, f"{length:x}": {"type": "null"}}, "$ref": "#/$defs/0"}, separators=(",", ":"))


REFUSED = {
    "an open group": (Guidance("regex", "(("), "unclosed group"),
    "a back reference": (Guidance("regex", r"(a)\1"), "backreferences"),
    "a look-ahead": (Guidance("regex", "(?=a)b"), "look-around"),
    "deep groups": (Guidance("regex", "(" * 8000 + ")" * 8000), "invalid regex"),
    "nothing matches": (Guidance("regex", r"[^\s\S]"), "matches no text"),
    "half a surrogate pair": (Guidance("regex", "a\ud800"), "surrogate"),
    "a long expression": (Guidance("regex", "a" * 20_000), "20000 bytes; 16384 are allowed"),
    "a long schema": (Guidance("json_schema", " " * 70_000 + "{}"), "70002 bytes; 65536 are allowed"),
    "no JSON": (Guidance("json_schema", "{'type': 'object'}"), "is not a JSON schema"),
    "no schema": (Guidance("json_schema", "3"), "is not a JSON schema"),
    "an unknown type": (Guidance("json_schema", '{"type":"nope"}'), "Invalid type"),
    "an unknown keyword": (Guidance("json_schema", '{"not":{"type":"null"}}'), "not"),
    "nothing fits": (Guidance("json_schema", '{"enum":[]}'), "Unsatisfiable"),
    "a contradiction": (Guidance("json_schema", '{"type":"array","minItems":5,"maxItems":1}'), "Unsatisfiable"),
    "a circle": (Guidance("json_schema", '{"$ref":"#"}'), "matches no text"),
    "another host": (Guidance("json_schema", '{"$ref":"http://127.0.0.1:1/x.json"}'), "not present in a registry"),
    "a file": (Guidance("json_schema", '{"$ref":"file:///etc/passwd"}'), "not present in a registry"),
    "depth": (Guidance("json_schema", nested(300)), "recursion limit"),
    "an empty grammar": (Guidance("lark", ""), "Empty grammar"),
    "no grammar": (Guidance("lark", "start: ((((("), "Expected"),
    "deep parentheses": (Guidance("lark", "start: " + "(" * 8000 + '"a"' + ")" * 8000), "too deeply nested"),
    "a circular token": (Guidance("lark", 'start: A\nA: A "x"'), "circular"),
    "an unknown token": (Guidance("lark", "start: <[4000000000]>"), "too large"),
    "heavy intersections": (
        Guidance("lark", "start: A\nA: /.*a.{30}/ & /.*b.{40}/ & /.*c.{50}/ & ~/.*d.{60}/"),
        "fuel exhausted",
    ),
    "doubling tokens": (
        Guidance("lark", "start: R0\n" + "\n".join(f"R{n}: R{n + 1} R{n + 1}" for n in range(60)) + '\nR60: "y"'),
        "too big",
    ),
}


@pytest.mark.parametrize(("guidance", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_used_is_refused_with_words(grammars: Grammars, guidance: Guidance, said: str) -> None:
    with pytest.raises(InvalidGuidance, match=said) as refused:
        grammars.compile(guidance)
    assert len(refused.value.message) < 420
    assert "\n" not in refused.value.message


# Each would end the process with a stack overflow, run for minutes or eat memory if nothing bounded it.
HOSTILE = {
    "counted repetitions": Guidance("regex", "((a{1000}){1000}){1000}"),
    "overlapping repetitions": Guidance("regex", "((a|b|ab){1,300}(b|c){1,300}){1,300}"),
    "options": Guidance("regex", "a?" * 2500 + "a" * 2500),
    "letters of all scripts": Guidance("regex", r"(\p{L}{1,200}\p{N}{1,200}){1,200}"),
    "ambiguity": Guidance("lark", 'start: s\ns: s s s s | s s s | s s | "a" | "aa" | "aaa" |'),
    "more ambiguity": Guidance("lark", 'start: s\ns: (s | "a")* (s|"b")* (s|"c")*'),
    "rules in a chain": Guidance("lark", "start: r0\n" + chain("r{}:r{}", 1300) + 'r1300:"y"'),
    "tokens in a chain": Guidance("lark", "start: R0\n" + chain("R{}:R{}", 1300) + 'R1300:"y"'),
    "empty rules": Guidance("lark", "start: r0\n" + chain("r{}:r{}?", 1200) + 'r1200:"y"?'),
    "right recursion": Guidance("lark", "start: r0\n" + chain('r{}:"a"*r{}', 900) + 'r900:"y"'),
    "huge counts": Guidance("lark", 'start: ("a" "b"){1000000}'),
    "references in a chain": Guidance("json_schema", chained(2000)),
    "many properties": Guidance(
        "json_schema", json.dumps({"type": "object", "properties": {f"p{n}": {"type": "null"} for n in range(2200)}})
    ),
    "multiples of primes": Guidance(
        "json_schema", json.dumps({"allOf": [{"type": "integer", "multipleOf": p} for p in (7919, 7907, 7901)]})
    ),
    "a long constant": Guidance("json_schema", json.dumps({"const": "é😀" * 4000})),
    "long arrays of arrays": Guidance(
        "json_schema", '{"type":"array","minItems":2000000000,"items":{"type":"array","minItems":1000000}}'
    ),
}


def attempt(grammars: Grammars, guidance: Guidance, seed: int, most: int) -> str:
    """How it ended: "stop", "length", or the words of an error."""
    try:
        return follow(grammars, guidance, seed, most)[1]
    except InvalidGuidance as refused:
        return refused.message


def is_an_end(ended: str) -> bool:
    return ended in ("stop", "length") or ended.startswith(("options.guidance: ", "the output cannot follow"))


@pytest.mark.parametrize("guidance", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_grammars_end_in_words_or_work(grammars: Grammars, guidance: Guidance) -> None:
    ended = attempt(grammars, guidance, 1, most=60)
    assert is_an_end(ended)
    assert len(ended) < 420
    assert attempt(grammars, Guidance("regex", "[a-c]{3}"), 1, most=60) == "stop"  # others are served as before


@pytest.mark.parametrize("seed", range(150))
def test_random_expressions_do_no_harm(grammars: Grammars, seed: int) -> None:
    assert is_an_end(attempt(grammars, Guidance("regex", random_regex(random.Random(seed))), seed, most=60))


@pytest.mark.parametrize("seed", range(150))
def test_mangled_grammars_do_no_harm(grammars: Grammars, seed: int) -> None:
    rng = random.Random(seed)
    letters = list(
        'start: sum\nsum: NUMBER ("+" NUMBER){0,5} | %json {"type":"string"}\nNUMBER: /[1-9][0-9]?/ & ~/7/\n'
    )
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(letters))
        letters[place] = rng.choice([*'()|~&{}[]<>*+?:"/\n\\%$#@0aZ é\x00', "", letters[place] * 2])
    assert is_an_end(attempt(grammars, Guidance("lark", "".join(letters)), seed, most=30))


def test_compiling_is_given_up_after_its_time() -> None:
    impatient = Grammars(HELLO, HELLO_VOCABULARY, [HELLO_EOS], GrammarLimits(compile_seconds=0.02))
    slow = Guidance("regex", "((a{1000}){1000}){1000}")
    with pytest.raises(InvalidGuidance, match=r"cannot be compiled: it took longer than 0\.02 seconds"):
        impatient.compile(slow)
    impatient.close()


def test_compiling_can_be_waited_for_without_blocking(grammars: Grammars) -> None:
    pending = grammars.start(Guidance("regex", "ab"))
    pause = threading.Event()
    while not pending.ready():
        pause.wait(0.001)
    assert pending.result().mask().max() == 0


class HangingMatcher:
    """A matcher whose masks never come, until it is let go."""

    def __init__(self, release: threading.Event) -> None:
        self._release = release

    def consume_token(self, token: int) -> bool:
        return True

    def is_stopped(self) -> bool:
        return False

    def is_error(self) -> bool:
        return False

    def compute_bitmask(self) -> bytes:
        assert self._release.wait(60)
        return b"\xff" * 160


def test_a_token_that_takes_too_long_ends_its_request_alone() -> None:
    release, lane = threading.Event(), Lane("slow-grammar", seconds=0.05)
    known = np.ones(HELLO_VOCABULARY, bool)
    masking = Masking(lane, Lane("slower-grammar", seconds=0.05), seconds=10)
    slow = GrammarMatcher(cast(LLMatcher, HangingMatcher(release)), masking, known, b"\xff" * 160)
    compiled = LLMatcher(LLTokenizer((HELLO / "tokenizer.json").read_text()), LLMatcher.grammar_from_regex("a{9}"))
    sound = GrammarMatcher(compiled, masking, known, b"\xff" * 160)
    slow.accept(68)
    sound.accept(68)
    assert sound.mask().max() == 0
    with pytest.raises(GrammarFailed, match="not found in time"):
        slow.mask()
    slow.accept(68)  # as the engine may, before it hears of the failure
    with pytest.raises(GrammarFailed, match="not found in time"):
        slow.mask()
    release.set()
    lane.close()


def test_masks_of_one_request_have_a_budget_of_processor_time() -> None:
    spent = Grammars(HELLO, HELLO_VOCABULARY, [HELLO_EOS], GrammarLimits(request_seconds=0.0))
    matcher = spent.compile(Guidance("lark", 'start: s\ns: "a" | s s'))
    matcher.accept(int(np.flatnonzero(matcher.mask() == 0)[0]))
    with pytest.raises(GrammarFailed, match=r"more than 0 seconds of a processor; make the grammar less ambiguous"):
        matcher.mask()
    spent.close()


def test_a_request_whose_masks_are_slow_computes_them_apart_from_others(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar_matcher, "_SLOW_SECONDS", -1.0)
    slow = grammars.compile(Guidance("regex", "[a-c]{9}"))
    assert slow._lane is grammars._masking.lane
    slow.accept(int(np.flatnonzero(slow.mask() == 0)[0]))
    slow.mask()
    assert slow._lane is grammars._masking.slow


def write_tokenizer(folder: Path, **changes: Any) -> Path:
    tokenizer = json.loads((HELLO / "tokenizer.json").read_text())
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps({**tokenizer, **changes}))
    return folder


def added(content: str) -> list[dict[str, object]]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return [{"id": 2, "content": "<|im_end|>", **flags}, {"id": 1280, "content": content, **flags}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"added_tokens": added("a" * 1100)}, "a token of 1100 characters"),
        ({"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}}, "decoder"),
        ({"model": {}}, "no vocabulary"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": []}, "empty vocabulary"),
    ],
    ids=["a token that would panic", "an unknown decoder", "no vocabulary", "an empty vocabulary"],
)
def test_a_tokenizer_that_cannot_be_used_is_told(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(GuidanceUnavailable, match=said):
        Grammars(write_tokenizer(tmp_path / "model", **changes), 1300, [HELLO_EOS])


def test_long_tokens_within_bounds_work(tmp_path: Path) -> None:
    grammars = Grammars(write_tokenizer(tmp_path / "model", added_tokens=added("a" * 1000)), 1300, [HELLO_EOS])
    assert grammars.compile(Guidance("regex", "a*")).mask()[1280] == 0
    grammars.close()


@pytest.mark.parametrize("text", [None, "", "{", "[]", "[" * 100_000], ids=["none", "empty", "cut", "a list", "deep"])
def test_a_folder_without_a_tokenizer_is_told(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(GuidanceUnavailable, match=r"tokenizer\.json"):
        Grammars(tmp_path, 1300, [HELLO_EOS])


def test_a_model_without_a_known_end_is_told() -> None:
    with pytest.raises(GuidanceUnavailable, match="no end-of-sequence token"):
        Grammars(HELLO, HELLO_VOCABULARY, [5000])
