"""The frame of a Job that is made for a model: its names and labels, whose it is, and what wish it answers.

What its pods do is the modules' that have one made.
"""

from collections.abc import Mapping
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders.metadata import owner_reference
from genai_operator.constants import ANNOTATION_REVISION, MANAGED_BY


def model_job(
    model: GenAIModel, name: str, marks: tuple[str, str], wish: str, spec: Mapping[str, Any], pod: Mapping[str, Any]
) -> dict[str, Any]:
    """The Job.

    `marks`: the label that names the model, and the application's name; `wish` is found again by the operator; `spec`:
    of the Job, without its template; `pod`: the template's spec.
    """
    label, application = marks
    own = {
        label: model.metadata.name,
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/name": application,
        "app.kubernetes.io/instance": model.metadata.name,
        "app.kubernetes.io/part-of": "genai-operator",
    }
    labels = {**model.spec.pod_labels, **own}  # a queue's name has its place on the Job
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": model.metadata.namespace,
            "labels": labels,
            "annotations": {ANNOTATION_REVISION: wish},
            "ownerReferences": [owner_reference(model)],
        },
        "spec": {**spec, "template": {"metadata": {"labels": labels}, "spec": dict(pod)}},
    }
