"""The programs that Go builds: Kubernetes in one binary (kubectl included), the pause program, CoreDNS, Helm; and kind
and a container registry where they are asked for.

Each is built once into the cache, under a name that holds the hash of everything it is made from.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localkube import places, toolchain
from localkube.errors import LocalKubeError

KUBERNETES = "v1.34.4"
SOURCES = Path(__file__).parent / "go"
_STAMP = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Program:
    """`package`: a folder of our Go module when it starts with a dot, else MODULE/PATH@VERSION. `stamps`: link-time
    values."""

    name: str
    package: str
    label: str
    stamps: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        return self.package.startswith(".")


LOCALKUBE = Program(
    "localkube",
    ".",
    f"Kubernetes {KUBERNETES}, etcd and kubectl",
    (
        f"{_STAMP}.gitVersion={KUBERNETES}",
        f"{_STAMP}.gitMajor={KUBERNETES.split('.')[0][1:]}",
        f"{_STAMP}.gitMinor={KUBERNETES.split('.')[1]}",
    ),
)
PAUSE = Program("pause", "./pause", "the pause program")
COREDNS = Program("coredns", "github.com/coredns/coredns@v1.14.7", "CoreDNS 1.14.7")
HELM = Program(
    "helm", "helm.sh/helm/v4/cmd/helm@v4.3.1", "Helm 4.3.1", ("helm.sh/helm/v4/internal/version.version=v4.3.1",)
)
KIND = Program("kind", "sigs.k8s.io/kind@v0.33.0", "kind 0.33.0")
REGISTRY = Program("registry", "github.com/distribution/distribution/v3/cmd/registry@v3.1.2", "the registry 3.1.2")
LOCAL = (LOCALKUBE, PAUSE, COREDNS, HELM)


def key(program: Program, sources: Path = SOURCES) -> str:
    """Changes whenever the built program would: package and version, link-time values, and for our own the files of
    the Go module."""
    digest = hashlib.sha256(repr((program.package, program.stamps)).encode())
    if program.ours:
        for path in sorted(path for path in sources.rglob("*") if path.is_file()):
            digest.update(f"\0{path.relative_to(sources)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def path_of(program: Program) -> Path:
    return places.cache_dir() / "programs" / f"{program.name}-{key(program)}"


def folder() -> Path:
    """A folder of links `localkube`, `kubectl`, `helm`, ... for the PATH; it exists after `build`."""
    together = hashlib.sha256(" ".join(key(program) for program in LOCAL).encode()).hexdigest()[:12]
    return places.cache_dir() / "bin" / together


def build(programs: tuple[Program, ...] = LOCAL) -> Path:
    """Builds what the cache lacks and returns `folder()`. Raises LocalKubeError with the compiler's last lines."""
    links = folder()
    if all(_is_link(links / name, path_of(program)) for program in programs for name in _names(program)):
        return links  # nobody waits for another's build who needs none
    with _locked(places.cache_dir() / "build.lock"):
        absent = [program for program in programs if not path_of(program).exists()]
        for number, program in enumerate(absent, start=1):
            _compile(program, f"[{number}/{len(absent)}] {program.label}")
        links.mkdir(parents=True, exist_ok=True)
        for program in programs:
            for name in _names(program):
                _link(links / name, path_of(program))
    return links


def _names(program: Program) -> tuple[str, ...]:
    return (program.name, "kubectl") if program is LOCALKUBE else (program.name,)


def _is_link(link: Path, target: Path) -> bool:
    return link.is_symlink() and link.readlink() == target and target.exists()


def _link(link: Path, target: Path) -> None:
    if _is_link(link, target):
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _compile(program: Program, title: str) -> None:
    compiler = toolchain.go()
    target = path_of(program)
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-v", "-ldflags", " ".join(["-s", "-w", *(f"-X {stamp}" for stamp in program.stamps)])]
    # without cgo the result is static, and no C compiler is needed
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        if program.ours:
            command = [str(compiler), "build", *flags, "-o", f"{scratch}/{program.name}", program.package]
        else:
            command = [str(compiler), "install", *flags, program.package]
            environment["GOBIN"] = scratch
        _run_visibly(command, environment, title)
        shutil.move(next(Path(scratch).iterdir()), target)


def _run_visibly(command: list[str], environment: dict[str, str], title: str) -> None:
    """Runs the compiler and says every few seconds how far it is, so that minutes of work do not look like a hang."""
    began = time.monotonic()
    print(f"{title}: building", flush=True)
    process = subprocess.Popen(
        command, cwd=SOURCES, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: list[str] = []
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(15):
            fetched = sum(line.startswith("go: downloading") for line in lines)
            print(
                f"{title}: {_elapsed(began)}, {fetched} modules fetched, {len(lines) - fetched} packages compiled",
                flush=True,
            )

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    assert process.stdout is not None
    with process.stdout:
        lines.extend(iter(process.stdout.readline, ""))
    code = process.wait()
    ended.set()
    reporter.join()
    if code != 0:
        raise LocalKubeError(f"{' '.join(command)} failed:\n{''.join(lines[-20:])}")
    print(f"{title}: built in {_elapsed(began)}", flush=True)


def _elapsed(began: float) -> str:
    seconds = int(time.monotonic() - began)
    return f"{seconds // 60} min {seconds % 60:02d} s"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another build into the same cache", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
