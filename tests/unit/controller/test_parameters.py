"""docs/parameters.md: every row is whole, names a field that there is, and a test that there is."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from genai_operator.api.schema import Schema, structural_schema
from genai_operator.api.spec import GenAIModelSpec
from genai_operator.parameters import triton, triton_config, triton_tensorrt
from genai_operator.parameters.page import PAGE, page
from genai_operator.parameters.row import Row, State
from genai_operator.parameters.tables import ALL

TESTS = Path(__file__).parents[2]
ROWS = [(section.name, row) for section in ALL for row in section.rows]
IDS = [f"{name} {row.key}" for name, row in ROWS]


@cache
def fields() -> frozenset[str]:
    found: set[str] = set()

    def walk(schema: Schema, prefix: str) -> None:
        for name, part in schema.get("properties", {}).items():
            found.add(f"{prefix}{name}")
            walk(part, f"{prefix}{name}.")
            walk(part.get("items", {}), f"{prefix}{name}[].")

    walk(structural_schema(GenAIModelSpec), "")
    return frozenset(found)


@cache
def functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text())
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", [row for _, row in ROWS], ids=IDS)
def test_no_row_is_empty(row: Row) -> None:
    assert row.key
    assert row.test
    homes = [bool(row.field), bool(row.home)]
    assert sum(homes) == (0 if row.state is State.UNSUPPORTED else 1)
    if row.state is State.UNSUPPORTED:
        assert len(row.words) > 20, "a reason in words"


@pytest.mark.parametrize("row", [row for _, row in ROWS if row.field], ids=lambda row: row.key)
def test_a_rows_field_is_in_the_spec(row: Row) -> None:
    assert row.field in fields()


@pytest.mark.parametrize("row", [row for _, row in ROWS], ids=IDS)
def test_a_rows_test_exists(row: Row) -> None:
    file, _, function = row.test.partition("::")
    assert (TESTS / file).is_file()
    assert function in functions(TESTS / file)
    assert function.startswith("test_")


def test_keys_are_named_once_in_a_section() -> None:
    for section in ALL:
        keys = [row.key for row in section.rows]
        assert len(keys) == len(set(keys)), section.name


def test_what_convert_looks_up_can_be_read_where_it_has_a_home() -> None:
    looked_up = (triton_tensorrt.TENSORRT, triton.CUDA, triton.CUDA_PARAMETERS, triton.OPENVINO, triton.OPTIONS)
    rows = [row for section in looked_up for row in section.rows] + [triton_config.LEVEL, *triton.COMMAND_LINE.rows]
    assert all((row.read is None) == (row.state is State.UNSUPPORTED) for row in rows)


def test_tables_have_no_cell_that_breaks_them() -> None:
    for line in page().splitlines():
        if line.startswith("|"):
            assert line.count("|") in (4, 6), line


def test_every_link_of_the_page_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page())
    assert links
    assert not [link for link in links if not (PAGE.parent / link).exists()]


def test_the_page_is_what_the_tables_say() -> None:
    assert PAGE.read_text() == page()
