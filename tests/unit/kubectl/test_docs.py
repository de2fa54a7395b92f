"""docs/kubectl.md against the program: commands, options of profile start, exit codes, roles."""

import re
from pathlib import Path
from typing import Any

import typer

from genai_kubectl import errors
from genai_kubectl.app import app
from genai_kubectl.decisions.rights import roles

PAGE = (Path(__file__).parents[3] / "docs" / "kubectl.md").read_text()
COMMON = {"namespace", "context", "kubeconfig", "output"}


def test_every_command_is_shown() -> None:
    group: Any = typer.main.get_command(app)
    plain = set(group.commands) - {"profile"}
    assert not [name for name in plain if not re.search(rf"genai {name}\b|`{name}[ `]", PAGE)]
    profiles = group.commands["profile"].commands
    assert not [name for name in profiles if not re.search(rf"profile {name}\b", PAGE)]


def test_every_option_of_profile_start_is_in_the_table() -> None:
    group: Any = typer.main.get_command(app)
    start = group.commands["profile"].commands["start"]
    options = {option for each in start.params for option in each.opts if option.startswith("--")}
    known = {f"--{name}" for name in COMMON} | {"--name", "--wait", "--help"}
    assert not [option for option in options - known if f"`{option}" not in PAGE]


def test_every_exit_code_is_told() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert codes <= told


def test_the_roles_table_has_every_right() -> None:
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `(genai-[a-z-]+)` \|.*$", PAGE, re.MULTILINE)}
    for resource, verbs, role in roles():
        cell = rows[role].rsplit("|", 2)[1]
        group = next(part for part in cell.split(";") if re.search(rf"\b{resource}\b", part))
        assert set(verbs) <= set(re.findall(r"[a-z]+", group.partition(":")[0])), (resource, role)
