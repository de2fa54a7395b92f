"""Stop strings are found however the text is cut; nothing that could still begin one is given out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_runtime.front.stop_strings import StopStrings

LETTERS = st.text("ab", max_size=12)
STOPS = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3)


def read(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    reader, given_out = StopStrings(stops), ""
    for piece in pieces:
        given_out += reader.push(piece)
        if reader.found is not None:
            return given_out, reader.found
    return given_out + reader.flush(), None


def expected(stops: list[str], text: str) -> tuple[str, str | None]:
    """By the words of the class: the first to be completed, of several the longest."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            found = max(complete, key=len)
            return text[: end - len(found)], found
    return text, None


@given(stops=STOPS, pieces=st.lists(LETTERS, max_size=8))
def test_pieces_make_no_difference(stops: list[str], pieces: list[str]) -> None:
    assert read(stops, pieces) == expected(stops, "".join(pieces))


@given(stops=STOPS, text=st.text("ab", max_size=30))
def test_what_is_held_back_could_begin_a_stop_string(stops: list[str], text: str) -> None:
    reader, given_out = StopStrings(stops), ""
    for character in text:
        given_out += reader.push(character)
        if reader.found is not None:
            return
        assert not reader.held or any(stop.startswith(reader.held) for stop in stops)
    assert given_out + reader.held == text


@pytest.mark.parametrize(
    ("pieces", "given_out", "found"),
    [
        (["The en", "d. More"], "The ", "end."),
        (["The en", "ding"], "The ending", None),
        (["The en"], "The en", None),
        (["👩‍👩‍", "👧 x", "STOP"], "👩‍👩‍👧 x", "STOP"),
        (["STOP"], "", "STOP"),
        (["ST", "", "OP"], "", "STOP"),
    ],
)
def test_examples(pieces: list[str], given_out: str, found: str | None) -> None:
    assert read(["end.", "STOP"], pieces) == (given_out, found)


def test_a_long_run_of_beginnings_costs_no_more_than_its_length() -> None:
    reader = StopStrings(["a" * 255 + "b"])
    assert len(reader.push("a" * 100_000)) == 100_000 - 255
