"""Compiling what a request's output must match: JSON schema, regular expression, Lark grammar, any JSON object.

llguidance does the work; here are its limits, its words for users, and what it must never see. Following a grammar
token by token is `grammar_matcher.py`'s. Compiling runs in a thread of its own, outside the interpreter's lock.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from genai_runtime.engine.batch.grammar_matcher import GrammarMatcher, Masking, words
from genai_runtime.engine.batch.lane import Lane, Overrun
from genai_runtime.errors import InvalidGuidance
from genai_runtime.generation import Guidance

# A chain of 8,000 rules overflows a stack of 8 MiB in llguidance's compiler and ends the process; 256 MiB hold 12,000,
# more than `GrammarLimits` let anyone spell. Only what is touched is ever memory.
_STACK_BYTES = 256 << 20
# Beyond 1,024 bytes llguidance's index of the vocabulary ends in a panic.
_LONGEST_TOKEN = 1000
# Unbounded white space is what an undecided model writes for ever.
_WHITE_SPACE = r"[\x20\x0A\x0D\x09]{1,40}"
_ANY_OBJECT = '{"type": "object"}'


class GuidanceUnavailable(Exception):
    """This model's tokenizer cannot be used with grammars; the message says why."""


@dataclass(frozen=True, slots=True)
class GrammarLimits:
    """What one request's grammar may cost. Memory grows with `lexer_states`, 1 to 2 kB each."""

    schema_bytes: int = 65_536
    text_bytes: int = 16_384  # of a regular expression or a Lark grammar
    compile_seconds: float = 2.0
    token_seconds: float = 0.5
    request_seconds: float = 10.0  # of a processor, for all masks of one request
    lexer_states: int = 20_000

    def parser_limits(self) -> LLParserLimits:
        """llguidance's own limits, below its defaults: a unit of fuel is memory, too, about 250 bytes.

        Large lexemes must stay precomputed, for without that some expressions run for minutes.
        """
        return LLParserLimits(
            max_items_in_row=1_000,
            initial_lexer_fuel=150_000,
            step_lexer_fuel=50_000,
            step_max_items=20_000,
            max_lexer_states=self.lexer_states,
            max_grammar_size=200_000,
            precompute_large_lexemes=True,
            verbose_errors=False,
        )


class PendingGrammar:
    """A grammar that is being compiled."""

    def __init__(self, grammars: "Grammars", lane: Lane, source: str) -> None:
        self._lane = lane
        self._call = lane.submit(lambda: grammars.match(source))

    def ready(self) -> bool:
        """Whether `result` would return or raise at once."""
        return self._lane.done(self._call)

    def result(self) -> GrammarMatcher:
        """The matcher, when it is there. Raises `InvalidGuidance`."""
        try:
            return self._lane.result(self._call)
        except Overrun as overrun:
            raise InvalidGuidance(f"cannot be compiled: {overrun}; make it simpler") from overrun
        except InvalidGuidance:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise InvalidGuidance(f"cannot be compiled: {words(str(error))}") from error


class Grammars:
    """One model's tokenizer, ready for grammars. `compile`, `start` may be called from any thread."""

    def __init__(
        self,
        folder: Path,
        vocabulary_size: int,
        eos_token_ids: Iterable[int],
        limits: GrammarLimits = GrammarLimits(),
    ) -> None:
        """`folder` holds tokenizer.json. Raises `GuidanceUnavailable`."""
        self.limits = limits
        self._vocabulary_size = vocabulary_size
        text, ids = _read_tokenizer(folder / "tokenizer.json")
        ends = sorted(id_ for id_ in set(eos_token_ids) if id_ in ids and 0 <= id_ < vocabulary_size)
        if not ends:
            raise GuidanceUnavailable("the model has no end-of-sequence token that its tokenizer knows")
        self._known = np.zeros(vocabulary_size, bool)
        self._known[[id_ for id_ in ids if 0 <= id_ < vocabulary_size]] = True
        try:
            self._tokenizer = LLTokenizer(text, n_vocab=max(vocabulary_size, max(ids) + 1), eos_token=ends)
        except BaseException as error:  # a panic is not an Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise GuidanceUnavailable(f"tokenizer.json cannot be used for grammars: {words(str(error))}") from error
        self._compiling = Lane("grammar-compile", limits.compile_seconds, _STACK_BYTES)
        lane, slow = (Lane(name, limits.token_seconds) for name in ("grammar-mask", "grammar-slow-mask"))
        self._masking = Masking(lane, slow, limits.request_seconds)

    def compile(self, guidance: Guidance) -> GrammarMatcher:
        """A matcher at its start; waits for it. Raises `InvalidGuidance`."""
        return self.start(guidance).result()

    def start(self, guidance: Guidance) -> PendingGrammar:
        """Begin to compile. Raises `InvalidGuidance` for what is wrong at first sight."""
        return PendingGrammar(self, self._compiling, self._source(guidance))

    def match(self, source: str) -> GrammarMatcher:
        """Compile llguidance's own form here and now. Raises `InvalidGuidance`."""
        matcher = LLMatcher(self._tokenizer, source, log_level=0, limits=self.limits.parser_limits())
        if matcher.is_error():
            raise InvalidGuidance(words(matcher.get_error()))
        first = matcher.compute_bitmask()  # often the most expensive of all
        if matcher.is_error():
            raise InvalidGuidance(f"matches no text, or is too complex: {words(matcher.get_error())}")
        return GrammarMatcher(matcher, self._masking, self._known, first)

    def close(self) -> None:
        """End the threads."""
        self._compiling.close()
        self._masking.lane.close()
        self._masking.slow.close()

    def _source(self, guidance: Guidance) -> str:
        try:
            size = len(guidance.source.encode())
        except UnicodeEncodeError:
            raise InvalidGuidance("holds half of a surrogate pair, which is no text") from None
        most = self.limits.schema_bytes if guidance.kind == "json_schema" else self.limits.text_bytes
        if size > most:
            raise InvalidGuidance(f"has {size} bytes; {most} are allowed")
        if guidance.kind == "json_object":
            return _from_schema(_ANY_OBJECT)
        if guidance.kind == "json_schema":
            return _from_schema(guidance.source)
        if guidance.kind == "regex":
            return LLMatcher.grammar_from_regex(guidance.source)
        return LLMatcher.grammar_from_lark(guidance.source)


def _from_schema(source: str) -> str:
    if source.strip() == "true":  # the same schema; llguidance wants an object
        source = "{}"
    try:
        return LLMatcher.grammar_from_json_schema(source, {"whitespace_pattern": _WHITE_SPACE})
    except ValueError as error:
        raise InvalidGuidance(f"is not a JSON schema: {words(str(error))}") from error


def _read_tokenizer(path: Path) -> tuple[str, set[int]]:
    """The file's text and the ids it defines."""
    try:
        text = path.read_text(encoding="utf-8")
        tokenizer = json.loads(text)
        tokens = dict(_tokens(tokenizer))
    except OSError as error:
        raise GuidanceUnavailable(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise GuidanceUnavailable(f"{path.name} has no vocabulary that can be read") from error
    if not tokens:
        raise GuidanceUnavailable(f"{path.name} has an empty vocabulary")
    longest = max(map(len, tokens.values()))
    if longest > _LONGEST_TOKEN:
        raise GuidanceUnavailable(f"{path.name} has a token of {longest} characters; grammars can use {_LONGEST_TOKEN}")
    return text, set(tokens)


def _tokens(tokenizer: Mapping[str, Any]) -> Iterable[tuple[int, str]]:
    vocabulary = tokenizer["model"]["vocab"]
    if isinstance(vocabulary, dict):
        yield from ((int(id_), token) for token, id_ in vocabulary.items())
    else:
        yield from ((id_, str(entry[0])) for id_, entry in enumerate(vocabulary))
    yield from ((int(added["id"]), str(added["content"])) for added in tokenizer.get("added_tokens") or ())
