"""Variants of one model, such as other precisions: where each lies, how large it is, and what its weights lost.

What a variant lost is known where it was built: the builder leaves a record beside the cache's folders with the
perplexity of what it built and that of the same model in fp32. A variant that lost more than is permitted, or of which
that is not known, is measured and never recommended: a recommendation trades no quality for speed in silence.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

_RECORDS = "builds"  # beside the folder `models` of the cache
_MOST_RECORDS = 10_000
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Quality:
    """Perplexity on one text: of the variant, and of the same model in fp32."""

    perplexity: float
    reference: float

    @property
    def increase_percent(self) -> float:
        """How much worse the variant predicts; 0: as well as fp32."""
        return (self.perplexity / self.reference - 1) * 100


@dataclass(frozen=True, slots=True)
class Variant:
    """A model folder under a name. `quality` None: it is not known, and `unknown` says why."""

    name: str
    folder: Path
    size_bytes: int
    quality: Quality | None = None
    unknown: str = ""


def variant_of(name: str, folder: Path, size_bytes: int) -> Variant:
    """With what the builder's record says of the folder's content, if there is such a record."""
    quality, unknown = _recorded(folder.resolve())
    return Variant(name, folder.resolve(), size_bytes, quality, unknown)


def refusal(variant: Variant, most_percent: float) -> str:
    """Why the variant must not be recommended; empty where it may."""
    if variant.quality is None:
        return f"what it lost is not known: {variant.unknown}"
    lost = round(variant.quality.increase_percent, 2)  # as it is told
    if lost > most_percent:
        return f"its perplexity is {lost:g} % above fp32's; {most_percent:g} % is permitted"
    return ""


def refusals(variants: Sequence[Variant], most_percent: float) -> Mapping[str, str]:
    """By name, of those that must not be recommended."""
    return {each.name: why for each in variants if (why := refusal(each, most_percent))}


def _recorded(folder: Path) -> tuple[Quality | None, str]:
    """Of a folder of the cache, which has its content's digest for a name. The newest record of it counts."""
    unknown = "no build of it is recorded"
    paths = islice(folder.parent.parent.glob(f"{_RECORDS}/*.json"), _MOST_RECORDS)
    for path in sorted(paths, key=_changed, reverse=True):
        record = _read(path)
        if record.get("digest") != folder.name:
            continue
        said = record.get("quality")
        quality = _quality(said)
        if quality is not None:
            return quality, ""
        if isinstance(said, Mapping) and said.get("notMeasured"):
            unknown = str(said["notMeasured"])[:200]
    return None, unknown


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}  # of a builder that this one does not know, or half gone: nothing is known then
    return found if isinstance(found, dict) else {}


def _quality(said: object) -> Quality | None:
    if not isinstance(said, Mapping):
        return None
    found = [said.get(name) for name in ("perplexity", "referencePerplexity")]
    numbers = [float(each) for each in found if isinstance(each, int | float) and isfinite(each) and each > 0]
    return Quality(*numbers) if len(numbers) == len(found) else None
