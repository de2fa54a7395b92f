"""Prints docs/parameters.md from the tables beside this module: `python -m genai_operator.parameters.page [--check]`.

With `--check` it only says whether the page is up to date. What the tables say is not checked here: the tests do.
"""

import argparse
import sys
from pathlib import Path

from genai_operator.parameters.row import Row, Section, State
from genai_operator.parameters.tables import ALL

PAGE = Path(__file__).resolve().parents[3] / "docs" / "parameters.md"
_HEAD = """\
# Parameters of other servers, and where they are here

<!-- Generated from operator/genai_operator/parameters by `python -m genai_operator.parameters.page`; edit that. -->

Who comes from Triton's ONNX Runtime backend, from ONNX Runtime GenAI's own options, from a list of latency practices or
from GenAI's HTTP server knows these names. For each: the field of a [GenAIModel](genaimodel.md) that it is here, or
what there is instead, or why it is not supported; the test that sees its effect; and how far that goes:

| state | parameters | meaning |
|---|---|---|
{states}

`genai-operator convert` ([convert](convert.md)) makes a GenAIModel of a Triton configuration by the same tables.
"""
_MEANINGS = {
    State.WORKS: "The test sees the effect in the running engine, on the API server or in the pod, on any machine.",
    State.NVIDIA_GPU: "The test is written, and needs an NVIDIA GPU: `make test-gpu`.",
    State.RENDERED: "The test sees it in what ONNX Runtime GenAI is given; its effect needs a device that no test has. "
    "Without the provider a pod says `ExecutionProviderUnavailable`.",
    State.UNSUPPORTED: "There is none, for the reason given; the test sees that it is said.",
}
_TABLE = "| parameter | here | state | seen by | |\n|---|---|---|---|---|\n"


def page() -> str:
    """The whole page."""
    rows = [row for section in ALL for row in section.rows]
    states = [
        f"| {state.value} | {sum(row.state is state for row in rows)} | {_MEANINGS[state]} |"
        for state in State
        if any(row.state is state for row in rows)
    ]
    return "\n".join([_HEAD.format(states="\n".join(states)), *(_section(section) for section in ALL if section.rows)])


def _section(section: Section) -> str:
    lines = [_row(row) for row in section.rows]
    return f"## {section.title}\n\n{section.introduction}\n\n{_TABLE}" + "\n".join(lines) + "\n"


def _row(row: Row) -> str:
    here = f"`{row.field}`" if row.field else row.home or "Unsupported"
    words = row.words or "the same"
    file, _, function = row.test.partition("::")
    return " | ".join(["", f"`{row.key}`", here, row.state.value, f"[{function}](../tests/{file})", words, ""]).strip()


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with --check compare it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m genai_operator.parameters.page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is out of date")
    check = parser.parse_args(arguments).check
    text = page()
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    if not check:
        PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"docs/{PAGE.name} {'is out of date' if check else 'written'}\n")
    return int(check)


if __name__ == "__main__":
    sys.exit(main())
