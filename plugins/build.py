"""Makes build/kubectl-genai: one file that any Python from 3.11 on runs, and with --release URL the archive for Krew.

`make kubectl-genai` calls it. Native parts of packages are left out: all of them work without. Code is compiled for the
Python that builds, so that one starts in under a second; others compile it at each start.
"""

import argparse
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "kubectl-genai"
LOCK = ROOT / "plugins" / "kubectl-genai.lock"
TEMPLATE = ROOT / "plugins" / "genai.yaml"
OURS = (ROOT / "operator" / "genai_kubectl", ROOT / "runtime_server" / "genai_traces")
# asyncio's client needs aiohttp's native code, and nothing here is asynchronous.
_LEFT_OUT = ("kubernetes/aio/", "bin/")
_ENDINGS_LEFT_OUT = (".so", ".pyd", ".pyi", "_test.py", "RECORD", ".pyc")
_TIME = (1980, 1, 1, 0, 0, 0)  # the same sources make the same file
_MAIN = "from genai_kubectl.__main__ import main\n\nmain()\n"
_LAUNCHER = b"#!/usr/bin/env python3\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--release", metavar="URL", help="also make the archive and Krew's manifest, for the repository at this URL"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the file is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        _install(site)
        for package in OURS:
            shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        (site / "__main__.py").write_text(_MAIN)
        options.output.parent.mkdir(exist_ok=True)
        _write(site, options.output)
    _say(f"{options.output}: {options.output.stat().st_size / 2**20:.1f} MiB")
    if options.release:
        _release(options.output, options.release.rstrip("/"))


def version() -> str:
    """Of the project."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def manifest(sha256: str, homepage: str) -> str:
    """The Krew manifest of this version's archive."""
    values = {"VERSION": f"v{version()}", "SHA256": sha256, "HOMEPAGE": homepage}
    text = TEMPLATE.read_text()
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def _install(site: Path) -> None:
    command = [os.environ.get("UV", "uv"), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--python", sys.executable, "--target", str(site), "-r", str(LOCK)]
    subprocess.run(command, check=True)


def _write(site: Path, target: Path) -> None:
    """The archive beside the target, then in its place."""
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        file.write(_LAUNCHER)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(site.rglob("*")):
                name = path.relative_to(site).as_posix()
                if path.is_file() and not name.startswith(_LEFT_OUT) and not name.endswith(_ENDINGS_LEFT_OUT):
                    for entry, content in _entries(path, name):
                        archive.writestr(_info(entry), content)
    part.chmod(0o755)
    part.replace(target)


def _entries(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    yield name, path.read_bytes()
    if path.suffix == ".py":
        compiled = path.with_suffix(".pyc")
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        if py_compile.compile(
            str(path), str(compiled), dfile=name, doraise=False, quiet=2, invalidation_mode=unchecked
        ):
            yield f"{name}c", compiled.read_bytes()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def _release(program: Path, homepage: str) -> None:
    archive = program.parent / f"kubectl-genai-v{version()}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(program, "kubectl-genai")
        tar.add(ROOT / "LICENSE", "LICENSE")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    target = program.parent / "genai.yaml"
    target.write_text(manifest(digest, homepage))
    _say(f"{archive}, {target}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
