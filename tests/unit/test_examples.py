"""Every example is a resource that the operator accepts."""

from pathlib import Path

import pytest
import yaml

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.genaiprofile import GenAIProfile

KINDS = {"GenAIModel": GenAIModel, "GenAIProfile": GenAIProfile}
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_is_accepted(example: Path) -> None:
    body = yaml.safe_load(example.read_text(encoding="utf-8"))
    body["metadata"]["namespace"] = "default"
    KINDS[body["kind"]].from_body(body)


def test_the_quick_start_is_among_them() -> None:
    assert "hello.yaml" in {path.name for path in EXAMPLES}
