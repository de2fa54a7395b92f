"""Fields of a source that pods fetch from, for models and adapters alike. What a URI is, is `model_uri.py`'s."""

from typing import Annotated

from pydantic import Field

from genai_operator.api import model_uri

Sha256 = Annotated[str, Field(max_length=64, pattern=model_uri.SHA256_PATTERN)]
Endpoint = Annotated[str, Field(max_length=253, pattern=model_uri.ENDPOINT_PATTERN)]
Region = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z0-9-]+$")]
