"""The first half of `helm test`, without a cluster: the model it makes and how it reads the answer."""

import pytest

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.smoketest import ready_condition, smoke_model

ENVIRON = {"POD_NAME": "release-test", "POD_UID": "1234", "POD_NAMESPACE": "genai-system"}


def test_the_model_belongs_to_the_tests_pod_and_is_acceptable() -> None:
    manifest = smoke_model("release-test", ENVIRON)
    (owner,) = manifest["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "release-test", "1234")
    assert GenAIModel.from_body(manifest).metadata.key == "genai-system/release-test"


@pytest.mark.parametrize(
    ("conditions", "want"),
    [
        ([], "Unknown"),
        ([{"type": "Accepted", "status": "True"}], "Unknown"),
        ([{"type": "Ready", "status": "False", "reason": "Loading"}], "False"),
        ([{"type": "Ready", "status": "True", "reason": "Serving"}], "True"),
    ],
)
def test_only_the_condition_ready_counts(conditions: list[dict[str, str]], want: str) -> None:
    status, _, _ = ready_condition({"status": {"conditions": conditions}})
    assert status == want
