"""The node: network, mount and PID namespaces of its own, so that whatever the cluster makes in them (rules, routes,
links, mounts, processes) ends with them.

The machine itself gets one link, one route and one control group, named after the cluster. What runs inside is not
known here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from localkube import places, process
from localkube.components import Component
from localkube.errors import LocalKubeError
from localkube.packages import SYSTEM_PATH
from localkube.places import State
from localkube.process import Process

COVERED = ("/run", "/var/log", "/var/lib/kubelet", "/var/lib/cni")
"""Folders whose place in the machine is fixed by kubelet, containerd or the CNI plugins: inside, they are the
cluster's own."""

_ENTER = """set -eu
mount --make-rshared /
private=$1 pause=$2 name=$3; shift 3
for folder in "$@"; do mount --bind "$private$folder" "$folder"; done
exec "$pause" "$name"
"""


def bridge_netfilter() -> bool:
    """Whether iptables can see what crosses a bridge; loads the module where the kernel has it as one."""
    setting = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not setting.exists() and shutil.which("modprobe"):
        subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False)
    return setting.exists()


def first_processes() -> list[int]:
    """The node's first process, by its command line: also one whose record was lost."""
    found = []
    for pid in process.pids():
        words = process.command_line(pid)
        if len(words) == 2 and Path(words[0]).name.startswith("pause") and words[1] == places.NAME:
            found.append(pid)
    return found


def create(state: State, pause: Path) -> Process:
    """Makes namespaces, link, addresses and control groups; returns the first process inside. Raises LocalKubeError."""
    _refuse_conflicts()
    for folder in COVERED:
        (state.private / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        _make_folder(state, Path(folder))
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "slave"]
    command = [*unshare, "sh", "-c", _ENTER, "sh", str(state.private), str(pause), places.NAME, *COVERED]
    outer = _spawn(command, state.logs / "node.log")
    first = _await_first(outer.pid, state)
    for group in _control_groups():
        group.mkdir(exist_ok=True)
    _connect(first.pid)
    return first


def start(state: State, first: Process, component: Component) -> Process:
    """Starts one program inside the node; its output goes to `logs/NAME.log`."""
    enter = ["nsenter", "--target", str(first.pid), "--net", "--mount", "--pid", "--"]
    return _spawn([*enter, *component.command], state.logs / f"{component.name}.log")


def run_inside(first: Process, *command: str) -> str:
    """Runs a short command in the node's network namespace and returns its output. Raises LocalKubeError when it
    fails."""
    return _checked(["nsenter", "--target", str(first.pid), "--net", "--", *command])


def destroy(state: State) -> None:
    """Ends every process of the node at once and removes link and control groups. Does nothing where there is
    nothing."""
    recorded = process.load(state.processes)
    for pid in first_processes():
        # the kernel ends every other process of a PID namespace with its first
        first = Process.of(pid)
        first.send(signal.SIGKILL)
        if not first.wait_gone(30):
            raise LocalKubeError(f"process {pid}, the node's first, does not end after SIGKILL")
    for name, one in recorded.items():
        if not one.wait_gone(30):
            raise LocalKubeError(f"process {one.pid} ({name}) outlived the node it ran in")
    if Path(f"/sys/class/net/{places.HOST_LINK}").exists():
        subprocess.run(["ip", "link", "delete", places.HOST_LINK], env=_environment(), capture_output=True, check=False)
    _remove_control_groups()
    state.processes.unlink(missing_ok=True)


def forget_folders(state: State) -> None:
    """Removes the folders that `create` had to make in the machine, where they are still empty."""
    record = state.root / "made-folders"
    for folder in record.read_text().split() if record.exists() else ():
        path = Path(folder)
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _make_folder(state: State, folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True)
        with (state.root / "made-folders").open("a") as record:
            record.write(f"{folder}\n")


def _await_first(outer: int, state: State) -> Process:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and Path(f"/proc/{outer}").exists():
        for pid in process.children(outer):
            # the command line changes from sh to pause when all mounts are in place
            if pid in first_processes():
                return Process.of(pid)
        time.sleep(0.02)
    said = (state.logs / "node.log").read_text()[-1000:]
    raise LocalKubeError(f"the node's namespaces could not be made (root with CAP_SYS_ADMIN is needed): {said}")


def _refuse_conflicts() -> None:
    for line in _checked(["ip", "route", "show", "table", "all"]).splitlines():
        words = line.split()
        if words[0] in (places.POD_NETWORK, places.SERVICE_NETWORK) and places.HOST_LINK not in words:
            raise LocalKubeError(f"this machine already routes {words[0]} ({line.strip()}): remove that first")


def _connect(pid: int) -> None:
    """One virtual cable; inside, a bridge holds it together with the pods. No default route: nothing leaves the
    machine."""
    host, inner = places.HOST_LINK, places.NODE_LINK
    prefix = places.POD_NETWORK.split("/")[1]
    outside = [
        f"link add {host} type veth peer name {inner} netns {pid}",
        f"address add {places.HOST_ADDRESS}/{prefix} dev {host}",
        f"link set {host} up",
        f"route replace {places.SERVICE_NETWORK} via {places.NODE_ADDRESS} dev {host}",
    ]
    inside = [
        "link set lo up",
        f"link add {places.BRIDGE} type bridge",
        f"address add {places.NODE_ADDRESS}/{prefix} dev {places.BRIDGE}",
        f"link set {inner} master {places.BRIDGE}",
        f"link set {inner} up",
        f"link set {places.BRIDGE} up",
        # what no rule translates ends on the bridge
        f"route replace {places.SERVICE_NETWORK} dev {places.BRIDGE}",
    ]
    enter = ["nsenter", "--target", str(pid), "--net", "--"]
    for command in outside:
        _checked(["ip", *command.split()])
    for command in inside:
        _checked([*enter, "ip", *command.split()])
    settings = ["/proc/sys/net/ipv4/ip_forward"]
    if bridge_netfilter():
        settings.append("/proc/sys/net/bridge/bridge-nf-call-iptables")
    for setting in settings:
        _checked([*enter, "sh", "-c", f"echo 1 > {setting}"])


def _control_groups() -> list[Path]:
    """Our group in each hierarchy that is mounted: one with version 2, one per controller with version 1."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(fields[1]) / places.NAME for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def _remove_control_groups() -> None:
    for group in _control_groups():
        for folder, _, _ in os.walk(group, topdown=False):
            _remove_group(Path(folder))


def _remove_group(folder: Path) -> None:
    deadline = time.monotonic() + 10
    while folder.exists():
        try:
            folder.rmdir()
        except OSError as error:
            # processes that were just killed stay in their group until the kernel has buried them
            if time.monotonic() > deadline:
                raise LocalKubeError(f"control group {folder} cannot be removed: {error}") from error
            time.sleep(0.05)


def _spawn(command: list[str], log: Path) -> Process:
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            cwd="/",
            start_new_session=True,
        )
    # it is meant to outlive this program, so nobody waits for it
    child.returncode = 0
    return Process.of(child.pid)


def _environment() -> dict[str, str]:
    return {"PATH": SYSTEM_PATH, "HOME": "/root", "LANG": "C.UTF-8"}


def _checked(command: list[str]) -> str:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalKubeError(f"{' '.join(command)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
