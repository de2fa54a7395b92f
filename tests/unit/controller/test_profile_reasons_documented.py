"""docs/profiles.md has every phase, condition and reason of a GenAIProfile, and none that does not exist."""

import re
from pathlib import Path
from typing import get_args

from genai_operator.api.profile_status import Phase, WindowState
from genai_operator.status.profile_reasons import ProfileCondition, ProfileReason

PAGE = (Path(__file__).parents[3] / "docs" / "profiles.md").read_text()


def rows(text: str) -> set[str]:
    """The names in the first cell of each row of the tables."""
    return set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))


def test_every_reason_is_explained_and_every_explained_one_exists() -> None:
    assert rows(PAGE.split("### Reasons")[1]) == {reason.value for reason in ProfileReason}


def test_every_phase_and_condition_is_explained() -> None:
    told = rows(PAGE.split("## Read the status")[1].split("### Reasons")[0])
    assert told == {*get_args(Phase), *(kind.value for kind in ProfileCondition)}


def test_every_state_of_a_pods_window_is_named() -> None:
    assert all(f"`{state}`" in PAGE for state in get_args(WindowState))
