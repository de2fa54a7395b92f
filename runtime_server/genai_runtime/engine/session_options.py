"""A spec's threads and session fields as ONNX Runtime's session entries, the same for both engines.

What has a function or a key of its own in both engines' APIs (intra-op threads, levels, arena) is set by the engines.
"""

from collections.abc import Sequence

from genai_runtime.engine.protocol import EngineSpec
from genai_runtime.session_entries import PREPACK_PARALLEL, SETTABLE

ALLOW_SPINNING = "session.intra_op.allow_spinning"
ALLOW_INTER_OP_SPINNING = "session.inter_op.allow_spinning"
AFFINITIES = "session.intra_op_thread_affinities"
EXECUTION_MODE = "session.execution_mode"
INTER_OP_THREADS = "session.inter_op_num_threads"
_OWN = (ALLOW_SPINNING, ALLOW_INTER_OP_SPINNING, AFFINITIES, EXECUTION_MODE, INTER_OP_THREADS)
# All that may reach ONNX Runtime, with what the user may name.
KEYS = frozenset({*_OWN, *SETTABLE})


def session_entries(spec: EngineSpec) -> dict[str, str]:
    """What `AddSessionConfigEntry` is to be given. What the user named comes last."""
    spinning = "1" if spec.spinning else "0"
    # Weights are rearranged for the CPU's instructions by all threads: half the time to load with two of them.
    entries = {ALLOW_SPINNING: spinning, PREPACK_PARALLEL: "1"}
    if spec.inter_op_threads:
        entries |= {EXECUTION_MODE: "parallel", INTER_OP_THREADS: str(spec.inter_op_threads)}
        entries[ALLOW_INTER_OP_SPINNING] = spinning
    if cpus := thread_cpus(spec):
        entries[AFFINITIES] = ";".join(str(cpu + 1) for cpu in cpus[1:])  # ONNX Runtime counts CPUs from 1
    return entries | spec.session_entries


def thread_cpus(spec: EngineSpec) -> Sequence[int]:
    """The CPU of each thread, where they have one; the first is for the thread that runs the model, which is not bound.

    Only where every thread can have one of its own.
    """
    if spec.intra_op_threads < 2 or len(spec.exclusive_cpus) < spec.intra_op_threads:
        return ()
    return spec.exclusive_cpus[: spec.intra_op_threads]
