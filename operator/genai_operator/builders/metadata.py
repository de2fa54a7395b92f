"""Metadata of children: labels, and who owns them. Names are `api.names`'s."""

from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import selector_labels
from genai_operator.constants import API_VERSION, KIND


def labels(model: GenAIModel) -> dict[str, str]:
    """The labels of every child and pod. They hold nothing that changes, or pods would be replaced for it."""
    name = model.metadata.name
    return {
        **selector_labels(name),
        "app.kubernetes.io/name": "genai-runtime",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": "model",
        "app.kubernetes.io/part-of": "genai-operator",
    }


def owner_reference(model: GenAIModel) -> dict[str, Any]:
    """Deleting the model deletes the child, without a finalizer."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": model.metadata.name,
        "uid": model.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def child(model: GenAIModel, api_version: str, kind: str, name: str, **body: Any) -> dict[str, Any]:
    """A child's manifest: `body` are its top-level fields besides the metadata."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": model.metadata.namespace,
            "labels": labels(model),
            "ownerReferences": [owner_reference(model)],
        },
        **body,
    }
