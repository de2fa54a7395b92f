"""A generation service on a scripted engine, without ports: what happens between a protocol and the engine."""

from collections.abc import AsyncGenerator
from typing import Any

from genai_runtime.engine.protocol import FEATURES, ModelInfo
from genai_runtime.front.admission import Admission
from genai_runtime.front.choices import TextChunk
from genai_runtime.front.generating import GenerationService, ServiceLimits
from genai_runtime.front.generation_run import Ending
from genai_runtime.front.metrics import Metrics
from genai_runtime.front.served_model import ServedModel
from genai_runtime.front.state import StateHolder
from genai_runtime.front.tokenizer import TextTokenizer
from genai_runtime.front.validation import Call, Limits, Options
from genai_runtime.generation import FinishReason
from support.runtime import ScriptedEngine, holds
from support.tiny_tokenizer import byte_level

TOKENIZER = TextTokenizer(byte_level())
ALL_FEATURES = ModelInfo(
    *("llama", 256, 320, 200, [2], 0, "scripted", "", "cpu", 1, "1", "1"), features=sorted(FEATURES), adapters=["fr"]
)


class Served:
    """The service and what stands around it; the engine waits for the test."""

    def __init__(self, slots: int = 4, queue_length: int = 4, **limits: Any) -> None:
        self.engine = ScriptedEngine()
        self.engine.hold = True
        self.engine.come_back()
        self.state = StateHolder()
        self.state.update(warmed_up=True, engine_up=True)
        self.metrics = Metrics("hello")
        self.admission = Admission(slots, queue_length, 60.0)
        self.service = GenerationService(self.engine, self.state, self.admission, self.metrics, ServiceLimits(**limits))
        self.service.model = ServedModel("hello", ALL_FEATURES, TOKENIZER, None, Limits(50))

    def stream(self, request_id: str = "r", client: str = "", **options: Any) -> AsyncGenerator[TextChunk | Ending]:
        """Of a request for a few ids."""
        return self.service.stream("generate", Call(request_id, ids=[5, 6], client=client, options=Options(**options)))

    async def cancelled(self, request_id: str, reason: FinishReason) -> None:
        """Wait until the engine was told to end this request."""
        await holds(lambda: (request_id, reason) in self.engine.cancelled)

    def value(self, name: str, **labels: str) -> float | None:
        """What Prometheus would read."""
        return self.metrics.registry.get_sample_value(name, labels)


async def collect(stream: AsyncGenerator[TextChunk | Ending]) -> tuple[dict[int, list[TextChunk]], dict[int, Ending]]:
    """Chunks and the one ending of each choice; nothing may follow a choice's ending."""
    chunks: dict[int, list[TextChunk]] = {}
    endings: dict[int, Ending] = {}
    async for event in stream:
        assert event.index not in endings
        if isinstance(event, Ending):
            endings[event.index] = event
        else:
            chunks.setdefault(event.index, []).append(event)
    return chunks, endings


def text_of(chunks: list[TextChunk]) -> str:
    """What a client would show."""
    return "".join(chunk.text for chunk in chunks)
