"""Names that servers give to files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_runtime.errors import ModelUnusable
from genai_runtime.fetch.names import check_names
from genai_runtime.models.limits import DEFAULT, Limits


@pytest.mark.parametrize(
    "names",
    [
        ["../a"],
        ["a/../b"],
        ["/a"],
        ["a//b"],
        ["a/"],
        [""],
        ["."],
        ["a\\b"],
        ["a\0b"],
        ["a\x1b[31m"],
        ["\u202egnp.a"],
        ["a" * 300],
        ["a", "a"],
        ["A.json", "a.json"],
        ["a", "a/b"],
        ["a/b/c", "A/B"],
        ["/".join("a" * 12)],
    ],
)
def test_names_that_are_refused(names: list[str]) -> None:
    with pytest.raises(ModelUnusable) as caught:
        check_names(names, "hf://org/repo", DEFAULT)
    assert caught.value.reason == "ModelInvalid"
    assert "hf://org/repo" in caught.value.message
    assert caught.value.message.isprintable()


def test_too_many() -> None:
    check_names(["a", "b"], "hf://org/repo", Limits(files=2))
    with pytest.raises(ModelUnusable) as caught:
        check_names(["a", "b", "c"], "hf://org/repo", Limits(files=2))
    assert caught.value.reason == "ModelTooLarge"


@given(st.lists(st.text(max_size=12), max_size=6))
def test_whatever_passes_stays_inside(names: list[str]) -> None:
    try:
        check_names(names, "s3://bucket/a", DEFAULT)
    except ModelUnusable:
        return
    for name in names:
        parts = name.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert name.isprintable()
    assert len(set(names)) == len(names)
