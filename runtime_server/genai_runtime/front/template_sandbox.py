"""Where chat templates run: jinja2's sandbox by the conventions of Hugging Face, with bounds on time, steps and memory.

A template comes with the model and is code. What is rendered, and who wrote which part of it, is `chat.py`.
"""

import functools
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from genai_runtime.errors import ModelUnusable
from genai_runtime.models.defects import Code, Defect

# Characters of a text, items of a list, and the largest whole number that a template may hand to a function.
_LARGEST = 2**24
_LONGEST_POWER = 4096  # bits
_UNBOUNDED = frozenset({"translate", "expandtabs"})
# In a format: numbers, and places whose width is an argument.
_DIGITS = re.compile(r"[0-9]+")
_GIVEN_WIDTH = re.compile(r"\*|\{[^{}]*\{")


class TemplateRefusal(Exception):
    """The template called raise_exception: it does not take this conversation."""


class TemplateLimit(Exception):
    """The template went beyond a bound. `steps` alone may be less of a problem with another budget."""


@dataclass(slots=True)
class Budget:
    """What one rendering may use: turns of loops and calls of macros, and seconds."""

    steps: int
    seconds: float

    def start(self) -> "_Spending":
        """Time runs from now."""
        return _Spending(self.steps, time.monotonic() + self.seconds, self.seconds)


@dataclass(slots=True)
class _Spending:
    steps: int
    until: float
    seconds: float

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise TemplateLimit("it loops too often")
        if time.monotonic() > self.until:
            raise TemplateLimit(f"it did not end within {self.seconds:g} s")


class SandboxedTemplate:
    """A compiled template. Safe to use from several threads."""

    def __init__(self, source: str) -> None:
        """Raises `ModelUnusable` when the template does not compile."""
        self._environment = _BoundedEnvironment()
        try:
            asked = meta.find_undeclared_variables(self._environment.parse(source))
            self.variables = frozenset(asked - self._environment.globals.keys())
            self._template: Template = self._environment.from_string(source)
        except Exception as error:  # of jinja2, and of Python's compiler, which has limits of its own
            defect = Defect(Code.TEMPLATE_INVALID, f"the model's chat template does not compile: {error}")
            raise ModelUnusable("ModelInvalid", defect.message) from error

    def render(self, variables: Mapping[str, Any], budget: Budget) -> str:
        """Raises `TemplateRefusal`, `TemplateLimit`, or whatever the template's own mistakes raise."""
        spending = self._environment.spend(budget)
        pieces: list[str] = []
        length = 0
        for piece in self._template.generate(variables):
            spending.step()
            length += len(piece)
            if length > _LARGEST:
                raise TemplateLimit(f"it writes more than {_LARGEST} characters")
            pieces.append(piece)
        return "".join(pieces)


class _BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Counts every turn of a loop and every call of a macro, and measures what is made in one go."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        extensions: list[str | type[Extension]] = [loopcontrols, _GenerationBlock]
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
        self._running = threading.local()
        self.filters = {name: _measured(function) for name, function in self.filters.items()}
        self.filters["tojson"] = _to_json
        self.filters["format"] = _format_filter(self.filters["format"])
        self.filters["join"] = _join_filter(self.filters["join"])
        self.filters["replace"] = _replace_filter(self.filters["replace"])
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now

    def spend(self, budget: Budget) -> _Spending:
        """The budget of the rendering that begins on this thread."""
        spending: _Spending = budget.start()
        self._running.spending = spending
        return spending

    def step(self) -> str:
        """Called by the template at each turn of a loop."""
        self._running.spending.step()
        return ""

    def concatenate(self, *parts: Any) -> str:
        """The operator `~`."""
        return str(_measure("".join(map(str, parts))))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The operators above."""
        if operator == "*":
            _check_repetition(left, right)
            _check_repetition(right, left)
        if operator == "%" and isinstance(left, str):
            _check_format(left, right if isinstance(right, tuple) else (right,), {})
        numbers = isinstance(left, int) and isinstance(right, int)
        if operator == "**" and numbers and left.bit_length() * right > _LONGEST_POWER:
            raise TemplateLimit("it computes too large a number")
        return _measure(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as in jinja2
        """Every call that a template makes."""
        _check_numbers(args, kwargs)
        text = getattr(__obj, "__self__", None)
        if isinstance(text, str):
            args = _checked_arguments(__obj.__name__, text, args)
        return _measure(super().call(__context, __obj, *args, **kwargs))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Not the methods of a text whose result has no bound that is seen before."""
        unbounded = isinstance(obj, str) and attr in _UNBOUNDED
        return not unbounded and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """The methods `format` and `format_map` of a text."""
        wrapped: Callable[..., str] | None = super().wrap_str_format(value)
        return None if wrapped is None else functools.partial(_formatted, wrapped, value.__self__)

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        return super()._generate(_Counting().visit(source), name, filename, defer_init)


class _Counting(NodeTransformer):
    """Puts `step` into every loop and macro, and `concatenate` in place of `~`."""

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """The node that stands in this one's place."""
        if isinstance(node, (nodes.For, nodes.Macro, nodes.CallBlock)):
            return self._counted(node)
        if isinstance(node, nodes.Concat):
            return self._concatenated(node)
        return super().visit(node, *args, **kwargs)

    def _counted(self, node: nodes.For | nodes.Macro | nodes.CallBlock) -> nodes.Node:
        self.generic_visit(node)
        step = nodes.Call(nodes.EnvironmentAttribute("step"), [], [], None, None)
        node.body.insert(0, nodes.ExprStmt(step).set_lineno(node.lineno))
        return node

    def _concatenated(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        function = nodes.EnvironmentAttribute("concatenate")
        return nodes.Call(function, node.nodes, [], None, None, lineno=node.lineno)


class _GenerationBlock(Extension):
    """`{% generation %}` marks the model's own words for training; here it is nothing but its content."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The block's body."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _measured(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)  # keeps jinja2's marks on the function as well
    def measured(*args: Any, **kwargs: Any) -> Any:
        _check_numbers(args, kwargs)
        return _measure(function(*args, **kwargs))

    return measured


def _measure(value: Any) -> Any:
    if isinstance(value, (str, list, tuple)) and len(value) > _LARGEST:
        raise TemplateLimit(f"it makes a value of more than {_LARGEST} characters or items")
    return value


def _check_numbers(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if any(type(value) is int and abs(value) > _LARGEST for value in (*args, *kwargs.values())):
        raise TemplateLimit(f"it calls a function with a number beyond {_LARGEST}")


def _check_repetition(value: Any, times: Any) -> None:
    if isinstance(value, (str, list, tuple)) and isinstance(times, int) and len(value) * times > _LARGEST:
        raise TemplateLimit(f"it makes a value of more than {_LARGEST} characters or items")


def _checked_arguments(method: str, text: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of a text's method, once it is known that its result is not too long."""
    if method == "replace" and len(args) > 1:
        _check_replace(text, args[0], args[1])
    elif method == "join" and args:
        return (_bounded_items(args[0], len(text)), *args[1:])
    return args


def _check_replace(text: str, old: Any, new: Any) -> None:
    if len(text) + (text.count(str(old)) + 1) * len(str(new)) > 2 * _LARGEST:
        raise TemplateLimit(f"it makes a value of more than {_LARGEST} characters or items")


def _bounded_items(items: Any, separator: int) -> list[Any]:
    taken: list[Any] = []
    length = 0
    for item in items:
        length += separator + (len(item) if isinstance(item, str) else 1)
        if length > _LARGEST:
            raise TemplateLimit(f"it makes a value of more than {_LARGEST} characters or items")
        taken.append(item)
    return taken


def _join_filter(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def bounded(context: Any, value: Any, d: str = "", attribute: str | int | None = None) -> Any:
        return function(context, _bounded_items(value, len(str(d))), d, attribute)

    return bounded


def _replace_filter(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def bounded(context: Any, text: Any, old: str, new: str, count: int | None = None) -> Any:
        _check_replace(str(text), old, new)
        return function(context, text, old, new, count)

    return bounded


def _format_filter(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def bounded(text: str, *args: Any, **kwargs: Any) -> Any:
        _check_format(str(text), args, kwargs)
        return function(text, *args, **kwargs)

    return bounded


def _formatted(function: Callable[..., str], text: str, *args: Any, **kwargs: Any) -> str:
    _check_format(text, args, kwargs)
    return function(*args, **kwargs)


def _check_format(text: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Widths are made at once, however large: those in the text, and those that an argument gives."""
    given = [abs(value) for value in (*args, *kwargs.values()) if isinstance(value, int)]
    widths = sum(int(digits[:10]) for digits in _DIGITS.findall(text))
    widths += len(_GIVEN_WIDTH.findall(text)) * max(given, default=0)
    if widths > _LARGEST:
        raise TemplateLimit(f"it makes a value of more than {_LARGEST} characters or items")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike jinja2's own filter, escapes nothing for HTML."""
    _check_numbers((indent,), {})
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return str(_measure(text))


def _raise_exception(message: object) -> NoReturn:
    raise TemplateRefusal(str(message))


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
