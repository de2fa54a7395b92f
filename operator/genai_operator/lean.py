"""Keeps the process small and without pauses: called once each, at the start. No behaviour depends on it.

`import kubernetes.aio` runs the package's own `__init__`, which imports the whole synchronous client, and kopf imports
that as well if it finds it. Nobody here uses it, and it is a tenth of the process.
"""

import ctypes
import gc
import importlib.util
import sys
from importlib.machinery import ModuleSpec

# mallopt(3). Large pieces are mapped one by one and so given back: listings and TLS buffers leave no holes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KIB = 1024
# Python's own are (700, 10, 10). What it gains, with uvloop: docs/decisions/0002.
_COLLECT_AFTER = (5000, 20, 20)


def keep_lean() -> None:
    """Does nothing where it cannot: after the import, or with another C library."""
    _skip_synchronous_client()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_TRIM_THRESHOLD, 64 * _KIB), (_MMAP_THRESHOLD, 64 * _KIB), (_ARENA_MAX, 1)):
            mallopt(option, value)


def spare_collector() -> None:
    """Called once after all imports: what they made stays, and looking through it again would be a pause each time.

    And it looks less often: every event makes a few hundred objects, hardly any of them in cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _skip_synchronous_client() -> None:
    if "kubernetes" in sys.modules:
        return
    found = importlib.util.find_spec("kubernetes")
    if found is None or found.submodule_search_locations is None:
        return
    package = importlib.util.module_from_spec(ModuleSpec("kubernetes", None, is_package=True))
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["kubernetes"] = package
    # kopf takes an ImportError for "not installed".
    sys.modules["kubernetes.client"] = None  # type: ignore[assignment]  # how Python spells "do not import"
