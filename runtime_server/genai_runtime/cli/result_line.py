"""The result of a command that runs as a Job or an init container: one JSON object on stdout and where Kubernetes picks
it up, so that the operator reads it. How a failure is left is `front/logs.py`'s.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from genai_runtime.front import logs


def tell(result: Mapping[str, object]) -> None:
    """Print it, and leave it in the termination log, if there is such a place."""
    line = json.dumps(result)
    print(line, flush=True)
    path = Path(os.environ.get("GENAI_TERMINATION_LOG") or logs.TERMINATION_LOG)
    if path == logs.TERMINATION_LOG and not path.is_file():
        return
    try:
        path.write_text(line + "\n", encoding="utf-8")
    except OSError as error:
        print(f"genai-runtime: {path} cannot be written: {error}", file=sys.stderr)
