"""The one file and Krew's manifest: what is in the lock, and whether Krew takes the manifest."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from genai_kubectl import __version__

ROOT = Path(__file__).parents[3]
PLUGINS = ROOT / "plugins"
HOMEPAGE = "https://example.org/genai-operator"
# Held back: later releases need pydantic, whose core is native code.
HELD_BACK = {"kubernetes": 37, "typer": 29}


def pins() -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (PLUGINS / "kubectl-genai.lock").read_text(), re.MULTILINE))


def test_the_lock_is_uv_locks_but_for_what_is_held_back() -> None:
    locked = {each["name"]: each["version"] for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    others = {name: version for name, version in pins().items() if name not in HELD_BACK}
    assert len(others) > 10
    assert {name: locked[name] for name in others} == others


def test_what_needs_native_code_is_not_in_it() -> None:
    found = pins()
    assert not {"pydantic", "pydantic-core", "aiohttp", "grpcio"} & set(found)
    kubernetes, typer = (tuple(map(int, found[name].split("."))) for name in ("kubernetes", "typer"))
    assert kubernetes[0] < HELD_BACK["kubernetes"]
    assert typer < (0, HELD_BACK["typer"])


def test_every_pin_has_hashes() -> None:
    entries = re.split(r"^(?=[a-z0-9-]+==)", (PLUGINS / "kubectl-genai.lock").read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(pins())
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_program_has_the_projects_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__


@pytest.fixture
def manifest() -> dict[str, Any]:
    values = {"VERSION": f"v{__version__}", "SHA256": "0" * 64, "HOMEPAGE": HOMEPAGE}
    text = (PLUGINS / "genai.yaml").read_text()
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", value)
    assert "{{" not in text
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_krew_takes_the_manifest(manifest: dict[str, Any]) -> None:
    """The rules of Krew's own validation (ValidatePlugin, ValidatePlatform) and of its index."""
    assert manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert manifest["kind"] == "Plugin"
    name, spec = manifest["metadata"]["name"], manifest["spec"]
    assert re.fullmatch(r"[\w-]+", name)
    assert (PLUGINS / f"{name}.yaml").is_file()
    assert re.fullmatch(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", spec["version"])
    assert 0 < len(spec["shortDescription"]) <= 50
    assert "\n" not in spec["shortDescription"]
    assert not spec["shortDescription"].endswith(".")
    assert spec["description"]
    assert set(spec) <= {"version", "homepage", "shortDescription", "description", "caveats", "platforms"}
    assert spec["platforms"]


def test_krew_finds_the_program_in_the_archive(manifest: dict[str, Any]) -> None:
    for platform in manifest["spec"]["platforms"]:
        assert set(platform) == {"selector", "uri", "sha256", "files", "bin"}
        assert re.fullmatch(r"[0-9a-f]{64}", platform["sha256"])
        assert platform["uri"].startswith("https://")
        assert manifest["spec"]["version"] in platform["uri"]
        assert {each["from"] for each in platform["files"]} >= {platform["bin"], "LICENSE"}
        # Krew links the program as kubectl-NAME; a path in it must not leave the plugin's folder.
        assert platform["bin"] == f"kubectl-{manifest['metadata']['name']}"
        assert not any(part in (each["from"], each["to"]) for each in platform["files"] for part in ("..", "/"))
        (expression,) = platform["selector"]["matchExpressions"]
        assert (expression["key"], expression["operator"]) == ("os", "In")
        assert set(expression["values"]) <= {"linux", "darwin", "windows"}
