"""The model that is served, as the front sees it: its name, how its text is read and written, its defaults.

No ONNX Runtime: what the engine loaded comes as `ModelInfo`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from genai_runtime.engine.protocol import ModelInfo
from genai_runtime.errors import InvalidRequest
from genai_runtime.front import option_checks, validation
from genai_runtime.front.chat import ChatTemplate, Conversation
from genai_runtime.front.guidance_checks import check_guidance
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
        """Everything that can be refused is refused here, before anything waits.

        The request of the first choice; stop strings and further choices are the caller's. Raises `InvalidRequest`
        and `ModelNotFound`.
        """
        options = call.options
        adapter = validation.resolve_adapter(call.model, options.adapter, self.name, self.info.adapters)
        validation.check_input(call)
        option_checks.check_features(options, self.info)
        sampling = option_checks.resolve_sampling(options, self.limits, self.info)
        option_checks.check_stops(options.stop)
        stop_token_ids = option_checks.resolve_stop_ids(options.stop_token_ids, self.info)
        logprobs = option_checks.resolve_logprobs(options.logprobs)
        priority = option_checks.check_priority(options.priority)
        guidance = check_guidance(options.guidance, self.limits.limit_guidance_bytes)
        field, prompt = await self._encode(call)
        validation.check_prompt(field, prompt, self.limits, self.info)
        max_tokens = validation.resolve_max_tokens(options.max_tokens, len(prompt), self.limits, self.info)
        return GenerationRequest(
            request_id,
            prompt,
            max_tokens,
            sampling,
            stop_token_ids,
            option_checks.resolve_min_tokens(options.min_tokens, max_tokens),
            options.ignore_eos,
            logprobs,
            guidance,
            adapter,
            priority,
            fresh=call.fresh,
        )

    async def tokenize(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Ids of `text`. Raises `InvalidRequest` for one that is longer than any prompt."""
        self._check_length("text", len(text))
        if len(text) <= _INLINE_CHARACTERS:
            return self.tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return await asyncio.to_thread(self.tokenizer.encode, text, add_special_tokens=add_special_tokens)

    async def detokenize(self, ids: Sequence[int]) -> str:
        """The text of `ids`. Raises `InvalidRequest` for ids that are not the model's, or too many."""
        if len(ids) > self.info.context_length:
            raise InvalidRequest(
                "token_ids", f"has {len(ids)} ids; {self.info.context_length}, the model's context length, are allowed"
            )
        validation.check_ids("token_ids", ids, self.info)
        return await asyncio.to_thread(self.tokenizer.decode, list(ids))

    async def _encode(self, call: Call) -> tuple[str, list[int]]:
        """The name of the field that holds the input, and the prompt's ids."""
        if call.messages is not None:
            if self.template is None:
                raise InvalidRequest("messages", f"model {self.name!r} has no chat template; use Generate")
            conversation = Conversation(call.messages, call.tools, call.template_arguments)
            self._check_length("messages", conversation.length)
            return "messages", await self.template.encode_soon(conversation, self.tokenizer)
        if call.text is not None:
            self._check_length("prompt", len(call.text))
            if len(call.text) <= _INLINE_CHARACTERS:
                return "prompt", self.tokenizer.encode(call.text)
            return "prompt", await asyncio.to_thread(self.tokenizer.encode, call.text)
        return "token_ids", list(call.ids or ())

    def _check_length(self, field: str, length: int) -> None:
        validation.check_text_length(field, length, self.tokenizer.longest_token, self.info)
