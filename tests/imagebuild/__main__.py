"""`python -m imagebuild [cuda]`: builds the images and loads them into the running cluster. Only printing."""

from __future__ import annotations

import sys

from imagebuild import build
from imagebuild.recipes import ALL, RUNTIME_CUDA
from localkube.cluster import Cluster
from localkube.errors import LocalKubeError


def main() -> int:
    try:
        build.load(Cluster.select(), [RUNTIME_CUDA] if sys.argv[1:] == ["cuda"] else ALL)
    except LocalKubeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
