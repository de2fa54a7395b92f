"""docs/status.md has every condition and every reason, and no reason that does not exist."""

import re
from pathlib import Path

import pytest

from genai_operator.api.options_spec import NOT_LABELS
from genai_operator.status.causes import CRASHES
from genai_operator.status.observed import PodOptionsState
from genai_operator.status.reasons import LAST_WORDS, ConditionType, Reason

DOCS = Path(__file__).parents[3] / "docs"
STATUS = (DOCS / "status.md").read_text()
OPTIONS = (DOCS / "runtime-options.md").read_text()


def rows(text: str) -> set[str]:
    """The names in the first cell of each row of the tables."""
    return set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))


def test_every_reason_is_explained_and_every_explained_one_exists() -> None:
    assert rows(STATUS.split("## Reasons")[1]) == {reason.value for reason in Reason}


def test_every_condition_is_explained() -> None:
    assert rows(STATUS.split("## Conditions")[1].split("## Reasons")[0]) == {kind.value for kind in ConditionType}


def test_every_state_of_a_pod_is_explained() -> None:
    assert rows(OPTIONS) >= {state.value for state in PodOptionsState}


@pytest.mark.parametrize("word", NOT_LABELS)
def test_every_word_that_is_no_label_is_named(word: str) -> None:
    assert f"`{word}`" in OPTIONS


def test_what_a_pod_says_with_its_last_words_is_a_crash() -> None:
    assert set(LAST_WORDS) <= set(CRASHES)
