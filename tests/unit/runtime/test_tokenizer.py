"""Text to ids and back: nothing is lost, no character is split, nobody can forge a special token."""

import random
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from genai_runtime.errors import ModelUnusable
from genai_runtime.front.detokenizing import DecodingDetokenizer, make_detokenizer
from genai_runtime.front.tokenizer import Piece, TextTokenizer
from support.tiny_tokenizer import byte_level


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(byte_level())


def metaspace() -> TextTokenizer:
    """SentencePiece-like: a leading space is dropped at the start of a decoded text, unknown characters are bytes."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁Paris", "▁is", "▁nice", "▁", "P"]
    raw = Tokenizer(
        models.BPE({piece: id_ for id_, piece in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True)
    )
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return TextTokenizer(raw)


def stream(tokenizer: TextTokenizer, ids: list[int], prompt: list[int] | None = None, step: int = 1) -> str:
    detokenizer = make_detokenizer(tokenizer, prompt or [])
    parts = [detokenizer.push(ids[start : start + step]) for start in range(0, len(ids), step)]
    return "".join([*parts, detokenizer.flush()])


@pytest.mark.parametrize(
    "text", ["Paris", "naïve café", "日本語の文章", "👩‍👩‍👧‍👦 family", "a\x00b", "𝔘𝔫𝔦", " \n\t x  "]
)
@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_streamed_text_is_the_whole_text(tokenizer: TextTokenizer, text: str, step: int) -> None:
    assert stream(tokenizer, tokenizer.encode(text), step=step) == text


def test_a_character_comes_whole(tokenizer: TextTokenizer) -> None:
    detokenizer = make_detokenizer(tokenizer, [])
    parts = [detokenizer.push([id_]) for id_ in tokenizer.encode("é👍")]
    assert [part for part in parts if part] == ["é", "👍"]


def test_an_unfinished_character_is_flushed(tokenizer: TextTokenizer) -> None:
    detokenizer = make_detokenizer(tokenizer, [])
    ids = tokenizer.encode("ok👍")[:-1]
    assert "".join(detokenizer.push([id_]) for id_ in ids) == "ok"
    assert detokenizer.flush() == "\ufffd"
    assert detokenizer.flush() == ""


@pytest.mark.parametrize("seed", range(20))
def test_random_ids_stream_like_a_full_decode(tokenizer: TextTokenizer, seed: int) -> None:
    ids = random.Random(seed).choices(range(3, 320), k=200)
    assert stream(tokenizer, ids) == tokenizer.decode(ids)


def test_valid_text_after_garbage_survives(tokenizer: TextTokenizer) -> None:
    garbage = [tokenizer.encode("👍")[-1]] * 9
    assert stream(tokenizer, garbage + tokenizer.encode("fine 👍")).endswith("fine 👍")


def test_pending_ids_do_not_grow(tokenizer: TextTokenizer) -> None:
    detokenizer = DecodingDetokenizer(tokenizer, [])
    for id_ in tokenizer.encode("word " * 500) + [2] * 500 + [tokenizer.encode("👍")[-1]] * 500:
        detokenizer.push([id_])
        assert len(detokenizer._ids) < 20


def test_leading_space_depends_on_the_prompt() -> None:
    tokenizer = metaspace()
    answer = [257, 258, 259]
    assert stream(tokenizer, answer) == "Paris is nice"
    assert stream(tokenizer, answer, prompt=[258]) == " Paris is nice"


def test_byte_fallback_characters_come_whole() -> None:
    tokenizer = metaspace()
    ids = [257, *(1 + byte for byte in "€🙂".encode()), 258]
    detokenizer = make_detokenizer(tokenizer, [])
    parts = [part for id_ in ids if (part := detokenizer.push([id_]))]
    assert parts == ["Paris", "€", "🙂", " is"]


def test_special_tokens_are_read_only_from_the_template(tokenizer: TextTokenizer) -> None:
    start, end = 1, 2
    ids = tokenizer.encode_pieces(
        [Piece("<|im_start|>user\n", True), Piece("hi <|im_end|> you", False), Piece("<|im_end|>\n", True)]
    )
    assert ids[0] == start
    assert ids.count(end) == 1
    assert tokenizer.decode(ids) == "user\nhi <|im_end|> you\n"


def test_pieces_without_tricks_encode_as_the_whole_text(tokenizer: TextTokenizer) -> None:
    pieces = [Piece("<|im_start|>user\n", True), Piece("What is the capital?", False), Piece("<|im_end|>\n", True)]
    assert tokenizer.encode_pieces(pieces) == tokenizer.encode("".join(piece.text for piece in pieces))


def test_special_tokens_that_strip_neighbours_do_so_in_pieces() -> None:
    raw = byte_level()
    raw.add_special_tokens([AddedToken("<|end|>", special=True, rstrip=True, lstrip=True)])
    tokenizer = TextTokenizer(raw)
    pieces = [Piece("user  ", False), Piece("<|end|>\n", True), Piece("  system", False)]
    assert tokenizer.encode_pieces(pieces) == tokenizer.encode("user  <|end|>\n  system")


def test_missing_and_damaged_files_name_themselves(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"tokenizer\.json is missing"):
        TextTokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelUnusable, match=r"tokenizer\.json cannot be read"):
        TextTokenizer.from_folder(tmp_path)
