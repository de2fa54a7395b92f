"""Prints the CustomResourceDefinition from the typed models: `python -m genai_operator.api.crd [--check]`.

Writes `crds/`, the chart's copy of it and the page of the fields in `docs/`; with `--check` it only says whether they
are up to date. The fields are `spec.py`'s and `status_model.py`'s, how they become a schema is `schema.py`'s.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from genai_operator.api.names import MAX_NAME_LENGTH, NAME_EXPLANATION, NAME_PATTERN
from genai_operator.api.reference import reference_page
from genai_operator.api.schema import structural_schema
from genai_operator.api.spec import GenAIModelSpec
from genai_operator.api.status_model import GenAIModelStatus
from genai_operator.constants import CATEGORY, GROUP, KIND, PLURAL, SHORT_NAME, SINGULAR, VERSION

_ROOT = Path(__file__).resolve().parents[3]
FILES = (
    _ROOT / "crds" / f"{GROUP}_{PLURAL}.yaml",
    _ROOT / "charts" / "genai-operator" / "crds-source" / f"{PLURAL}.yaml",
)
REFERENCE = _ROOT / "docs" / "genaimodel.md"
_HEADER = "# Generated from operator/genai_operator/api by `python -m genai_operator.api.crd`; edit those models.\n"


def custom_resource_definition() -> dict[str, Any]:
    """The whole document."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": [SHORT_NAME],
                "categories": [CATEGORY],
            },
            "versions": [_version()],
        },
    }


def render() -> str:
    """The document as the files hold it."""
    return _HEADER + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=120, allow_unicode=True)


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object_schema()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": _columns(),
    }


def _object_schema() -> dict[str, Any]:
    return {
        "description": "A model folder, served as a streaming gRPC endpoint by ONNX Runtime GenAI.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(GenAIModelSpec),
            "status": structural_schema(GenAIModelStatus),
        },
        "x-kubernetes-validations": [
            {
                "rule": f"self.metadata.name.size() <= {MAX_NAME_LENGTH} && "
                f"self.metadata.name.matches('{NAME_PATTERN}')",
                "message": NAME_EXPLANATION,
            }
        ],
    }


def _columns() -> list[dict[str, Any]]:
    ready = '.status.conditions[?(@.type=="Ready")]'
    return [
        {"name": "Ready", "type": "string", "jsonPath": f"{ready}.status"},
        {"name": "Reason", "type": "string", "jsonPath": f"{ready}.reason"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".status.readyReplicas"},
        {"name": "Provider", "type": "string", "jsonPath": ".spec.provider"},
        {"name": "Tok/s", "type": "number", "jsonPath": ".status.performance.tokensPerSecond"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "URI", "type": "string", "jsonPath": ".spec.model.uri", "priority": 1},
        {"name": "Engine", "type": "string", "jsonPath": ".status.effective.engine", "priority": 1},
        {"name": "Endpoint", "type": "string", "jsonPath": ".status.endpoints.grpc", "priority": 1},
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with --check compare them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m genai_operator.api.crd", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    check = parser.parse_args(arguments).check
    stale = 0
    texts = {**dict.fromkeys(FILES, render()), REFERENCE: reference_page(structural_schema(GenAIModelSpec))}
    for file, text in texts.items():
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        stale = 1
        if not check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{file.relative_to(_ROOT)} {'is out of date' if check else 'written'}\n")
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main())
