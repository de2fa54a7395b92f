"""The builder's image as a container runs it, without a cluster: its files read-only, its user, no network.

The image is built or taken from the cache of images, and laid out in a folder beside it, once for each of its contents.
"""

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebuild import build
from imagebuild.recipes import BUILDER
from localkube import places
from localkube.cluster import Cluster

HOME = "/var/lib/genai"
_END_SECONDS = 1500
_ENTER = """
root=$1 home=$2; shift 2
mount --bind "$root" "$root"
mount --bind "$home" "$root/var/lib/genai"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/tmp"
mount -o remount,ro,bind "$root"
exec chroot --userspec=65532:65532 "$root" "$@"
"""


@dataclass(frozen=True)
class Ended:
    """What a build left. `words`: its termination log."""

    code: int
    output: str
    errors: str
    words: dict[str, Any]


@dataclass(frozen=True)
class BuilderImage:
    """`root`: its files; `environment`: as the image sets it."""

    root: Path
    environment: tuple[str, ...]

    def build(self, home: Path, *arguments: str) -> Ended:
        """`genai-builder build ARGUMENTS…` with `home` at `HOME`, where it may write, and where its words are."""
        words = home / "words"
        words.unlink(missing_ok=True)
        home.chmod(0o777)
        inside = ["env", "-i", *self.environment, f"GENAI_TERMINATION_LOG={HOME}/words", "genai-builder", "build"]
        done = subprocess.run(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "sh", "-e", "-c", _ENTER, "sh"),
                *(str(self.root), str(home), *inside, *arguments),
            ],
            capture_output=True,
            text=True,
            timeout=_END_SECONDS,
            check=False,
        )
        left = json.loads(words.read_text()) if words.exists() else {}
        return Ended(done.returncode, done.stdout, done.stderr, left)


def builder_image() -> BuilderImage:
    """Of this working tree."""
    (archive,) = build.archives(Cluster.select(), [BUILDER])
    folder = places.cache_dir() / "images" / f"{BUILDER.short}.root"
    mark, root = folder / "archive", folder / "root"
    if not mark.exists() or mark.read_text() != archive.name:
        shutil.rmtree(folder, ignore_errors=True)
        root.mkdir(parents=True)
        _unpack(archive, root)
        mark.write_text(archive.name)
    return BuilderImage(root, tuple(_configuration(archive)["Env"]))


def _unpack(archive: Path, root: Path) -> None:
    """The layers of this image only add files."""
    with tarfile.open(archive) as tar:
        for layer in _manifest(tar)["Layers"]:
            command = f'tar -xO -f "$0" "{layer}" | tar -xp -C "$1"'
            subprocess.run(["bash", "-o", "pipefail", "-c", command, str(archive), str(root)], check=True)


def _manifest(tar: tarfile.TarFile) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_text(tar, "manifest.json"))[0]
    return found


def _configuration(archive: Path) -> dict[str, Any]:
    with tarfile.open(archive) as tar:
        found: dict[str, Any] = json.loads(_text(tar, _manifest(tar)["Config"]))["config"]
    return found


def _text(tar: tarfile.TarFile, name: str) -> str:
    member = tar.extractfile(name)
    assert member is not None, os.fspath(name)
    return member.read().decode()
