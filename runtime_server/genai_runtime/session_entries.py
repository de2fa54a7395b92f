"""Which of ONNX Runtime's session entries may be set by name, and what their values may be.

ONNX Runtime takes any key in silence, so only keys are here whose effect tests have seen; docs/session-options.md
explains each. What the server itself sets is `engine/session_options.py`'s, and none of it can be named here.
"""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

PREPACK_PARALLEL = "session.prepack.enable_parallel"

# key: what its value has to match
SETTABLE = {
    "optimization.enable_gelu_approximation": "[01]",
    "session.dynamic_block_base": "[0-9]{1,3}",
    "session.force_spinning_stop": "[01]",
    "session.graph_optimizations_loop_level": "[012]",
    "session.intra_op.spin_duration_us": "[0-9]{1,5}",
    PREPACK_PARALLEL: "[01]",
    "session.set_denormal_as_zero": "[01]",
}


def _checked(entries: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in entries.items():
        pattern = SETTABLE.get(key)
        if pattern is None:
            raise ValueError(f"{key!r} is not an entry that may be set; {', '.join(SETTABLE)} are")
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{key} is {value!r}, which does not match {pattern}")
    return entries


# For settings.
SessionEntries = Annotated[dict[str, str], AfterValidator(_checked)]
