"""Which tools a chat completion shows to the model, whether it must call one, and what its answer must match."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genai_runtime.errors import InvalidRequest
from genai_runtime.front.http.openai_requests import ChatCompletionRequest, NamedTool, Tool
from genai_runtime.front.served_model import ServedModel
from genai_runtime.front.tool_calls import ToolCallReader, ToolFormat
from genai_runtime.generation import Guidance


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """What becomes of the tools. `format` None: the answer is read as text alone."""

    tools: Sequence[Mapping[str, Any]] = ()
    names: frozenset[str] = frozenset()
    format: ToolFormat | None = None
    guidance: Guidance | None = None
    finish: str = "tool_calls"
    parallel: bool = True

    def reader(self) -> ToolCallReader | None:
        """For one choice."""
        return None if self.format is None else ToolCallReader(self.format, self.names)


def plan_tools(request: ChatCompletionRequest, model: ServedModel) -> ToolPlan:
    """Raises `InvalidRequest` for what this model, or this server, cannot do."""
    guidance = request.guidance()
    choice = request.tool_choice
    if not request.tools:
        if choice not in (None, "none"):
            raise InvalidRequest("tool_choice", "is set, but there are no tools")
        return ToolPlan(guidance=guidance)
    if choice == "none":
        return ToolPlan(guidance=guidance)
    if guidance is not None:
        raise InvalidRequest("response_format", "cannot be used together with tools; set tool_choice to none")
    names = [tool.function.name for tool in request.tools]
    if len(set(names)) != len(names):
        raise InvalidRequest("tools", "has two functions of one name")
    shown = [tool.model_dump(exclude_none=True) for tool in request.tools]
    if choice in (None, "auto"):
        return ToolPlan(shown, frozenset(names), _format_of(model), parallel=request.parallel_tool_calls)
    callable_ = _named(request.tools, choice.function.name) if isinstance(choice, NamedTool) else request.tools
    finish = "stop" if isinstance(choice, NamedTool) else "tool_calls"  # as OpenAI does
    return ToolPlan(shown, frozenset(names), ToolFormat.BARE, _one_call(callable_), finish)


def _named(tools: Sequence[Tool], name: str) -> list[Tool]:
    found = [tool for tool in tools if tool.function.name == name]
    if not found:
        raise InvalidRequest("tool_choice", f"names {name[:64]!r}, which is not among the tools")
    return found


def _format_of(model: ServedModel) -> ToolFormat:
    source = model.template.source if model.template is not None else ""
    found = ToolFormat.of_template(source)
    if found is None and model.template is not None and model.template.knows_tools:
        raise InvalidRequest(
            "tool_choice", "auto cannot be used: this model writes its calls in a form that is not known here; "
            "use required, or name a function"
        )  # fmt: skip
    return found or ToolFormat.MARKED  # a template that knows no tools refuses them itself


def _one_call(tools: Sequence[Tool]) -> Guidance:
    """A schema of exactly one call of one of the tools; the order of its keys is what the reader expects."""
    definitions: dict[str, Any] = {}
    calls = []
    for tool in tools:
        parameters = dict(tool.function.parameters or {"type": "object", "properties": {}})
        for key in ("$defs", "definitions"):  # references count from the root
            definitions.setdefault(key, {}).update(parameters.pop(key, {}))
        properties = {"name": {"const": tool.function.name}, "arguments": parameters}
        calls.append(
            {
                "type": "object",
                "properties": properties,
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return Guidance("json_schema", json.dumps({**schema, **{key: kept for key, kept in definitions.items() if kept}}))
