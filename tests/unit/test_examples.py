"""Every example is a GenAIModel that the operator accepts."""

from pathlib import Path

import pytest
import yaml

from genai_operator.api.genaimodel import GenAIModel

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_is_accepted(example: Path) -> None:
    body = yaml.safe_load(example.read_text(encoding="utf-8"))
    assert body["kind"] == "GenAIModel"
    body["metadata"]["namespace"] = "default"
    GenAIModel.from_body(body)


def test_the_quick_start_is_among_them() -> None:
    assert "hello.yaml" in {path.name for path in EXAMPLES}
