"""`python -m localkube`: the development cluster from a terminal. Only arguments and printing."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from localkube import binaries, packages
from localkube.cluster import Cluster
from localkube.errors import LocalKubeError
from localkube.local import LocalCluster


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m localkube", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the programs into the cache and install the Debian packages")
    commands.add_parser("up", help="start the cluster that CLUSTER names (auto, current, kind, local)")
    commands.add_parser("down", help="end it and delete all that is on it")
    commands.add_parser("status", help="say whether it runs; exit code 1 when it does not")
    commands.add_parser("kubeconfig", help="print the path of the kubeconfig")
    commands.add_parser("env", help="print the exports that make kubectl and helm use the cluster")
    load = commands.add_parser("load", help="make an image archive available to pods")
    load.add_argument("archive", type=Path)
    for program in ("kubectl", "helm"):
        commands.add_parser(program, add_help=False, help=f"run {program} on the cluster")
    arguments, rest = parser.parse_known_args()
    if rest and arguments.command not in ("kubectl", "helm"):
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        return _run(arguments, rest)
    except LocalKubeError as error:
        print(error, file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    cluster = Cluster.select()
    match arguments.command:
        case "build":
            packages.ensure(packages.CLUSTER | packages.IMAGES | packages.TESTS, "the local cluster, images and tests")
            binaries.build()
        case "up":
            cluster.up()
        case "down":
            cluster.down()
        case "status":
            return _status(cluster)
        case "kubeconfig":
            print(cluster.kubeconfig)
        case "env":
            print(f"export KUBECONFIG={cluster.kubeconfig}")
            if cluster.bin_dir is not None:
                print(f'export PATH="{cluster.bin_dir}:$PATH"')
        case "load":
            loaded = cluster.load_image(arguments.archive)
            print(f"{arguments.archive.name}: {'loaded' if loaded else 'already there'}")
        case program:
            path = cluster.program(program)
            os.execve(path, [program, *rest], cluster.environment())
    return 0


def _status(cluster: Cluster) -> int:
    if cluster.kind != "local":
        print(cluster.kubectl("get", "nodes", "--output=wide"), end="")
        return 0
    status = LocalCluster().status()
    for name, pid in status.processes.items():
        print(f"{name:20} process {pid}")
    for name in status.dead:
        print(f"{name:20} ended")
    print(f"{'running' if status.running else 'not running'}; kubeconfig: {cluster.kubeconfig}")
    return 0 if status.running else 1


if __name__ == "__main__":
    sys.exit(main())
