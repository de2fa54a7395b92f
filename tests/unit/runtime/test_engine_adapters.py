"""Adapters are never left out in silence: an engine that has none refuses a model that names some."""

from pathlib import Path

import pytest

from genai_runtime.engine.protocol import EngineSpec
from genai_runtime.engine.worker import make_engine
from genai_runtime.errors import ModelUnusable


def test_single_refuses_a_model_with_adapters(tmp_path: Path) -> None:
    spec = EngineSpec(model_dir=tmp_path, profile_dir=tmp_path, adapters={"legal": tmp_path / "legal"})
    with pytest.raises(ModelUnusable, match="adapters legal need the engine batch"):
        make_engine("single", spec)
