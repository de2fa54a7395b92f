"""Prints the CustomResourceDefinitions from the typed models: `python -m genai_operator.api.crd [--check]`.

Writes `crds/`, the chart's copies of it and the pages of the fields in `docs/`; with `--check` it only says whether
they are up to date. Which kinds there are is `definitions.py`'s, how fields become a schema is `schema.py`'s.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from genai_operator.api.definitions import ALL, Definition
from genai_operator.api.names import MAX_NAME_LENGTH, NAME_PATTERN
from genai_operator.api.reference import reference_page
from genai_operator.api.schema import structural_schema
from genai_operator.constants import CATEGORY, GROUP, VERSION

_ROOT = Path(__file__).resolve().parents[3]
_HEADER = "# Generated from operator/genai_operator/api by `python -m genai_operator.api.crd`; edit those models.\n"


def files(definition: Definition) -> tuple[Path, Path]:
    """Where the document is kept: for people, and for the chart."""
    return (
        _ROOT / "crds" / f"{GROUP}_{definition.plural}.yaml",
        _ROOT / "charts" / "genai-operator" / "crds-source" / f"{definition.plural}.yaml",
    )


FILES = tuple(files(each)[0] for each in ALL)


def custom_resource_definition(definition: Definition) -> dict[str, Any]:
    """The whole document."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{definition.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": definition.kind,
                "listKind": f"{definition.kind}List",
                "plural": definition.plural,
                "singular": definition.singular,
                "shortNames": [definition.short_name],
                "categories": [CATEGORY],
            },
            "versions": [_version(definition)],
        },
    }


def render(definition: Definition) -> str:
    """The document as the files hold it."""
    document = custom_resource_definition(definition)
    return _HEADER + yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def _version(definition: Definition) -> dict[str, Any]:
    subresources: dict[str, Any] = {"status": {}} | ({"scale": dict(definition.scale)} if definition.scale else {})
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object_schema(definition)},
        "subresources": subresources,
        "additionalPrinterColumns": [dict(column) for column in definition.columns],
    }


def _object_schema(definition: Definition) -> dict[str, Any]:
    return {
        "description": definition.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(definition.spec),
            "status": structural_schema(definition.status),
        },
        "x-kubernetes-validations": [
            {
                "rule": f"self.metadata.name.size() <= {MAX_NAME_LENGTH} && "
                f"self.metadata.name.matches('{NAME_PATTERN}')",
                "message": definition.name_explanation,
            }
        ],
    }


def _texts() -> dict[Path, str]:
    """What every generated file shall hold."""
    found: dict[Path, str] = {}
    for definition in ALL:
        found |= dict.fromkeys(files(definition), render(definition))
        found[_ROOT / "docs" / definition.page] = reference_page(
            definition.kind, definition.introduction, structural_schema(definition.spec)
        )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with --check compare them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m genai_operator.api.crd", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    check = parser.parse_args(arguments).check
    stale = 0
    for file, text in _texts().items():
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
