"""Where a model is: `builtin://NAME` or `pvc://CLAIM/PATH`. The forms and their parsing; mounting is the builders'."""

import re
from dataclasses import dataclass

MAX_LENGTH = 512

_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_CLAIM = rf"{_LABEL}(\.{_LABEL})*"
# No segment starts with a dot: neither `..` nor a hidden folder can be named. The length is bounded by MAX_LENGTH:
# RE2 refuses large counted repetitions.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]*"
_PATH = rf"(/{_SEGMENT})+"
# A path inside a model's folder.
RELATIVE_PATTERN = rf"^{_SEGMENT}(/{_SEGMENT})*$"

# One regular expression in the syntax that Python and the API server (RE2) share.
PATTERN = f"^(builtin://{_NAME}|pvc://{_CLAIM}{_PATH})$"
EXPLANATION = (
    "must be builtin://NAME (a model inside the runtime image) or pvc://CLAIM/PATH (a folder of a "
    "PersistentVolumeClaim; path segments of letters, digits and _.@+=- that do not start with a dot)"
)


@dataclass(frozen=True, slots=True)
class BuiltinModel:
    """A model inside the runtime image."""

    name: str


@dataclass(frozen=True, slots=True)
class ClaimModel:
    """A folder of a PersistentVolumeClaim in the model's namespace; `path` is relative and has no `..`."""

    claim: str
    path: str


def parse_model_uri(uri: str) -> BuiltinModel | ClaimModel:
    """What a URI names.

    Raises:
        ValueError: the URI has neither form.
    """
    # fullmatch: in Python `$` also matches before a final line break.
    if len(uri) > MAX_LENGTH or re.fullmatch(PATTERN.removeprefix("^").removesuffix("$"), uri) is None:
        raise ValueError(EXPLANATION)
    scheme, rest = uri.split("://", 1)
    if scheme == "builtin":
        return BuiltinModel(rest)
    claim, path = rest.split("/", 1)
    return ClaimModel(claim, path)
