"""The binding of ONNX Runtime: each function shown by an effect that no other function of its table has."""

import ctypes
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from genai_runtime.engine import ort
from genai_runtime.engine.genai_capi import UnsupportedRelease, onnxruntime_folder
from genai_runtime.engine.ort_library import Library
from genai_runtime.engine.session_options import ALLOW_SPINNING
from support.lora import write_adapter

LIBRARY = next((onnxruntime_folder() / "capi").glob("libonnxruntime.so.*"))
# Read-only functions that only this test needs.
GET_SESSION_CONFIG, GET_MEMORY_PATTERN = 238, 419


def of_api(place: int, *arguments: Any) -> Callable[..., Any]:
    """A function of OrtApi by its place."""
    base = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p))(("OrtGetApiBase", ctypes.CDLL(str(LIBRARY))))()
    table = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint32)(base[0])(29)
    function: Callable[..., Any] = ctypes.CFUNCTYPE(ctypes.c_void_p, *arguments)(table[place])
    return function


def tensor(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(nodes: list[onnx.NodeProto], inputs: Any, outputs: Any, weights: Any = ()) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "test", list(inputs), list(outputs), list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def affine() -> onnx.ModelProto:
    """y = (x + 2) w, with a constant to fold, and the shape of x."""
    one = numpy_helper.from_array(np.ones(4, np.float32), "one")
    nodes = [
        helper.make_node("Add", ["one", "one"], ["two"]),
        helper.make_node("Add", ["x", "two"], ["shifted"]),
        helper.make_node("MatMul", ["shifted", "w"], ["y"]),
        helper.make_node("Shape", ["x"], ["shape"]),
    ]
    shape = helper.make_tensor_value_info("shape", TensorProto.INT64, [2])
    return model(nodes, [tensor("x", ["n", 4]), tensor("w", [4, "m"])], [tensor("y", ["n", "m"]), shape], [one])


X = np.arange(8, dtype=np.float32).reshape(2, 4)
W = np.eye(4, 3, dtype=np.float32)


def session(graph: onnx.ModelProto, **options: Any) -> ort.Session:
    with ort.SessionOptions(**options) as made:
        return ort.Session(graph.SerializeToString(), made)


@pytest.fixture
def prepared() -> tuple[ort.Call, np.ndarray[Any, Any]]:
    out = np.zeros((2, 3), np.float32)
    feeds = {"x": ort.Value(X), "w": ort.Value(W)}
    return ort.Call(session(affine()), feeds, {"y": ort.Value(out)}), out


def test_describes_inputs_and_outputs() -> None:
    with session(affine()) as loaded:
        assert loaded.inputs == {
            "x": ort.TensorInfo(np.dtype(np.float32), ("n", 4)),
            "w": ort.TensorInfo(np.dtype(np.float32), (4, "m")),
        }
        assert loaded.outputs["shape"] == ort.TensorInfo(np.dtype(np.int64), (2,))
        assert list(loaded.outputs) == ["y", "shape"]


def test_runs_over_given_memory(prepared: tuple[ort.Call, np.ndarray[Any, Any]]) -> None:
    call, out = prepared
    call()
    assert np.array_equal(out, (X + 2) @ W)


def test_feeds_and_fetches_at_an_offset(prepared: tuple[ort.Call, np.ndarray[Any, Any]]) -> None:
    call, _ = prepared
    large, out = np.full(100, np.nan, np.float32), np.full(9, np.nan, np.float32)
    large[10:14] = X[1]
    call.feed("x", ort.Value(large, (1, 4), 40))
    call.fetch("y", ort.Value(out, (1, 3), 12))
    call()
    assert np.array_equal(out[3:6], (X[1] + 2) @ W)
    assert np.isnan(out[[0, 1, 2, 6, 7, 8]]).all()


def test_says_what_does_not_fit_the_output(prepared: tuple[ort.Call, np.ndarray[Any, Any]]) -> None:
    call, _ = prepared
    call.feed("x", ort.Value(X, (1, 4)))
    with pytest.raises(ort.OrtError, match="shape"):
        call()


@pytest.mark.parametrize("name", ["y", "z"])
def test_feeds_only_inputs_that_are_there(prepared: tuple[ort.Call, np.ndarray[Any, Any]], name: str) -> None:
    with pytest.raises(KeyError):
        prepared[0].feed(name, ort.Value(X))


@pytest.mark.parametrize(
    ("shape", "offset"), [((3, 4), 0), ((2, 4), 4), ((1, 4), -4), ((-1, 4), 0), ((-2, -4), 0), ((1 << 62, 4), 0)]
)
def test_a_tensor_never_leaves_its_memory(shape: tuple[int, ...], offset: int) -> None:
    with pytest.raises(ValueError, match="lie inside"):
        ort.Value(X, shape, offset)


def test_a_tensor_needs_contiguous_memory() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        ort.Value(X.T)


def test_reports_a_missing_file_and_bytes_that_are_no_model(tmp_path: Path) -> None:
    with ort.SessionOptions() as options:
        with pytest.raises(ort.OrtError, match=r"missing\.onnx") as error:
            ort.Session(tmp_path / "missing.onnx", options)
        assert (error.value.code, error.value.terminated) == (3, False)
        with pytest.raises(ort.OrtError):
            ort.Session(b"junk", options)


def slow() -> onnx.ModelProto:
    """`started` = x + 1, and from it a long chain: seconds of work."""
    weight = numpy_helper.from_array(np.eye(512, dtype=np.float32), "w")
    names = ["started", *(f"h{i}" for i in range(300)), "done"]
    chain = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    first = helper.make_node("Add", ["x", "one"], ["started"])
    sizes: list[Any] = [512, 512]
    outputs = [tensor("started", sizes), tensor("done", sizes)]
    return model([first, *chain], [tensor("x", sizes)], outputs, [weight, one])


def test_terminates_in_the_middle_of_a_run_until_cleared() -> None:
    x = np.ones((512, 512), np.float32)
    started, done = np.zeros_like(x), np.full_like(x, np.nan)
    fetches = {"started": ort.Value(started), "done": ort.Value(done)}
    call = ort.Call(session(slow()), {"x": ort.Value(x)}, fetches)
    options, errors = ort.RunOptions(), []

    def run() -> None:
        try:
            call(options)
        except ort.OrtError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and started[-1, -1] == 0:
        pass
    options.terminate()
    thread.join()
    assert started[-1, -1] == 2
    assert [error.terminated for error in errors] == [True]
    assert np.isnan(done).all()
    run()
    assert len(errors) == 2
    options.clear()
    run()
    assert len(errors) == 2
    assert (done == 2).all()


def test_terminating_some_options_leaves_other_runs_alone(prepared: tuple[ort.Call, np.ndarray[Any, Any]]) -> None:
    call, out = prepared
    with ort.RunOptions() as stopped, ort.RunOptions() as other:
        stopped.terminate()
        call(other)
    assert np.array_equal(out, (X + 2) @ W)


def test_profiles_exactly_the_runs_in_between(prepared: tuple[ort.Call, np.ndarray[Any, Any]], tmp_path: Path) -> None:
    call, _ = prepared
    options = ort.RunOptions()
    call(options)
    options.start_profiling(tmp_path / "window")
    call(options)
    options.stop_profiling()
    call(options)
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("window")
    events = json.loads(file.read_text())
    assert any("MatMul" in event.get("name", "") for event in events)


def test_refuses_profiles_where_none_can_be_written(tmp_path: Path) -> None:
    with ort.RunOptions() as options, pytest.raises(PermissionError, match="nowhere"):
        options.start_profiling(tmp_path / "nowhere" / "window")


def test_refuses_unknown_config_entries() -> None:
    with pytest.raises(ValueError, match=r"session\.made_up"):
        ort.SessionOptions(config={"session.made_up": "1"})
    with ort.RunOptions() as options, pytest.raises(ValueError, match=r"run\.made_up"):
        options.add_config("run.made_up", "1")


def test_sets_config_entries_of_sessions() -> None:
    get = of_api(GET_SESSION_CONFIG, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_size_t))
    with ort.SessionOptions(config={ALLOW_SPINNING: "0"}) as options:
        text, size = ctypes.create_string_buffer(8), ctypes.c_size_t(8)
        assert not get(options.pointer, ALLOW_SPINNING.encode(), text, ctypes.byref(size))
        assert text.value == b"0"


def test_shrinks_the_arena_after_a_run_if_there_is_one() -> None:
    for arena in (True, False):
        with ort.RunOptions() as options:
            options.add_config(ort.ARENA_SHRINKAGE, "cpu:0")
            out = np.zeros((2, 3), np.float32)
            call = ort.Call(
                session(affine(), arena=arena), {"x": ort.Value(X), "w": ort.Value(W)}, {"y": ort.Value(out)}
            )
            if arena:
                call(options)
                assert np.array_equal(out, (X + 2) @ W)
            else:
                with pytest.raises(ort.OrtError, match="arena"):
                    call(options)


def test_sets_the_memory_pattern() -> None:
    get = of_api(GET_MEMORY_PATTERN, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))
    for wanted in (True, False):
        with ort.SessionOptions(memory_pattern=wanted) as options:
            found = ctypes.c_int(-1)
            assert not get(options.pointer, ctypes.byref(found))
            assert found.value == wanted


def test_optimises_as_far_as_told_and_writes_the_result(tmp_path: Path) -> None:
    nodes = {}
    for level in (ort.GraphLevel.DISABLED, ort.GraphLevel.ALL):
        path = tmp_path / f"{level.name}.onnx"
        session(affine(), level=level, optimized_model=path).close()
        nodes[level.name] = len(onnx.load(path).graph.node)
    assert nodes == {"DISABLED": 4, "ALL": 3}


def test_uses_as_many_threads_as_told_and_ends_them() -> None:
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208

    before = threads()
    loaded = session(affine(), threads=4)
    assert threads() == before + 3
    loaded.close()
    assert threads() == before


def test_finds_the_weights_of_a_model_in_memory_in_the_folder_that_is_named(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.full((64, 64), 3, np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = model([node], [tensor("x", [1, 64])], [tensor("y", [1, 64])], [weight])
    path = tmp_path / "model.onnx"
    onnx.save(graph, path, save_as_external_data=True, location="weights.bin", size_threshold=16)
    with ort.SessionOptions(config={ort.EXTERNAL_FOLDER: str(tmp_path)}) as options:
        loaded = ort.Session(path.read_bytes(), options)
    out = np.zeros((1, 64), np.float32)
    ort.Call(loaded, {"x": ort.Value(np.ones((1, 64), np.float32))}, {"y": ort.Value(out)})()
    assert (out == 192).all()


def test_an_adapter_changes_the_runs_that_name_it(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    down, up = (random.normal(size=size).astype(np.float32) for size in ((4, 2), (2, 4)))
    empty = {"down": np.zeros((4, 0), np.float32), "up": np.zeros((0, 4), np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "down"], ["low"]),
        helper.make_node("MatMul", ["low", "up"], ["high"]),
        helper.make_node("Add", ["x", "high"], ["y"]),
    ]
    inputs = [tensor("x", ["n", 4]), tensor("down", [4, "r"]), tensor("up", ["r", 4])]
    weights = [numpy_helper.from_array(each, name) for name, each in empty.items()]
    loaded = session(model(nodes, inputs, [tensor("y", ["n", 4])], weights))
    assert list(loaded.inputs) == ["x"]
    out = np.zeros_like(X)
    call = ort.Call(loaded, {"x": ort.Value(X)}, {"y": ort.Value(out)})
    adapters = [
        ort.LoraAdapter(write_adapter(tmp_path / f"{sign}.onnx_adapter", {"down": down, "up": sign * up}))
        for sign in (1, -1)
    ]
    for sign, adapter in zip((1, -1), adapters, strict=True):
        with ort.RunOptions() as options:
            options.add_adapter(adapter)
            call(options)
        assert np.allclose(out, X + sign * X @ down @ up, atol=1e-5)
    call()
    assert np.array_equal(out, X)


def test_reports_a_file_that_is_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(ort.OrtError):
        ort.LoraAdapter(tmp_path / "missing.onnx_adapter")


def test_an_adapter_for_another_graph_fails_the_run(
    prepared: tuple[ort.Call, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    path = write_adapter(tmp_path / "other.onnx_adapter", {"unknown.lora_A": np.ones((1, 1), np.float32)})
    with ort.RunOptions() as options:
        options.add_adapter(ort.LoraAdapter(path))
        with pytest.raises(ort.OrtError, match="unknown"):
            prepared[0](options)


def test_refuses_a_release_that_was_not_checked() -> None:
    with pytest.raises(UnsupportedRelease, match=r"1\.31\.\d+, not 1\.30\.x"):
        Library(LIBRARY, checked=["1.30."])


def test_everything_in_the_process_shares_one_environment() -> None:
    first, second = ort.Env(), ort.Env()
    assert first.pointer == second.pointer == ort.environment().pointer
    first.close()
    second.close()
    assert session(affine()).inputs


def test_refuses_closed_objects(prepared: tuple[ort.Call, np.ndarray[Any, Any]]) -> None:
    options, value, loaded = ort.RunOptions(), ort.Value(X), session(affine())
    for each in (options, value, loaded):
        each.close()
        each.close()
    with pytest.raises(ValueError, match="RunOptions is closed"):
        options.terminate()
    with pytest.raises(ValueError, match="RunOptions is closed"):
        prepared[0](options)
    with pytest.raises(ValueError, match="Value is closed"):
        prepared[0].feed("x", value)
    with pytest.raises(ValueError, match="Session is closed"):
        ort.Call(loaded, {"x": ort.Value(X)}, {})()


def test_closing_frees_what_was_made() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    out = np.zeros((2, 3), np.float32)
    loaded = session(affine())

    def once() -> None:
        feeds = {"x": ort.Value(X), "w": ort.Value(W)}
        with ort.RunOptions() as options:
            ort.Call(loaded, feeds, {"y": ort.Value(out)})(options)
        with pytest.raises(ort.OrtError):
            ort.Call(loaded, feeds, {"nothing": ort.Value(out)})()

    def rss_after(count: int) -> int:
        for _ in range(count):
            once()
        return resident()

    before = rss_after(500)
    assert rss_after(5000) - before < 2000


def test_neither_library_needs_the_wheels_python_module() -> None:
    code = (
        "import sys; from genai_runtime.engine import ort, genai_capi; ort.environment(); genai_capi.library();"
        "assert not {'onnxruntime', 'onnxruntime_genai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_element_types_are_numpys() -> None:
    codes = {name: helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in ("float16", "int64", "bool", "uint8")}
    assert {name: ort.dtype_of(code) for name, code in codes.items()} == {name: np.dtype(name) for name in codes}
    assert ort.dtype_of(TensorProto.BFLOAT16) is None
    assert ort.dtype_of(TensorProto.STRING) is None
