"""Whatever ids come, and however many at once: the stream is the whole decode, and no character comes in two."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from genai_runtime.front.detokenizing import ByteDetokenizer, DecodingDetokenizer, Detokenizer, make_detokenizer
from genai_runtime.front.tokenizer import TextTokenizer
from support.engines import HELLO_MODEL
from support.tiny_tokenizer import byte_level


def metaspace() -> TextTokenizer:
    """As SentencePiece models are: a leading space is dropped at the start, unknown characters are bytes."""
    pieces = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁Paris", "▁is", "▁nice", "▁", "é", "👍"]
    raw = Tokenizer(
        models.BPE({piece: id_ for id_, piece in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True)
    )
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    raw.add_special_tokens([AddedToken("</s>", special=True)])
    return TextTokenizer(raw)


def with_added_tokens() -> TextTokenizer:
    """Added words that are no special tokens, one of them with characters that stand for bytes elsewhere."""
    raw = byte_level()
    raw.add_tokens([AddedToken("日本"), AddedToken("Ġword"), AddedToken("plain")])
    return TextTokenizer(raw)


BYTES = TextTokenizer(byte_level())
ADDED = with_added_tokens()
SENTENCES = metaspace()
HELLO = TextTokenizer.from_folder(HELLO_MODEL)
STEPS = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def stream(detokenizer: Detokenizer, ids: list[int], steps: list[int]) -> str:
    text, position, turn = "", 0, 0
    while position < len(ids):
        text += detokenizer.push(ids[position : position + steps[turn % len(steps)]])
        position, turn = position + steps[turn % len(steps)], turn + 1
    return text + detokenizer.flush()


@settings(max_examples=300)
@pytest.mark.parametrize("tokenizer", [BYTES, ADDED, HELLO], ids=["bytes", "added", "hello"])
@given(data=st.data(), steps=STEPS)
def test_random_ids_of_byte_level_tokenizers(tokenizer: TextTokenizer, data: st.DataObject, steps: list[int]) -> None:
    ids = data.draw(st.lists(st.integers(0, 330), max_size=40))
    assert isinstance(make_detokenizer(tokenizer, []), ByteDetokenizer)
    assert stream(make_detokenizer(tokenizer, []), ids, steps) == tokenizer.decode(ids)


@given(text=st.text(max_size=40), steps=STEPS, prompt=st.text(max_size=10))
def test_texts_of_byte_level_tokenizers(text: str, steps: list[int], prompt: str) -> None:
    assert stream(make_detokenizer(HELLO, HELLO.encode(prompt)), HELLO.encode(text), steps) == HELLO.decode(
        HELLO.encode(text)
    )


@settings(max_examples=300)
@given(
    pieces=st.lists(
        st.one_of(
            st.sampled_from([[258], [259], [260], [261], [262], [263], [1], [0]]),
            st.text(min_size=1, max_size=2).map(lambda text: [2 + byte for byte in text.encode(errors="replace")]),
        ),
        max_size=20,
    ),
    steps=STEPS,
)
def test_texts_of_byte_fallback_tokenizers(pieces: list[list[int]], steps: list[int]) -> None:
    ids = [id_ for piece in pieces for id_ in piece]
    detokenizer = make_detokenizer(SENTENCES, [])
    assert isinstance(detokenizer, DecodingDetokenizer)
    assert stream(detokenizer, ids, steps) == SENTENCES.decode(ids)


@given(ids=st.lists(st.integers(0, 263), max_size=30), steps=STEPS)
def test_garbage_in_byte_fallback_ends_and_loses_no_valid_text(ids: list[int], steps: list[int]) -> None:
    text = stream(make_detokenizer(SENTENCES, []), [*ids, 258, 259], steps)
    assert text.endswith("Paris is")


@given(text=st.text(st.characters(min_codepoint=0x80, exclude_categories=["Cs"]), min_size=2, max_size=20))
def test_no_character_comes_in_two(text: str) -> None:
    detokenizer = make_detokenizer(BYTES, [])
    parts = [detokenizer.push([id_]) for id_ in BYTES.encode(text)]
    assert "".join(parts) == text
    assert "\ufffd" not in "".join(parts) or "\ufffd" in text


def test_bytes_of_ids_are_kept() -> None:
    table = BYTES.token_bytes
    assert table is not None
    ids = BYTES.encode("Paris")
    assert b"".join(table[id_] for id_ in ids) == b"Paris"
    assert all(left in table and right in table for left, right in pairwise(ids))
    assert (table[0], table[10_000]) == (b"", b"")
