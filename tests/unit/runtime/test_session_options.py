"""Each thread and session option by what it does in the running engines; what they say is ONNX Runtime's own word."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from genai_runtime.cpu_limit import CpuShare
from genai_runtime.engine import ort
from genai_runtime.engine.batch.graph import Graph
from genai_runtime.engine.session_options import session_entries
from support.engines import hello_spec, prompt_of, request, run_engine, tokens_of
from support.session_effects import arena, cpu_time, loaded, session_log, sleeps, threads

BOTH = pytest.mark.parametrize("kind", ["batch", "single"])
CPUS = sorted(os.sched_getaffinity(0))
# ONNX Runtime counts turns, so that spinning takes this much CPU time however busy the machine is.
SPIN_LONG = {"session.intra_op.spin_duration_us": "99999"}
MUCH, TIMES = 20_000_000, 10


def wait_until(what: str, true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def answer(kind: str, tmp_path: Path, **changes: Any) -> list[int]:
    with loaded(kind, hello_spec(tmp_path, **changes)) as (engine, _, _):
        engine.submit(request("r", prompt_of(40), 12))
        return tokens_of(run_engine(engine), "r")


@BOTH
def test_intra_op_threads_are_made(kind: str, tmp_path: Path) -> None:
    counts = []
    answer(kind, tmp_path)  # what is made once in a process
    for number in (1, 4):
        with loaded(kind, hello_spec(tmp_path, intra_op_threads=number)) as (_, _, made):
            counts.append(len(made))
    assert counts[1] - counts[0] == 3  # the fourth is the one that runs the model


@BOTH
def test_operators_run_at_the_same_time_on_threads_of_their_own(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    one_by_one = answer(kind, tmp_path)
    with loaded(kind, hello_spec(tmp_path)) as (_, info, made):
        sequential = len(made)
        assert info.inter_op_threads == 0
    with loaded(kind, hello_spec(tmp_path, inter_op_threads=3)) as (_, info, made):
        assert len(made) == sequential + 2
        assert info.inter_op_threads == 3
    assert answer(kind, tmp_path, inter_op_threads=3) == one_by_one
    said = session_log(kind, hello_spec(tmp_path, inter_op_threads=3), monkeypatch, capfd)
    assert (said["execution_mode"], said["inter"], said["intra"]) == ("1", "3", "2")
    assert session_log(kind, hello_spec(tmp_path), monkeypatch, capfd)["execution_mode"] == "0"


@pytest.mark.skipif(len(CPUS) < 2, reason="a thread can only be seen to stay on one of several CPUs")
@BOTH
def test_threads_stay_on_cpus_of_their_own(kind: str, tmp_path: Path) -> None:
    def places(**changes: Any) -> list[set[int]]:
        with loaded(kind, hello_spec(tmp_path, intra_op_threads=3, **changes)) as (_, info, made):
            assert info.thread_cpus == list(changes.get("exclusive_cpus", ()))[: 3 if len(places_of) >= 3 else 0]
            return [os.sched_getaffinity(int(each)) for each in made]

    places_of: tuple[int, ...] = ()
    assert places() == [set(CPUS), set(CPUS)]
    places_of = (CPUS[0], CPUS[-1], CPUS[0])
    assert sorted(places(exclusive_cpus=places_of), key=list) == [{CPUS[0]}, {CPUS[-1]}]
    places_of = (CPUS[0], CPUS[-1])  # fewer than threads: two would have to share one
    assert places(exclusive_cpus=places_of) == [set(CPUS), set(CPUS)]


def spun(kind: str, tmp_path: Path, **changes: Any) -> int:
    """CPU time of the pool's thread in a few runs and until it sleeps."""
    with loaded(kind, hello_spec(tmp_path, intra_op_threads=2, **changes)) as (engine, _, made):
        wait_until("the pool sleeps", lambda: all(map(sleeps, made)))
        before = sum(map(cpu_time, made))
        engine.submit(request("r", prompt_of(4), 3))
        run_engine(engine)
        wait_until("the pool sleeps again", lambda: all(map(sleeps, made)))
        return sum(map(cpu_time, made)) - before


@BOTH
def test_threads_spin_where_told_and_as_long_as_told(kind: str, tmp_path: Path) -> None:
    long = spun(kind, tmp_path, spinning=True, session_entries=SPIN_LONG)
    stopped = spun(kind, tmp_path, spinning=True, session_entries={**SPIN_LONG, "session.force_spinning_stop": "1"})
    never = spun(kind, tmp_path, spinning=False, session_entries=SPIN_LONG)
    assert long > MUCH
    assert stopped < long / 3
    assert never < long / 3


LEVELS = {"disabled": "0", "basic": "1", "extended": "2", "all": "4", None: "4"}


@BOTH
@pytest.mark.parametrize("level", LEVELS)
def test_the_graph_is_optimised_as_far_as_told(
    kind: str, level: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = hello_spec(tmp_path, graph_optimization_level=level)
    assert session_log(kind, spec, monkeypatch, capfd)["graph_optimization_level"] == LEVELS[level]


def graph_of(tmp_path: Path, **changes: Any) -> Graph:
    return Graph.load(hello_spec(tmp_path, **changes), 2, 128)


def test_an_optimised_graph_runs_fewer_operators(tmp_path: Path) -> None:
    def operators(level: str) -> int:
        graph, options = graph_of(tmp_path, graph_optimization_level=level), ort.RunOptions()
        (tmp_path / level).mkdir()
        options.start_profiling(tmp_path / level / "run")
        graph.decode(1, [0, 0], options)
        options.close()
        graph.close()
        (file,) = (tmp_path / level).iterdir()
        return sum(event.get("cat") == "Node" for event in json.loads(file.read_text()))

    assert operators("all") < operators("disabled")


def test_memory_is_planned_and_kept_as_told(tmp_path: Path) -> None:
    def allocations(**changes: Any) -> int:
        graph = graph_of(tmp_path, **changes)
        for _ in range(3):
            graph.decode(1, [8, 0])
        before = arena(graph._session)
        graph.decode(1, [8, 0])
        after = arena(graph._session)
        graph.close()
        return after["NumAllocs"] - before["NumAllocs"]

    assert 0 < allocations() == allocations(memory_pattern=True) < allocations(memory_pattern=False)
    graph = graph_of(tmp_path, memory_arena=False)
    graph.decode(1, [8, 0])
    assert arena(graph._session) == {}
    graph.close()


@BOTH
def test_both_engines_pass_on_arena_pattern_and_entries(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said = session_log(kind, hello_spec(tmp_path), monkeypatch, capfd)
    assert (said["enable_cpu_mem_arena"], said["enable_mem_pattern"]) == ("1", "1")
    assert said["session.prepack.enable_parallel"] == "1"
    assert "Loop Level : 1" in said["text"]
    entries = {
        "session.dynamic_block_base": "7",
        "session.graph_optimizations_loop_level": "2",
        "session.prepack.enable_parallel": "0",
    }
    spec = hello_spec(tmp_path, memory_arena=False, memory_pattern=False, session_entries=entries)
    said = session_log(kind, spec, monkeypatch, capfd)
    assert (said["enable_cpu_mem_arena"], said["enable_mem_pattern"]) == ("0", "0")
    assert said["session.prepack.enable_parallel"] == "0"
    assert "Dynamic block base set to 7" in said["text"]
    assert "Loop Level : 2" in said["text"]


def dense(layers: int, size: int) -> onnx.ModelProto:
    """Layers of a matrix and a Gelu."""
    weights = [numpy_helper.from_array(np.eye(size, dtype=np.float32), f"w{layer}") for layer in range(layers)]
    nodes = []
    for layer in range(layers):
        nodes.append(helper.make_node("MatMul", [f"x{layer}", f"w{layer}"], [f"h{layer}"]))
        nodes.append(helper.make_node("Gelu", [f"h{layer}"], [f"x{layer + 1}"], domain="com.microsoft"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name in ("x0", f"x{layers}")]
    graph = helper.make_graph(nodes, "dense", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_gelu_is_approximated_where_asked_for(tmp_path: Path) -> None:
    kinds = {}
    for value in ("0", "1"):
        path = tmp_path / f"{value}.onnx"
        entries = {"optimization.enable_gelu_approximation": value}
        with ort.SessionOptions(config=entries, optimized_model=path) as options:
            ort.Session(dense(1, 8).SerializeToString(), options).close()
        kinds[value] = {node.op_type for node in onnx.load(path).graph.node}
    assert "FastGelu" in kinds["1"]
    assert "FastGelu" not in kinds["0"]


_DENORMAL = """
import sys
from pathlib import Path
import numpy as np
from support.engines import hello_spec
from support.session_effects import loaded
with loaded(sys.argv[1], hello_spec(Path("."), session_entries={"session.set_denormal_as_zero": sys.argv[2]})):
    print(float(np.full(1, 1e-40, np.float32)[0] * np.float32(1)))
"""


@BOTH
@pytest.mark.parametrize(("value", "smallest_is_zero"), [("0", False), ("1", True)])
def test_the_smallest_numbers_are_zero_where_told(
    kind: str, value: str, smallest_is_zero: bool, tmp_path: Path
) -> None:
    """In a process of its own, as an engine has: the mode of a thread's arithmetic stays."""
    python_path = os.pathsep.join(each for each in sys.path if each)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _DENORMAL, kind, value],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (float(done.stdout) == 0) is smallest_is_zero


def test_weights_are_prepacked_by_all_threads(tmp_path: Path) -> None:
    """The pool has nothing else to do while a session is made, so its CPU time is the packing."""
    model = dense(8, 512).SerializeToString()

    def helped(entries: dict[str, str]) -> int:
        before = threads()
        with ort.SessionOptions(threads=2, config=entries) as options:
            session = ort.Session(model, options)
        (worker,) = threads() - before
        time_used = cpu_time(worker)
        session.close()
        return time_used

    spec = hello_spec(tmp_path, spinning=False)
    own = session_entries(spec)
    alone = session_entries(dataclasses.replace(spec, session_entries={"session.prepack.enable_parallel": "0"}))
    idle = max(helped(alone) for _ in range(5))
    assert any(helped(own) > TIMES * idle for _ in range(50))  # the first thread may be done before another wakes


SHARES = {
    "a whole limit": (CpuShare(2.0, (0, 1, 2, 3), 4), 2, 0, True, ()),
    "more threads than the limit": (CpuShare(2.0, (0, 1, 2, 3), 4), 3, 0, False, ()),
    "half a CPU": (CpuShare(1.5, (0, 1, 2, 3), 4), 2, 0, False, ()),
    "no limit: the node's CPUs are everybody's": (CpuShare(None, (0, 1, 2, 3), 4), 4, 0, False, ()),
    "a limit above the node": (CpuShare(8.0, (0, 1), 2), 2, 0, True, ()),
    "fewer CPUs than the limit": (CpuShare(4.0, (0, 1), 2), 4, 0, False, ()),
    "a static CPU manager": (CpuShare(2.0, (4, 5), 8), 2, 2, True, (4, 5)),
    "a static CPU manager that takes the limit away": (CpuShare(None, (4, 5), 8), 2, 2, True, (4, 5)),
    "what a static CPU manager leaves to others": (CpuShare(2.0, (6, 7), 8), 2, 0, True, ()),
    "guaranteed without a static CPU manager": (CpuShare(2.0, (0, 1, 2, 3), 4), 2, 2, True, ()),
    "guaranteed, and as many as the node has": (CpuShare(2.0, (0, 1), 2), 2, 2, True, ()),
    "another limit than what was guaranteed": (CpuShare(1.0, (4, 5), 8), 1, 2, True, ()),
}


@pytest.mark.parametrize(("share", "count", "guaranteed", "spins", "own"), SHARES.values(), ids=SHARES.keys())
def test_what_auto_means(share: CpuShare, count: int, guaranteed: int, spins: bool, own: tuple[int, ...]) -> None:
    assert (share.may_spin(count, guaranteed), share.exclusive(guaranteed)) == (spins, own)
