"""Programs that tests need and that are not Python packages."""

import shutil


def helm_program() -> str:
    """The path of Helm. Fails with the remedy when there is none."""
    found = shutil.which("helm")
    assert found, "no helm on the PATH; `make binaries` builds the project's own"
    return found
