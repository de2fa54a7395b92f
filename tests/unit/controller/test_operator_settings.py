"""The operator's settings: the environment, its names, and refusals that name the setting."""

from pathlib import Path

import pytest
from pydantic import ValidationError

import genai_operator.__main__ as program
from genai_operator.settings import LogFormat, LogLevel, OperatorSettings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POD_NAMESPACE", "POD_NAME", "HOSTNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(program, "keep_lean", lambda: None)  # it is for a process of its own


def test_defaults_are_safe() -> None:
    settings = OperatorSettings()
    assert settings.health_host == "127.0.0.1"
    assert settings.namespaces == ()
    assert settings.leader_election
    assert (settings.namespace, settings.identity) == ("default", "genai-operator")
    assert (settings.log_level, settings.log_format) == (LogLevel.INFO, LogFormat.JSON)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_OPERATOR_NAMESPACES", "team, other ,")
    monkeypatch.setenv("GENAI_OPERATOR_IMAGE_PULL_SECRETS", "registry")
    monkeypatch.setenv("GENAI_OPERATOR_CA_DIR", "/somewhere")
    monkeypatch.setenv("GENAI_OPERATOR_WORKERS", "4")
    monkeypatch.setenv("GENAI_OPERATOR_LOG_LEVEL", "debug")
    settings = OperatorSettings()
    assert settings.namespaces == ("team", "other")
    assert settings.image_pull_secrets == ("registry",)
    assert settings.ca_dir == Path("/somewhere")
    assert (settings.workers, settings.log_level) == (4, LogLevel.DEBUG)


@pytest.mark.parametrize("value", ["", " ", ","])
def test_no_namespaces_means_the_whole_cluster(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GENAI_OPERATOR_NAMESPACES", value)
    assert OperatorSettings().namespaces == ()


def test_our_own_names_go_before_the_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "host")
    assert OperatorSettings().identity == "host"
    monkeypatch.setenv("POD_NAME", "pod")
    monkeypatch.setenv("POD_NAMESPACE", "pods")
    assert (OperatorSettings().identity, OperatorSettings().namespace) == ("pod", "pods")
    monkeypatch.setenv("GENAI_OPERATOR_IDENTITY", "ours")
    monkeypatch.setenv("GENAI_OPERATOR_NAMESPACE", "home")
    assert (OperatorSettings().identity, OperatorSettings().namespace) == ("ours", "home")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("RESYNC_SECONDS", "0"),
        ("PUSH_DEADLINE_SECONDS", "-1"),
        ("HEALTH_PORT", "65536"),
        ("LEASE_NAME", "Upper/Case"),
        ("LEASE_SECONDS", "0.5"),
        ("IMAGE_PULL_POLICY", "Sometimes"),
        ("RUNTIME_IMAGE", ""),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_value_ends_the_start_and_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"GENAI_OPERATOR_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        OperatorSettings()
    monkeypatch.setattr("sys.argv", ["genai-operator"])  # pytest's own are no command of ours
    with pytest.raises(SystemExit, match=name.lower()):
        program.main()


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        OperatorSettings().workers = 2  # type: ignore[misc]  # that is what is tried
