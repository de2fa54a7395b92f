"""GET /v1/models and /v1/models/{id}: the served model and its adapters, each a name that requests may use."""

import time

from genai_runtime.errors import ModelNotFound
from genai_runtime.front.generating import GenerationService
from genai_runtime.front.http import json_text
from genai_runtime.front.http.exchange import Exchange


class ModelsList:
    """The handlers. Also answered while the model is loading, with what is known."""

    def __init__(self, service: GenerationService, name: str) -> None:
        self._service = service
        self._name = name
        self._created = int(time.time())

    async def all(self, exchange: Exchange) -> None:
        """All of them."""
        cards = [self._card(name) for name in self._names()]
        await exchange.answer(json_text.dumps({"object": "list", "data": cards}).encode())

    async def one(self, exchange: Exchange) -> None:
        """Raises `ModelNotFound`."""
        asked = str(exchange.path_parameters["model"])
        if asked not in self._names():
            raise ModelNotFound(f"model {asked[:100]!r} is not served here; this server serves {self._name!r}")
        await exchange.answer(json_text.dumps(self._card(asked)).encode())

    def _names(self) -> list[str]:
        model = self._service.model
        return [self._name, *(model.info.adapters if model is not None else [])]

    def _card(self, name: str) -> dict[str, object]:
        card: dict[str, object] = {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "genai-operator",
        }
        if name != self._name:
            card["parent"] = self._name
        if self._service.model is not None:
            card["max_model_len"] = self._service.model.info.max_sequence_length
        return card
