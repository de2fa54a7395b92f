"""Every option of a request in its range, and refused where the loaded engine has no such thing.

Plain data in and out; the input is `validation.py`'s, what must match a grammar is `guidance_checks.py`'s.
"""

import math
from collections.abc import Mapping, Sequence

from genai_runtime.engine.protocol import ModelInfo
from genai_runtime.errors import InvalidRequest
from genai_runtime.front.tokenizer import check_characters
from genai_runtime.front.validation import Limits, Options, check_ids
from genai_runtime.generation import Sampling

# Below this a distribution is its maximum for any practical purpose, and its logits overflow.
_COLDEST = 1e-3
_MAX_STOPS, _MAX_STOP_LENGTH, _MAX_STOP_IDS = 16, 256, 64
_MAX_BIASES, _LARGEST_BIAS = 1024, 100.0
_MAX_LOGPROBS = 20
_PRIORITIES = range(-100, 101)
MOST_PRIORITY = _PRIORITIES[-1]
_SEEDS = 2**64
_RANGES = {
    "0 to 2": (True, 0.0, 2.0),
    "0 to 1": (True, 0.0, 1.0),
    "-2 to 2": (True, -2.0, 2.0),
    "above 0, to 1": (False, 0.0, 1.0),
    "above 0, to 2": (False, 0.0, 2.0),
}


def check_features(options: Options, info: ModelInfo) -> None:
    """Refuses what this engine cannot do, naming the option and the engine; an option at its neutral value is no use.

    The choice of engine is the server's, so the reason for it is told, too.
    """
    used = {
        "min_p": bool(options.min_p),
        "presence_penalty": bool(options.presence_penalty),
        "frequency_penalty": bool(options.frequency_penalty),
        "logit_bias": bool(options.logit_bias),
        "stop_token_ids": bool(options.stop_token_ids),
        "min_tokens": bool(options.min_tokens),
        "ignore_eos": options.ignore_eos,
        "logprobs": options.logprobs is not None,
        "guidance": options.guidance is not None,
    }
    for name, wanted in used.items():
        if wanted and name not in info.features:
            because = f" ({info.engine_reason})" if info.engine_reason else ""
            raise InvalidRequest(
                f"options.{name}", f"is not something that this model's engine {info.engine!r} can do{because}"
            )


def resolve_sampling(options: Options, limits: Limits, info: ModelInfo) -> Sampling:
    """The caller's options over the defaults, each in its range. Raises `InvalidRequest`."""
    default = limits.sampling
    if options.top_k is not None and not 0 <= options.top_k <= info.vocabulary_size:
        raise InvalidRequest(
            "options.top_k", f"is {options.top_k}; it must be 0 (off) to {info.vocabulary_size}, the vocabulary's size"
        )
    if options.seed is not None and not 0 <= options.seed < _SEEDS:
        raise InvalidRequest("options.seed", f"is {options.seed}; it must be 0 to {_SEEDS - 1}")
    temperature = _number("temperature", options.temperature, default.temperature, "0 to 2")
    return Sampling(
        temperature=temperature if temperature >= _COLDEST else 0.0,
        top_k=min(default.top_k, info.vocabulary_size) if options.top_k is None else options.top_k,
        top_p=_number("top_p", options.top_p, default.top_p, "above 0, to 1"),
        repetition_penalty=_number(
            "repetition_penalty", options.repetition_penalty, default.repetition_penalty, "above 0, to 2"
        ),
        seed=options.seed,
        min_p=_number("min_p", options.min_p, default.min_p, "0 to 1"),
        presence_penalty=_number("presence_penalty", options.presence_penalty, 0.0, "-2 to 2"),
        frequency_penalty=_number("frequency_penalty", options.frequency_penalty, 0.0, "-2 to 2"),
        logit_bias=_biases(options.logit_bias, info),
    )


def check_stops(stop: Sequence[str]) -> None:
    """Stop strings: few, short, none empty."""
    if len(stop) > _MAX_STOPS:
        raise InvalidRequest("options.stop", f"has {len(stop)} strings; {_MAX_STOPS} are allowed")
    for text in stop:
        if not 1 <= len(text) <= _MAX_STOP_LENGTH:
            raise InvalidRequest(
                "options.stop", f"has a string of {len(text)} characters; each has 1 to {_MAX_STOP_LENGTH}"
            )
        check_characters("options.stop", text)


def resolve_stop_ids(ids: Sequence[int], info: ModelInfo) -> list[int]:
    """Token ids that end an answer, each once."""
    if len(ids) > _MAX_STOP_IDS:
        raise InvalidRequest("options.stop_token_ids", f"has {len(ids)} ids; {_MAX_STOP_IDS} are allowed")
    check_ids("options.stop_token_ids", ids, info)
    return list(dict.fromkeys(ids))


def resolve_min_tokens(min_tokens: int | None, max_tokens: int) -> int:
    """0 for none; never more than what may come at all."""
    if min_tokens is None:
        return 0
    if not 0 <= min_tokens <= max_tokens:
        raise InvalidRequest("options.min_tokens", f"is {min_tokens}; it must be 0 to {max_tokens}, the most that fit")
    return min_tokens


def resolve_logprobs(logprobs: int | None) -> int:
    """Alternatives a token; -1 for no log-probabilities."""
    if logprobs is None:
        return -1
    if not 0 <= logprobs <= _MAX_LOGPROBS:
        raise InvalidRequest("options.logprobs", f"is {logprobs}; it must be 0 to {_MAX_LOGPROBS}")
    return logprobs


def check_priority(priority: int) -> int:
    """The priority itself."""
    if priority not in _PRIORITIES:
        raise InvalidRequest("options.priority", f"is {priority}; it must be {_PRIORITIES[0]} to {_PRIORITIES[-1]}")
    return priority


def _biases(biases: Mapping[int, float], info: ModelInfo) -> dict[int, float]:
    if len(biases) > _MAX_BIASES:
        raise InvalidRequest("options.logit_bias", f"has {len(biases)} entries; {_MAX_BIASES} are allowed")
    check_ids("options.logit_bias", list(biases), info)
    for id_, bias in biases.items():
        if not -_LARGEST_BIAS <= bias <= _LARGEST_BIAS:  # false for NaN, too
            raise InvalidRequest(
                "options.logit_bias", f"is {bias:g} for id {id_}; it must be {-_LARGEST_BIAS:g} to {_LARGEST_BIAS:g}"
            )
    return dict(biases)


def _number(name: str, value: float | None, default: float, allowed: str) -> float:
    if value is None:
        return default
    closed, low, high = _RANGES[allowed]
    if math.isnan(value) or value > high or value < low or (value == low and not closed):
        raise InvalidRequest(f"options.{name}", f"is {value:g}; it must be {allowed}")
    return value
