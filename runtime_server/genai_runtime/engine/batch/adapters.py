"""Which LoRA adapters there are: loading and unloading them between runs, while requests go on.

One that requests use stays until they have ended, and takes no new ones. How an adapter gets into a run is `graph.py`'s
and `runs.py`'s.
"""

from collections.abc import Callable, Set
from pathlib import Path
from typing import Protocol

from genai_runtime.engine.protocol import AdapterState
from genai_runtime.errors import ModelUnusable
from genai_runtime.models.adapter_file import SUFFIX, NotAnAdapter, replaced_weights
from genai_runtime.models.defects import shown


class Holder(Protocol):
    """What holds the weights."""

    def add_adapter(self, name: str, path: Path) -> None:
        """Raises `ModelUnusable`."""
        ...

    def remove_adapter(self, name: str) -> None:
        """Free it; nothing uses it."""
        ...


class Adapters:
    """By name. Not during a run. `states` is another tuple after a change."""

    def __init__(self, holder: Holder, loaded: dict[str, Path], forget: Callable[[str], None]) -> None:
        """`loaded` are there already. `forget` is told of one before it is unloaded."""
        self._holder, self._forget = holder, forget
        self._loaded, self._wanted = dict(loaded), dict(loaded)
        self._rejected: dict[str, str] = {}
        self.states = self._told()

    @property
    def usable(self) -> list[str]:
        """Names that a new request may use."""
        return sorted(name for name, path in self._loaded.items() if self._wanted.get(name) == path)

    @property
    def waiting(self) -> bool:
        """Whether one is to be unloaded when its last request has ended."""
        return len(self.usable) < len(self._loaded)

    def want(self, wanted: dict[str, Path], in_use: Set[str]) -> None:
        """Have these and no others; what was rejected is tried again."""
        self._wanted = dict(wanted)
        self._rejected.clear()
        self.settle(in_use)

    def settle(self, in_use: Set[str]) -> None:
        """Unload what is not wanted and not `in_use`; load what is wanted and not there."""
        for name in [name for name in self._loaded if name not in self.usable and name not in in_use]:
            self._forget(name)
            self._holder.remove_adapter(name)
            del self._loaded[name]
        for name, path in self._wanted.items():
            if name not in self._loaded and name not in self._rejected:
                self._load(name, path)
        self.states = self._told()

    def _load(self, name: str, path: Path) -> None:
        try:
            self._holder.add_adapter(name, adapter_file(path))
        except ModelUnusable as error:
            self._rejected[name] = error.message
        else:
            self._loaded[name] = path

    def _told(self) -> tuple[AdapterState, ...]:
        usable = self.usable
        loaded = [AdapterState(name, "loaded" if name in usable else "unloading") for name in sorted(self._loaded)]
        return (*loaded, *(AdapterState(name, "rejected", why) for name, why in sorted(self._rejected.items())))


def adapter_file(path: Path) -> Path:
    """The file itself, or the one in the folder. Raises `ModelUnusable`."""
    if path.is_file():
        return path
    found = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else []
    if len(found) == 1:
        return found[0]
    what = f"holds {len(found)} files *{SUFFIX}" if path.is_dir() else "does not exist"
    raise ModelUnusable("ModelNotFound", f"the adapter {path} {what}; name one such file, or a folder that holds one")


def misfit(adapter: Path, replaceable: Set[str]) -> str:
    """Why the graph cannot take an adapter; empty where it may. Any input could be replaced, also those of requests."""
    if not replaceable:
        return "its graph has no weights that are inputs as well"
    try:
        foreign = sorted(replaced_weights(adapter) - replaceable)
    except NotAnAdapter as error:
        return f"{adapter.name} {error}"
    except OSError as error:
        return f"{adapter.name} cannot be read: {error.strerror}"
    return f"it replaces {shown(foreign[0])}, which is none of the graph's weights for adapters" if foreign else ""
