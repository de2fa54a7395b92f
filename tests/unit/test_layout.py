"""The repository's shape: what would break in silence if somebody added a file in the wrong place."""

import ast
import operator
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = ("api", "builders", "status")
MAX_LINES = 400
SOURCES = [
    path
    for folder in ("operator", "runtime_server", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "_pb2" not in path.name
]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("folder", ["operator", "runtime_server", "tests"])
def test_a_folder_of_packages_is_no_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


def test_tests_are_no_packages() -> None:
    assert names(list((ROOT / "tests").rglob("__init__.py"))) == []


def test_no_test_folder_is_called_like_the_standard_library() -> None:
    shadows = [path for path in (ROOT / "tests").rglob("*") if path.is_dir() and path.name == "operator"]
    assert names(shadows) == []


def test_the_standard_librarys_operator_is_intact() -> None:
    assert operator.itemgetter(1)([1, 2]) == 2
    # A fresh interpreter in the root: nothing has loaded the real module before.
    done = subprocess.run(
        [sys.executable, "-c", "import operator, genai_operator; print(operator.__file__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not Path(done.stdout.strip()).is_relative_to(ROOT / "operator")


@pytest.mark.parametrize("package", PURE)
def test_pure_layers_wait_for_nothing(package: str) -> None:
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    sources = sorted((ROOT / "operator" / "genai_operator" / package).rglob("*.py"))
    assert sources
    found = [
        path for path in sources if any(isinstance(node, waiting) for node in ast.walk(ast.parse(path.read_text())))
    ]
    assert names(found) == []


def test_no_module_is_too_long_to_read() -> None:
    modules = [path for path in SOURCES if not path.name.startswith("test_")]
    assert len(modules) > 50
    assert names([path for path in modules if len(path.read_text().splitlines()) > MAX_LINES]) == []


def test_modules_are_named_for_what_they_hold() -> None:
    nothing = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}
    assert names([path for path in SOURCES if path.stem in nothing]) == []
