"""After a crash `up` brings the same objects back, and `down` can clean up what has no record. The cluster is up
again afterwards."""

import json
import os
import signal
from pathlib import Path

import pytest

from imagebuild.recipes import RUNTIME
from localkube import node, places, process
from localkube.cluster import Cluster
from localkube.local import FIRST, LocalCluster

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "survivor"},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": RUNTIME.image, "command": ["sleep", "infinity"]}],
    },
}


@pytest.mark.parametrize("victims", [("apiserver",), ("containerd", "kubelet"), (FIRST,)], ids="+".join)
def test_up_heals_what_was_killed(local: LocalCluster, target: Cluster, victims: tuple[str, ...]) -> None:
    target.kubectl("apply", "--filename=-", input=json.dumps(POD))
    target.kubectl("wait", "--for=condition=Ready", "pod/survivor")
    before = process.load(local.state.processes)
    for victim in victims:
        kill_program(victim, before[victim])
    assert set(local.status().dead) >= set(victims)
    local.up()
    after = process.load(local.state.processes)
    assert all(not one.alive() for one in before.values())
    assert all(one.alive() for one in after.values())
    assert node.first_processes() == [after[FIRST].pid]
    target.kubectl("wait", "--for=condition=Ready", "pod/survivor")
    assert target.kubectl("exec", "survivor", "--", "echo", "back") == "back\n"
    target.kubectl("delete", "pod", "survivor")


def kill_program(name: str, recorded: process.Process) -> None:
    """Except for the first, the record names the process that entered the node's namespaces; the program is its
    child."""
    for pid in [recorded.pid] if name == FIRST else process.children(recorded.pid):
        os.kill(pid, signal.SIGKILL)
    assert recorded.wait_gone(10)


def test_a_lost_record_loses_no_process(local: LocalCluster) -> None:
    before = process.load(local.state.processes)
    local.state.processes.unlink()
    local.up()
    assert all(not one.alive() for one in before.values())
    assert len(node.first_processes()) == 1
    assert Path(f"/sys/class/net/{places.HOST_LINK}").exists()
