"""Kubernetes quantities: `100m`, `2`, `512Mi`: parsing, and the type that fields use. No field's meaning."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

MAX_LENGTH = 32

# Number and suffix; `1e3` and `1E3` are exponents, a lone `E` is exa.
_FORM = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<suffix>[eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?")

_FACTORS = {
    **{
        suffix: Decimal(10) ** power
        for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
    },
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
    "": Decimal(1),
}


def parse_quantity(text: str) -> Decimal:
    """The value of a quantity that is not negative.

    Raises:
        ValueError: the text is not a quantity.
    """
    form = _FORM.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if form is None:
        raise ValueError("is not a quantity such as 500m, 2 or 512Mi")
    number, suffix = Decimal(form["number"]), form["suffix"] or ""
    if suffix not in _FACTORS:
        return number * Decimal(10) ** int(suffix[1:])
    return number * _FACTORS[suffix]


def _read(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("is not a quantity such as 500m, 2 or 512Mi")  # noqa: TRY004 (pydantic reports ValueError)
    text = str(value)
    parse_quantity(text)
    return text


# The API server keeps what was written, a number or a text; we keep the text.
Quantity = Annotated[
    str,
    BeforeValidator(_read),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": MAX_LENGTH,
            "pattern": r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?$",
        }
    ),
]
