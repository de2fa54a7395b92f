"""llama.cpp as Debian's unstable packages it, in a chroot of its own: nothing of it is installed on this machine.

The chroot is made once and kept in the cache of the development tools. Programs run in namespaces of their own: their
mounts vanish with them, and nothing they start outlives the process returned here.
"""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from localkube import packages
from localkube.errors import LocalKubeError

_SUITE = "sid"
_MIRROR = "http://deb.debian.org/debian"
_INCLUDED = "llama.cpp-tools,ca-certificates"
_NEEDED = {
    program: packages.IMAGES[program]
    for program in ("mmdebstrap", "gpgv", "/usr/share/keyrings/debian-archive-keyring.gpg")
}
_MODELS = "m"
# In the new mount namespace; the process that is waited for becomes the program.
_ENTER = 'mount -t proc proc "$1/proc" && mount --bind "$2" "$1/m" && root=$1 && shift 2 && exec chroot "$root" "$@"'


class LlamaUnavailable(Exception):
    """There is no llama.cpp to compare with, and why."""


class Llama:
    """The programs, with one folder of models mounted at /m."""

    def __init__(self, cache: Path, models: Path) -> None:
        self._root = cache / f"llama-{_SUITE}"
        self._models = models

    def install(self) -> None:
        """Makes the chroot unless it is there. Raises `LlamaUnavailable` when Debian cannot be reached."""
        self._root.parent.mkdir(parents=True, exist_ok=True)
        with (self._root.parent / f"{self._root.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self._root / "usr/bin/llama-server").exists():
                self._make()

    def command(self, program: str, *arguments: str) -> list[str]:
        """What runs a program of the chroot. Killing the process ends everything it started."""
        namespaces = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
        enter = ("sh", "-c", _ENTER, "sh", str(self._root), str(self._models))
        return [*namespaces, "--", *enter, program, *arguments]

    def run(self, program: str, *arguments: str) -> str:
        """Its output. Raises `LlamaUnavailable` when it fails."""
        done = subprocess.run(self.command(program, *arguments), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LlamaUnavailable(f"{program} failed: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout + done.stderr

    def version(self) -> str:
        """As the Debian package calls itself."""
        return self.run("dpkg-query", "--show", "--showformat=${Version}", "llama.cpp-tools").strip()

    def quantise(self, source: str, target: str) -> None:
        """A float GGUF of the models' folder to Q4_0, as `llama-quantize` does it by default."""
        self.run("llama-quantize", self.path(source), self.path(target), "Q4_0")

    def server(self, model: str, port: int, threads: int, slots: int, context: int) -> list[str]:
        """The command of a server on loopback that answers `slots` requests at once."""
        return self.command(
            "llama-server",
            *("--model", self.path(model), "--host", "127.0.0.1", "--port", str(port)),
            *("--threads", str(threads), "--parallel", str(slots), "--ctx-size", str(slots * context)),
        )

    def path(self, name: str) -> str:
        """Where a file of the models' folder is inside the chroot."""
        return f"/{_MODELS}/{name}"

    def _make(self) -> None:
        try:
            packages.ensure(_NEEDED, "llama.cpp for the benchmark")
        except LocalKubeError as error:
            raise LlamaUnavailable(str(error)) from error
        print(f"making a chroot of Debian {_SUITE} with llama.cpp in {self._root}", flush=True)
        made = self._root.with_name(f"{self._root.name}.{os.getpid()}")
        command = [
            *("mmdebstrap", "--quiet", "--variant=apt", f"--include={_INCLUDED}"),
            # snapshots of unstable are valid for days only, and a mirror may be older
            '--aptopt=Acquire::Check-Valid-Until "false"',
            *(_SUITE, str(made), _MIRROR),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(made, ignore_errors=True)
            raise LlamaUnavailable(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        (made / _MODELS).mkdir()
        shutil.rmtree(self._root, ignore_errors=True)
        made.rename(self._root)
