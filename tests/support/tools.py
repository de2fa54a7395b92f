"""Programs that tests need and that are not Python packages."""

import os
import shutil

from localkube import binaries


def helm_program() -> str:
    """The path of Helm. Fails with the remedy when there is none."""
    found = shutil.which("helm", path=f"{binaries.folder()}:{os.environ.get('PATH', '')}")
    assert found, "no helm: `make up` builds the project's own, or install one"
    return found
