"""kopf's state keeping, switched off: for every event it would copy the whole object to find out what changed.

Only stateful handlers need that, and there are none. If one slips in, the first write fails instead of leaving kopf's
annotations in users' objects.
"""

from typing import Any, NoReturn

import kopf


class StatefulHandler(RuntimeError):
    """kopf was asked to keep state in an object: somebody registered another handler than `on.event`."""

    def __init__(self) -> None:
        super().__init__("kopf wants to keep its state in an object; register low-level event handlers only")


class NoDiffBase(kopf.DiffBaseStorage):
    """No object has ever been handled, and there is nothing to compare."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing of the object."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing is kept."""
        return None

    def store(self, **_: Any) -> NoReturn:
        """Refuses."""
        raise StatefulHandler


class NoProgress(kopf.ProgressStorage):
    """No handler has progress to keep."""

    def fetch(self, **_: Any) -> None:
        """Nothing is kept."""

    def store(self, **_: Any) -> NoReturn:
        """Refuses."""
        raise StatefulHandler

    def purge(self, **_: Any) -> None:
        """There is nothing to remove."""

    def touch(self, **_: Any) -> NoReturn:
        """Refuses."""
        raise StatefulHandler

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """As it is: there is nothing of ours in it."""
        return essence
