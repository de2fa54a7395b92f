"""Options by name and loosely typed value, as Open Inference Protocol requests carry them: to `Options`. Pure.

KServe's protocol has no fractions, so numbers may come as text; a list comes as JSON text.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genai_protocol.oip import inference_pb2 as oip
from genai_runtime.errors import InvalidRequest
from genai_runtime.front.validation import Options
from genai_runtime.generation import Guidance

_MOST_SEED = 2**64 - 1
_LEVELS = 9  # Triton's priorities: 1 first; 0 is the default, which is the middle one


@dataclass(frozen=True, slots=True)
class Parameters:
    """`stream`: None where not said. `timeout`: seconds, None for none."""

    options: Options
    stream: bool | None = None
    timeout: float | None = None


def read_parameters(given: Mapping[str, oip.InferParameter], sampling_parameters: str | None) -> Parameters:
    """`sampling_parameters`: more of them as a JSON object. Raises `InvalidRequest` that names the parameter."""
    values = _from_json(sampling_parameters) if sampling_parameters is not None else {}
    for name, parameter in given.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest(f"parameters.{name[:100]}", "has no value")
        values[name] = getattr(parameter, choice)
    return parameters_of(values)


def parameters_of(values: Mapping[str, Any]) -> Parameters:
    """From plain values by name. Raises `InvalidRequest` that names the parameter."""
    options: dict[str, Any] = {}
    controls: dict[str, Any] = {}
    for name, value in sorted(values.items()):  # a protobuf map has no order, and what is refused first should
        if name in _OPTIONS:
            options[name] = _OPTIONS[name](name, value)
        elif name in _GUIDANCE:
            options["guidance"] = _guidance(name, value, taken="guidance" in options)
        elif name in _CONTROLS:
            controls[name] = _CONTROLS[name](name, value)
        else:
            known = ", ".join([*_OPTIONS, *_GUIDANCE, *(name for name in _CONTROLS if name != _FINAL)])
            raise _wrong(name, f"is not known here; known are {known}")
    return Parameters(Options(**options), controls.get("stream"), controls.get("timeout"))


def _wrong(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"parameters.{name[:100]}", message)


def _from_json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("inputs['sampling_parameters']", f"is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidRequest("inputs['sampling_parameters']", "must be a JSON object")
    return found


def _whole(name: str, value: Any) -> int:
    number = _fraction(name, value)
    if not math.isfinite(number) or number != int(number):
        raise _wrong(name, f"is {value!r:.40}; it must be a whole number")
    return value if isinstance(value, int) else int(number)


def _not_negative(name: str, value: Any) -> int:
    number = _whole(name, value)
    if not 0 <= number <= _MOST_SEED:
        raise _wrong(name, f"is {number}; it must be 0 to {_MOST_SEED}")
    return number


def _fraction(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _wrong(name, f"is {value!r:.40}; it must be a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise _wrong(name, f"is {value!r:.40}; it must be a number") from None


def _flag(name: str, value: Any) -> bool:
    found = {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise _wrong(name, f"is {value!r:.40}; it must be true or false")
    return found


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(name, f"is {value!r:.40}; it must be text")
    return value


def _json(name: str, value: Any, example: str) -> Any:
    """A value of JSON, or the text of one."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise _wrong(name, f"is not JSON such as {example}") from None


def _texts(name: str, value: Any) -> list[str]:
    """One text, or a JSON list of them (which begins with `["`)."""
    if isinstance(value, str) and not value.lstrip().startswith('["'):
        return [value]
    found = _json(name, value, '["one", "two"]')
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise _wrong(name, 'must be one text, or a list such as ["one", "two"]')
    return found


def _ids(name: str, value: Any) -> list[int]:
    found = _json(name, value, "[1, 2]")
    return [_not_negative(name, id_) for id_ in (found if isinstance(found, list) else [found])]


def _bias(name: str, value: Any) -> dict[int, float]:
    found = _json(name, value, '{"17": -1.5}')
    if not isinstance(found, dict):
        raise _wrong(name, 'must be an object of token ids such as {"17": -1.5}')
    return {_not_negative(name, id_): _fraction(name, bias) for id_, bias in found.items()}


def _logprobs(name: str, value: Any) -> int | None:
    """A tensor has one number a token, so there are no alternatives."""
    if isinstance(value, bool):
        return 0 if value else None
    if _not_negative(name, value) > 0:
        raise _wrong(name, f"is {value}; here it may be true or 0 (the tokens' own): alternatives are in genai.v1")
    return 0


def _priority(name: str, value: Any) -> int:
    level = _not_negative(name, value)
    if level > _LEVELS:
        raise _wrong(name, f"is {level}; it must be 0 (the default) or 1 (first) to {_LEVELS}")
    return (_LEVELS + 1) // 2 - level if level else 0


def _guidance(name: str, value: Any, *, taken: bool) -> Guidance | None:
    if taken:
        raise _wrong(name, f"cannot be combined with another of {', '.join(_GUIDANCE)}")
    if name == "json_object":
        return Guidance("json_object") if _flag(name, value) else None
    if name == "json_schema" and isinstance(value, dict):
        value = json.dumps(value)
    return Guidance(_GUIDANCE[name], _text(name, value))


def _seconds(name: str, value: Any) -> float | None:
    """Triton counts microseconds, and 0 is none."""
    return _not_negative(name, value) / 1e6 or None


def _refused(name: str, _: Any) -> None:
    raise _wrong(name, "is not offered: requests of a text model have no state that outlives them")


_FINAL = "triton_enable_empty_final_response"
_OPTIONS: dict[str, Callable[[str, Any], Any]] = {
    "max_tokens": _whole,
    "temperature": _fraction,
    "top_k": _whole,
    "top_p": _fraction,
    "min_p": _fraction,
    "repetition_penalty": _fraction,
    "presence_penalty": _fraction,
    "frequency_penalty": _fraction,
    "seed": _not_negative,
    "logit_bias": _bias,
    "stop": _texts,
    "stop_token_ids": _ids,
    "min_tokens": _whole,
    "ignore_eos": _flag,
    "n": _whole,
    "logprobs": _logprobs,
    "adapter": _text,
    "priority": _priority,
}
_GUIDANCE: dict[str, Any] = {
    "json_schema": "json_schema",
    "regex": "regex",
    "lark": "lark",
    "json_object": "json_object",
}
_CONTROLS: dict[str, Callable[[str, Any], Any]] = {
    "stream": _flag,
    "timeout": _seconds,
    "sequence_id": _refused,
    "sequence_start": _refused,
    "sequence_end": _refused,
    _FINAL: _flag,  # the last response of a stream is never empty here
}
