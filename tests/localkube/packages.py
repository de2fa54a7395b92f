"""Debian packages the cluster, the image builds and some tests need, installed when something of them is missing.

Nothing is upgraded, and services that a package brings are not started.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from localkube.errors import LocalKubeError

CLUSTER = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
    # Go fetches its modules with the machine's authorities
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}
"""Program (looked up on the PATH, or a file when it starts with /) to the package that has it."""

IMAGES = {
    "buildah": "buildah",
    "/etc/containers/policy.json": "golang-github-containers-common",
    "mmdebstrap": "mmdebstrap",
    "gpgv": "gpgv",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}

TESTS = {
    # Which files a process opens
    "strace": "strace",
}

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POLICY = Path("/usr/sbin/policy-rc.d")


def missing(wanted: dict[str, str]) -> list[str]:
    """The packages of those entries that are not on this machine, sorted."""
    return sorted({package for program, package in wanted.items() if not _present(program)})


def ensure(wanted: dict[str, str], purpose: str) -> None:
    """Installs what is missing. Raises LocalKubeError when that needs root or apt-get, or when apt-get fails."""
    packages = missing(wanted)
    if not packages:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    print(f"Installing Debian packages for {purpose}: {' '.join(packages)}", flush=True)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LocalKubeError(f"{purpose} needs {', '.join(packages)}; as root run: {' '.join(command)}")
    with _services_stay_off():
        for step in (["apt-get", "update"], command):
            done = subprocess.run(step, env=_apt_environment(), capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise LocalKubeError(f"{' '.join(step)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    still = missing(wanted)
    if still:
        raise LocalKubeError(f"{', '.join(still)} installed, but what {purpose} needs of them was not found")


def _present(program: str) -> bool:
    if program.startswith("/"):
        return Path(program).exists()
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}") is not None


def _apt_environment() -> dict[str, str]:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}


@contextlib.contextmanager
def _services_stay_off() -> Iterator[None]:
    """Debian starts what it installs; the containerd of the cluster is its own, and the machine's is not wanted."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
