"""Generates the stubs beside the .proto files: `python -m genai_protocol.generate [--check]`.

The only source of the stubs is the .proto files; `--check` fails when the committed stubs differ.
"""

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parent


def generate(into: Path) -> None:
    """Write stubs for every .proto of the package under the folder `into`, mirroring the package's layout."""
    from grpc_tools import protoc  # a development tool: not needed to import the package

    protos = sorted(str(path) for path in PACKAGE.glob("*/*.proto"))
    root = str(PACKAGE.parent)
    include = Path(protoc.__file__).parent / "_proto"
    options = [f"--{kind}={into}" for kind in ("python_out", "mypy_out", "grpc_python_out")]
    status = protoc.main(["protoc", f"-I{root}", f"-I{include}", *options, *protos])
    if status != 0:
        raise SystemExit(f"protoc failed with status {status}")


def stale_stubs() -> list[str]:
    """Names of committed stubs that differ from what the .proto files give."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = sorted((Path(folder) / PACKAGE.name).rglob("*.py*"))
        return [
            path.name
            for path in fresh
            if not (committed := PACKAGE / path.relative_to(Path(folder) / PACKAGE.name)).exists()
            or not filecmp.cmp(path, committed, shallow=False)
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 when stubs are stale")
    if not parser.parse_args().check:
        generate(PACKAGE.parent)
        return
    if stale := stale_stubs():
        sys.exit(f"stale stubs, run `make generate`: {', '.join(stale)}")


if __name__ == "__main__":
    main()
