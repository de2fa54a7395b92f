"""Command-line options that several commands share, and how they are bundled. What they mean is `session.py`'s.

typer takes one parameter an option; here a command takes one dataclass for several: `grouped` spreads it out.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True)
class Common:
    """What every command that speaks to a cluster takes."""

    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Namespace; the context's if left out.", show_default=False)
    ] = ""
    context: Annotated[str, typer.Option(help="Context of the kubeconfig.", show_default=False)] = ""
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Kubeconfig file; KUBECONFIG or ~/.kube/config if left out.", show_default=False)
    ] = None
    output: Annotated[Format, typer.Option("--output", "-o", help="How the result is printed.")] = Format.TABLE


Timeout = Annotated[str, typer.Option(help="How long to wait, for example 30s or 2m. Exit code 5 when it is over.")]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="The GenAIModel.", show_default=False)]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every parameter that is a dataclass spread into one option a field."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            parameters += _options(kind)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def spread(**given: Any) -> None:
        bundles = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)}) for name, kind in groups.items()
        }
        command(**given, **bundles)

    del spread.__wrapped__  # its signature is not this one's
    spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread.__annotations__ = {each.name: each.annotation for each in parameters}
    return spread


def _options(kind: type) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]
