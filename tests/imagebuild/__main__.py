"""`python -m imagebuild`: builds the images and loads them into the running cluster. Only printing."""

from __future__ import annotations

import sys

from imagebuild import build
from localkube.cluster import Cluster
from localkube.errors import LocalKubeError


def main() -> int:
    try:
        build.load(Cluster.select())
    except LocalKubeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
