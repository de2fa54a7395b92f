"""One request in the engine `single`: its generator, how far it is, how it samples. Who runs when is `single.py`'s."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from genai_runtime.engine.genai_capi import Generator, GeneratorParams, Model
from genai_runtime.engine.windows import Windows
from genai_runtime.generation import Finished, FinishReason, GenerationRequest, Sampling

# A prompt is computed in runs of this many tokens, so that other requests advance in between. Not slower than one run;
# and the same chunks whatever the load, so that the tokens do not depend on it.
PREFILL_CHUNK = 256
# A last chunk shorter than this joins the one before: kernels for single tokens round differently.
_SHORTEST_CHUNK = 16
# top-p alone sorts the whole vocabulary for every token (25 ms at 152,000 tokens): the nucleus is looked for here.
_NUCLEUS_CANDIDATES = 1024


def search_options(sampling: Sampling, max_length: int, vocabulary_size: int) -> dict[str, float | bool]:
    """GenAI's search options. All that decide are set, for genai_config.json may have set others."""
    options: dict[str, float | bool] = {
        "max_length": float(max_length),
        "batch_size": 1.0,
        "num_beams": 1.0,
        "num_return_sequences": 1.0,
        "repetition_penalty": sampling.repetition_penalty,
        "do_sample": sampling.temperature > 0,
    }
    if sampling.temperature > 0:
        top_k = min(sampling.top_k, vocabulary_size)
        if not top_k and sampling.top_p < 1:
            top_k = min(_NUCLEUS_CANDIDATES, vocabulary_size)
        options |= {"temperature": sampling.temperature, "top_k": float(top_k), "top_p": sampling.top_p}
        options["random_seed"] = -1.0 if sampling.seed is None else float(fold_seed(sampling.seed))
    return options


def fold_seed(seed: int) -> int:
    """GenAI's seeds have 31 bits: every bit of ours counts."""
    return (seed ^ (seed >> 31) ^ (seed >> 62)) & 0x7FFF_FFFF


@dataclass(slots=True)
class Row:
    """One request. `stop` is why it must end, set by any thread under the engine's lock."""

    request: GenerationRequest
    max_length: int
    generator: Generator | None = None
    stop: FinishReason | None = None
    appended: int = 0
    completion: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    def open(self, model: Model, vocabulary_size: int) -> None:
        """Make the generator; it allocates the key-value cache for `max_length`. Raises `GenAIError`."""
        with GeneratorParams(model) as params:
            for name, value in search_options(self.request.sampling, self.max_length, vocabulary_size).items():
                params.set(name, value)
            self.generator = Generator(model, params)

    def advance(self, generator: Generator, windows: Windows, profile: Callable[[str], None]) -> int | None:
        """One run. The token it made, end-of-sequence tokens included; None while the prompt is not complete.

        Raises `GenAIError`.
        """
        began = time.monotonic()
        if self.appended < len(self.request.prompt):
            try:
                return self._prefill(generator, windows, profile)
            finally:
                self.prefill_seconds += time.monotonic() - began
        try:
            with windows.run("decode", lambda: {self.request.request_id: self.completion + 1}, profile):
                generator.generate_next_token()
        finally:
            self.decode_seconds += time.monotonic() - began
        return generator.next_token()

    def _prefill(self, generator: Generator, windows: Windows, profile: Callable[[str], None]) -> int | None:
        prompt = self.request.prompt
        chunk = prompt[self.appended : self.appended + self.chunk_length()]
        with windows.run("prefill", lambda: {self.request.request_id: len(chunk)}, profile):
            generator.append_tokens(chunk)
        self.appended += len(chunk)
        if self.appended < len(prompt):
            return None
        windows.sampling(generator.generate_next_token)  # no run: it chooses from the prompt's logits
        return generator.next_token()

    def chunk_length(self) -> int:
        """Tokens of the next run of the prompt."""
        rest = len(self.request.prompt) - self.appended
        return rest if rest < PREFILL_CHUNK + _SHORTEST_CHUNK else PREFILL_CHUNK

    def finished(self, reason: FinishReason, message: str = "", stop_token_id: int = -1) -> Finished:
        """The request's last event."""
        return Finished(
            self.request.request_id,
            reason,
            len(self.request.prompt),
            self.completion,
            self.prefill_seconds,
            self.decode_seconds,
            message,
            stop_token_id=stop_token_id,
        )
