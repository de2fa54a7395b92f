"""Settings come from GENAI_*; a wrong one is named, with what it may be. Threads follow the cgroup."""

import json
import os
import re
from pathlib import Path

import pytest

from genai_runtime.cli.launch import engine_spec
from genai_runtime.cpu_limit import cgroup_cpu_limit, cpu_share, usable_cpus
from genai_runtime.errors import InvalidSettings
from genai_runtime.settings import OTHER_VARIABLES, Settings, load_settings, private_run_dir, unknown_variables


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GENAI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


def test_documented_variables_are_the_settings() -> None:
    text = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`(GENAI_[A-Z_]+)`", text))
    assert named == {f"GENAI_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES


def test_values_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_GRPC_PORT", "1234")
    monkeypatch.setenv("GENAI_THREADS", "3")
    monkeypatch.setenv("GENAI_MEMORY_ARENA", "false")
    monkeypatch.setenv("GENAI_WARMUP_PROMPTS", '["a", "b"]')
    monkeypatch.setenv("GENAI_TEMPERATURE", "")
    settings = load_settings(host="127.0.0.2", max_length=None)
    assert (settings.grpc_port, settings.thread_count(), settings.host) == (1234, 3, "127.0.0.2")
    assert (settings.memory_arena, settings.memory_pattern, settings.temperature) == (False, None, None)
    assert settings.warmup_prompts == ["a", "b"]


def test_one_variable_may_hold_many_and_a_variable_of_its_own_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_SETTINGS", '{"grpc_port": 1, "metrics_port": 2, "host": "a", "warmup_prompts": ["x"]}')
    monkeypatch.setenv("GENAI_METRICS_PORT", "3")
    settings = load_settings(host="b")
    assert (settings.grpc_port, settings.metrics_port, settings.host, settings.warmup_prompts) == (1, 3, "b", ["x"])
    assert unknown_variables() == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [("cpu", "cpu"), ("CUDA", "cuda"), ("directml", "dml"), ("DirectML", "dml"), ("NvTensorRtRtx", "trt-rtx")],
)
def test_a_device_may_be_called_as_elsewhere(monkeypatch: pytest.MonkeyPatch, written: str, meant: str) -> None:
    monkeypatch.setenv("GENAI_DEVICE", written)
    assert load_settings().device == meant


def test_options_are_those_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_DEVICE", "cuda")
    monkeypatch.setenv("GENAI_PROVIDER_OPTIONS", '{"cuda": {"gpu_mem_limit": 5, "enable_cuda_graph": false}}')
    settings = load_settings()
    assert settings.provider_options.of(settings.device) == {"gpu_mem_limit": 5, "enable_cuda_graph": False}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("GENAI_SETTINGS", "{", "GENAI_SETTINGS is not JSON"),
        ("GENAI_SETTINGS", "[]", "GENAI_SETTINGS is not a JSON object"),
        ("GENAI_SETTINGS", '{"grpc_port": -1}', "GENAI_GRPC_PORT: .*-1"),
        ("GENAI_SETTINGS", '{"grcp_port": 1}', "GENAI_GRCP_PORT: Extra inputs"),
        ("GENAI_GRPC_PORT", "70000", "GENAI_GRPC_PORT: .*65535.*'70000'"),
        ("GENAI_DEVICE", "tpu", "GENAI_DEVICE: .*'cpu', 'cuda'.*'qnn'"),
        ("GENAI_PROVIDER_OPTIONS", '{"cuda": {}}', "GENAI_PROVIDER_OPTIONS has cuda, and GENAI_DEVICE is cpu"),
        ("GENAI_PROVIDER_OPTIONS", '{"tpu": {}}', "GENAI_PROVIDER_OPTIONS: "),
        ("GENAI_PRECISION", "int2", "GENAI_PRECISION: .*'int4'"),
        ("GENAI_THREADS", "0", "GENAI_THREADS: "),
        ("GENAI_THREADS", "many", "GENAI_THREADS: "),
        ("GENAI_SPINNING", "true", "GENAI_SPINNING: .*'disabled'"),
        ("GENAI_INTER_OP_THREADS", "2", "GENAI_INTER_OP_THREADS needs GENAI_EXECUTION_MODE=parallel"),
        ("GENAI_SESSION_ENTRIES", '{"session.made_up": "1"}', "'session.made_up' is not an entry that may be set"),
        ("GENAI_SESSION_ENTRIES", '{"session.dynamic_block_base": "x"}', "session.dynamic_block_base is 'x'"),
        ("GENAI_TEMPERATURE", "nan", "GENAI_TEMPERATURE: "),
        ("GENAI_MAX_QUEUE_SECONDS", "-1", "GENAI_MAX_QUEUE_SECONDS: "),
        ("GENAI_GRAPH_OPTIMIZATION_LEVEL", "99", "GENAI_GRAPH_OPTIMIZATION_LEVEL: "),
        ("GENAI_WARMUP_PROMPTS", "hello", "JSON"),
        ("GENAI_METRICS_PORT", "9000", "must differ"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=says):
        load_settings()


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_GRPC_PORT", "x")
    monkeypatch.setenv("GENAI_DEVICE", "x")
    with pytest.raises(InvalidSettings, match=r"GENAI_DEVICE.*GENAI_GRPC_PORT|GENAI_GRPC_PORT.*GENAI_DEVICE"):
        load_settings()


def test_misspelt_variables_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_GRCP_PORT", "1")
    monkeypatch.setenv("GENAI_GRPC_PORT", "1")
    assert unknown_variables() == ["GENAI_GRCP_PORT"]


def test_folders_outside_a_pod_are_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("genai_runtime.settings.os.access", lambda path, mode: False)
    settings = load_settings()
    assert settings.run_dir == tmp_path / "run" / "genai"
    assert settings.run_dir.stat().st_mode & 0o777 == 0o700
    assert settings.profile_dir == settings.run_dir / "profiles"
    monkeypatch.setenv("GENAI_RUN_DIR", str(tmp_path / "given"))
    assert load_settings().run_dir == tmp_path / "given"


def test_somebody_elses_run_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "genai"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(InvalidSettings, match="GENAI_RUN_DIR"):
        private_run_dir()


def own(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "own"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("files", "own_text", "expected"),
    [
        ({}, "", None),
        ({"cpu.max": "max 100000\n"}, "0::/\n", None),
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"pods/a/cpu.max": "50000 100000\n"}, "0::/pods/a\n", 0.5),
        ({"pods/cpu.max": "100000 100000\n", "pods/a/cpu.max": "max 100000\n"}, "0::/pods/a\n", 1.0),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu,cpuacct:/x\n", 2.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu,cpuacct:/\n", None),
        (
            {"cpu,cpuacct/pods/a/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/pods/a/cpu.cfs_period_us": "100000\n"},
            "4:cpu,cpuacct:/pods/a\n0::/\n",
            0.5,
        ),
        ({"cpu.max": "nonsense"}, "0::/\n", None),
    ],
)
def test_cgroup_limits(tmp_path: Path, files: dict[str, str], own_text: str, expected: float | None) -> None:
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    assert cgroup_cpu_limit(root, own(tmp_path, own_text)) == expected


def test_threads_are_the_limit_rounded_up_within_the_affinity(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    root.mkdir()
    (root / "cpu.max").write_text("10000 100000")
    assert usable_cpus(root, own(tmp_path, "0::/\n")) == 1
    (root / "cpu.max").write_text("max 100000")
    assert usable_cpus(root, own(tmp_path, "0::/\n")) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "own_text", "spins"),
    [
        ({"cpu.max": "100000 100000\n"}, "0::/\n", True),
        ({"cpu.max": "150000 100000\n"}, "0::/\n", False),
        ({"cpu.max": "max 100000\n"}, "0::/\n", False),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "50000\n"}, "4:cpu,cpuacct:/\n", True),
        ({"cpu/cpu.cfs_quota_us": "75000\n", "cpu/cpu.cfs_period_us": "50000\n"}, "4:cpu,cpuacct:/\n", False),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "50000\n"}, "4:cpu,cpuacct:/\n", False),
    ],
)
def test_threads_spin_where_the_cgroup_gives_whole_cpus(
    tmp_path: Path, files: dict[str, str], own_text: str, spins: bool
) -> None:
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    share = cpu_share(tmp_path / "cgroup", own(tmp_path, own_text))
    assert share.may_spin(1, 0) is spins


def test_what_was_said_of_threads_and_session_reaches_the_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = {"threads": 3, "execution_mode": "parallel", "spinning": "enabled", "affinity": "disabled"}
    entries = {"session.force_spinning_stop": "1"}
    monkeypatch.setenv("GENAI_SETTINGS", json.dumps({**said, "memory_pattern": False, "session_entries": entries}))
    spec = engine_spec(load_settings(), tmp_path)
    assert (spec.intra_op_threads, spec.inter_op_threads, spec.spinning) == (3, 3, True)
    assert (spec.exclusive_cpus, spec.memory_pattern, spec.session_entries) == ((), False, entries)
    monkeypatch.setenv("GENAI_INTER_OP_THREADS", "2")
    monkeypatch.setenv("GENAI_SPINNING", "disabled")
    spec = engine_spec(load_settings(), tmp_path)
    assert (spec.inter_op_threads, spec.spinning) == (2, False)
