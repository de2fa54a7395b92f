"""What a request gets that does not say: the settings (spec.generation) over the model's own genai_config.json."""

import json
from pathlib import Path
from typing import Any

from genai_runtime.errors import ModelUnusable
from genai_runtime.front.validation import Limits
from genai_runtime.generation import Sampling
from genai_runtime.settings import Settings


def read_limits(folder: Path, settings: Settings) -> Limits:
    """Raises `ModelUnusable` when genai_config.json cannot be read."""
    path = folder / "genai_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        search = config.get("search") or {}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelUnusable("ModelInvalid", f"{path} cannot be read: {error}") from error
    return Limits(
        settings.default_max_tokens,
        settings.limit_max_tokens,
        settings.limit_prompt_tokens,
        _sampling(search, settings),
        settings.limit_guidance_bytes,
    )


def _sampling(search: dict[str, Any], settings: Settings) -> Sampling:
    """do_sample false in the model's file means greedy, whatever temperature stands beside it."""
    own = Sampling(
        temperature=_within(search.get("temperature", 1.0), 0.0, 2.0, 1.0) if search.get("do_sample") else 0.0,
        top_k=int(_within(search.get("top_k", 0), 0, 2**31 - 1, 0)),
        top_p=_within(search.get("top_p", 1.0), 1e-6, 1.0, 1.0),
        repetition_penalty=_within(search.get("repetition_penalty", 1.0), 1e-6, 2.0, 1.0),
    )
    return Sampling(
        temperature=own.temperature if settings.temperature is None else settings.temperature,
        top_k=own.top_k if settings.top_k is None else settings.top_k,
        top_p=own.top_p if settings.top_p is None else settings.top_p,
        repetition_penalty=own.repetition_penalty
        if settings.repetition_penalty is None
        else settings.repetition_penalty,
    )


def _within(value: Any, low: float, high: float, neutral: float) -> float:
    """A value that this server does not offer becomes the one that is off."""
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    return float(value) if usable else neutral
