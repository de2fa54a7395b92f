"""Random JSON schemas and regular expressions, and following a grammar with a model that knows nothing."""

import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from genai_runtime.engine.batch.grammar import Grammars
from genai_runtime.engine.batch.grammar_matcher import GrammarMatcher
from genai_runtime.engine.batch.sampling import RowSampler, sample
from genai_runtime.generation import GenerationRequest, Guidance, Sampling

HELLO = Path(__file__).parents[2] / "examples" / "hello-model" / "model"
HELLO_VOCABULARY = 1280
HELLO_EOS = 2


def random_schema(rng: random.Random, depth: int = 3) -> dict[str, Any]:
    """A bounded schema, so that even a random writer comes to an end."""
    kinds = ["integer", "number", "string", "boolean", "null", "enum", "const"]
    kind = rng.choice([*kinds, "object", "object", "array", "anyOf"] if depth else kinds)
    if kind == "integer":
        low = rng.randint(-1000, 1000)
        return {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 10**6)}
    if kind == "number":
        return {"type": "number", "minimum": -5, "maximum": 5}
    if kind == "string":
        return rng.choice(
            [
                {"type": "string", "minLength": rng.randint(0, 3), "maxLength": rng.randint(3, 12)},
                {"type": "string", "pattern": "^[a-z]{1,5}(-[0-9]{2}){0,3}$"},
                {"type": "string", "format": "date"},
            ]
        )
    if kind == "enum":
        return {"enum": rng.sample(["é", "ü😀", 'a"b', "line\nbreak", 1, 2.5, None, True, [], {"x": 1}], 3)}
    if kind == "const":
        return {"const": rng.choice(["日本語", 17, {"k": ["v", 1]}])}
    if kind == "array":
        return {"type": "array", "items": random_schema(rng, depth - 1), "maxItems": rng.randint(0, 3)}
    if kind == "anyOf":
        return {"anyOf": [random_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]}
    if kind == "object":
        names = rng.sample(["a", "name", "größe", "x-y", "with space", 'quote"d'], rng.randint(0, 4))
        required = [name for name in names if rng.random() < 0.6]
        properties = {name: random_schema(rng, depth - 1) for name in names}
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"type": kind}


def random_regex(rng: random.Random, depth: int = 4) -> str:
    """Any shape that the syntax has, sensible or not."""
    if depth == 0 or rng.random() < 0.25:
        return rng.choice(["a", "é", ".", r"\d", r"\w", r"\p{L}", "[a-f]", "[^x]", r"\x00", "😀", "x{0}", "", r"\."])
    parts = [random_regex(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    shape = rng.randrange(5)
    if shape == 0:
        return "|".join(parts)
    if shape == 1:
        return f"({''.join(parts)}){rng.choice(['*', '+', '?', '{2,5}', '{0,300}', '{40}', '*?'])}"
    if shape == 2:
        return f"(?i:{parts[0]})"
    return "".join(parts)


def guided_row(matcher: GrammarMatcher, seed: int, likely: Collection[int] = (HELLO_EOS,)) -> RowSampler:
    """A row of the hello model that favours `likely` tokens: a random writer would seldom come to an end by chance."""
    sampling = Sampling(temperature=1.0, seed=seed, logit_bias=dict.fromkeys(likely, 2.0))
    return RowSampler(GenerationRequest("r", [5], 100, sampling), HELLO_VOCABULARY, [HELLO_EOS], matcher)


def follow(
    grammars: Grammars, guidance: Guidance, seed: int, most: int = 3000, likely: Collection[int] = (HELLO_EOS,)
) -> tuple[list[int], str]:
    """Tokens of a model with random logits, and how it ended: "stop", "length", or the error."""
    matcher = grammars.compile(guidance)
    row = guided_row(matcher, seed, likely)
    random_model = np.random.default_rng(seed)
    output: list[int] = []
    while len(output) < most:
        (choice,) = sample(random_model.normal(0, 2, (1, HELLO_VOCABULARY)).astype(np.float32), [row])
        if choice.error:
            return output, choice.error
        if row.ends_with(choice.token):
            return output, "stop"
        output.append(choice.token)
        row.accept(choice.token)
        if row.complete:
            return output, "stop"
    return output, "length"
