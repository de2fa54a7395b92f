"""`python -m imagebuild [cuda|builder]`: builds the images and loads them into the running cluster. Only printing."""

from __future__ import annotations

import sys

from imagebuild import build
from imagebuild.recipes import ALL, BUILDER, RUNTIME_CUDA, Recipe
from localkube.cluster import Cluster
from localkube.errors import LocalKubeError

_ASKED_FOR: dict[str, Recipe] = {"cuda": RUNTIME_CUDA, "builder": BUILDER}


def main() -> int:
    try:
        build.load(Cluster.select(), [_ASKED_FOR[name] for name in sys.argv[1:]] or ALL)
    except LocalKubeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
