"""The model that is served, as the front sees it: its name, how its text is read and written, its defaults.

No ONNX Runtime: what the engine loaded comes as `ModelInfo`.
"""

import asyncio
from dataclasses import dataclass

from genai_runtime.engine.protocol import ModelInfo
from genai_runtime.errors import InvalidRequest
from genai_runtime.front import validation
from genai_runtime.front.chat import ChatTemplate
from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.front.validation import Call, Limits
from genai_runtime.generation import GenerationRequest

# Longer texts are tokenized in a thread, so that they hold up nobody else's stream.
_INLINE_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Immutable after the load."""

    name: str
    info: ModelInfo
    tokenizer: TextTokenizer
    template: ChatTemplate | None
    limits: Limits

    async def prepare(self, call: Call, request_id: str) -> GenerationRequest:
        """Everything that can be refused is refused here. Raises `InvalidRequest` and `ModelNotFound`."""
        validation.check_model(call.model, self.name)
        validation.check_input(call)
        sampling = validation.resolve_sampling(call.options, self.limits, self.info)
        field, prompt = await self._encode(call)
        validation.check_prompt(field, prompt, self.info)
        max_tokens = validation.resolve_max_tokens(call.options.max_tokens, len(prompt), self.limits, self.info)
        return GenerationRequest(request_id, prompt, max_tokens, sampling)

    async def _encode(self, call: Call) -> tuple[str, list[int]]:
        """The name of the field that holds the input, and the prompt's ids."""
        if call.messages is not None:
            if self.template is None:
                raise InvalidRequest("messages", f"model {self.name!r} has no chat template; use Generate")
            template, messages = self.template, call.messages
            length = sum(len(message.content) for message in messages)
            self._check_length("messages", length)
            if length + 16 * len(messages) <= _INLINE_CHARACTERS:
                return "messages", template.encode(messages, self.tokenizer)
            return "messages", await asyncio.to_thread(template.encode, messages, self.tokenizer)
        if call.text is not None:
            self._check_length("prompt", len(call.text))
            if len(call.text) <= _INLINE_CHARACTERS:
                return "prompt", self.tokenizer.encode(call.text)
            return "prompt", await asyncio.to_thread(self.tokenizer.encode, call.text)
        return "token_ids", list(call.ids or ())

    def _check_length(self, field: str, length: int) -> None:
        validation.check_text_length(field, length, self.tokenizer.longest_token, self.info)
