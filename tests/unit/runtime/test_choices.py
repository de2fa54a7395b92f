"""From ids to what a client sees: text, ids, log-probabilities and counts agree, with and without stop strings."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_runtime.front.choices import Choice, TextChunk, requests_of
from genai_runtime.front.detokenizing import make_detokenizer
from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.generation import Finished, FinishReason, GenerationRequest, Sampling, TokenLogprob, Tokens
from support.tiny_tokenizer import byte_level

TOKENIZER = TextTokenizer(byte_level())
END = Finished("r", FinishReason.LENGTH, 1, 1)


def logprobs(ids: list[int]) -> list[TokenLogprob]:
    return [TokenLogprob(id_, -float(id_)) for id_ in ids]


def read(ids: list[int], stops: list[str], steps: list[int]) -> tuple[list[TextChunk], Choice]:
    """The chunks of an answer whose tokens come as many at a time as `steps` say, in turn."""
    choice = Choice(0, "r", make_detokenizer(TOKENIZER, []), stops)
    chunks: list[TextChunk] = []
    position = turn = 0
    while position < len(ids) and choice.stop is None:
        some = ids[position : position + steps[turn % len(steps)]]
        choice.add(Tokens("r", some, logprobs(some)))
        position, turn = position + len(some), turn + 1
        chunks += [chunk] if (chunk := choice.chunk()) else []
    if choice.stop is None:
        choice.finish(END)
        chunks += [chunk] if (chunk := choice.chunk()) else []
    return chunks, choice


def text_of(chunks: list[TextChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def ids_of(chunks: list[TextChunk]) -> list[int]:
    return [id_ for chunk in chunks for id_ in chunk.ids]


@given(text=st.text(max_size=30), steps=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_without_stop_strings_everything_comes(text: str, steps: list[int]) -> None:
    ids = TOKENIZER.encode(text)
    chunks, _ = read(ids, [], steps)
    assert (text_of(chunks), ids_of(chunks)) == (TOKENIZER.decode(ids), ids)
    assert [each for chunk in chunks for each in chunk.logprobs] == logprobs(ids)


@given(
    text=st.text("abé👍.", max_size=30),
    stops=st.lists(st.text("abé👍.", min_size=1, max_size=3), min_size=1, max_size=3),
    steps=st.lists(st.integers(1, 5), min_size=1, max_size=4),
)
def test_ids_cover_the_text_that_is_given_out_and_no_more(text: str, stops: list[str], steps: list[int]) -> None:
    ids = TOKENIZER.encode(text)
    chunks, choice = read(ids, stops, steps)
    given_out, told = text_of(chunks), ids_of(chunks)
    assert told == ids[: len(told)]
    assert [each for chunk in chunks for each in chunk.logprobs] == logprobs(told)
    if choice.stop is None:
        assert (given_out, told) == (text, ids)
        return
    assert text.startswith(given_out + choice.stop)
    assert TOKENIZER.decode(told).rstrip("\ufffd").startswith(given_out)
    assert not told or len(TOKENIZER.decode(told[:-1]).rstrip("\ufffd")) < max(1, len(given_out))
    assert read(ids, stops, [1])[0][-1:] == [] or text_of(read(ids, stops, [1])[0]) == given_out


@given(text=st.text("ab.", max_size=20), stops=st.lists(st.text("ab.", min_size=1, max_size=3), min_size=1, max_size=3))
def test_how_many_tokens_come_at_once_makes_no_difference(text: str, stops: list[str]) -> None:
    ids = TOKENIZER.encode(text)
    one, two = read(ids, stops, [1]), read(ids, stops, [3, 1])
    assert text_of(one[0]) == text_of(two[0])
    assert ids_of(one[0]) == ids_of(two[0])
    assert one[1].stop == two[1].stop


def test_a_text_that_may_begin_a_stop_string_waits_with_its_tokens() -> None:
    ids = [TOKENIZER.encode(character)[0] for character in "xEN.END"]
    chunks, choice = read(ids, ["END"], [1])
    assert [chunk.text for chunk in chunks] == ["x", "EN."]
    assert [len(chunk.ids) for chunk in chunks] == [1, 3]
    assert choice.stop == "END"


def test_an_unfinished_character_is_given_out_at_the_end() -> None:
    ids = TOKENIZER.encode("ok👍")[:-1]
    chunks, _ = read(ids, ["zz"], [1])
    assert text_of(chunks) == "ok\ufffd"
    assert ids_of(chunks) == ids


def test_choices_are_requests_of_their_own() -> None:
    request = GenerationRequest("r", [1, 2], 5, Sampling(temperature=1.0, seed=2**64 - 1))
    requests = requests_of(request, 3)
    assert [each.request_id for each in requests] == ["r", "r-1", "r-2"]
    assert [each.sampling.seed for each in requests] == [2**64 - 1, 0, 1]
    assert [each.choice_of for each in requests] == ["", "r", "r"]
    assert all(replace(each, request_id="r", choice_of="", sampling=request.sampling) == request for each in requests)


@pytest.mark.parametrize("choices", [1, 4])
def test_choices_without_a_seed_have_none(choices: int) -> None:
    requests = requests_of(GenerationRequest("r", [1], 5), choices)
    assert [each.sampling.seed for each in requests] == [None] * choices
