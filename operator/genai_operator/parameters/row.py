"""What is said about one parameter. The parameters themselves are in the modules beside this one."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

# The value in a GenAIModel of what another server's configuration says. Raises ValueError, or Already.
Reader = Callable[[str], object]


class State(StrEnum):
    """How far the effect was seen."""

    WORKS = "works"
    NVIDIA_GPU = "not run on a GPU yet"
    RENDERED = "handed to the provider"
    UNSUPPORTED = "unsupported"


class Already(Exception):
    """The value asks for what is so in any case; the message says how."""


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter.

    Either `field`, a path in the spec of a GenAIModel, or `home`, what there is instead of a field; or neither, and
    `words` are the reason. With a home `words` say what is different there, if anything. `test` is where the effect is
    seen: FILE::FUNCTION, the file relative to tests/.
    """

    key: str
    test: str
    field: str = ""
    home: str = ""
    words: str = ""
    state: State = State.WORKS
    read: Reader | None = None
    # What a user must see to when the value was carried over.
    check: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Parameters that are written in one place. `name` is what `convert` calls that place."""

    name: str
    title: str
    introduction: str
    rows: tuple[Row, ...]


def unsupported(key: str, reason: str, test: str) -> Row:
    """A parameter without a home, and why."""
    return Row(key=key, test=test, words=reason, state=State.UNSUPPORTED)
