"""The live log level: one writer for the runtime option and for clients' requests, and the engine process told."""

import logging
from collections.abc import Iterator

import pytest

from genai_runtime.errors import InvalidRequest
from genai_runtime.front.dialects.log_settings import LogSettings
from genai_runtime.front.logs import LogLevel


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    yield
    root.setLevel(before)


def test_an_option_holds_until_it_is_taken_away() -> None:
    told: list[str] = []
    level = LogLevel(told.append)
    for wanted in ("debug", "debug", "error", ""):
        level.set_option(wanted)
    assert told == ["debug", "error", "info"]
    assert logging.getLogger().getEffectiveLevel() == logging.INFO


def test_a_client_changes_it_while_there_is_no_option_and_null_resets() -> None:
    told: list[str] = []
    level = LogLevel(told.append)
    settings = LogSettings(level)
    settings.update({"log_verbose_level": 1})
    assert settings.show()["log_verbose_level"] == 1
    settings.update({"log_verbose_level": None})
    assert told == ["debug", "info"]


def test_a_reset_goes_back_to_the_level_of_the_start() -> None:
    logging.getLogger().setLevel(logging.ERROR)
    settings = LogSettings(LogLevel(lambda level: None))
    settings.update({"log_verbose_level": 1})
    settings.update({"log_verbose_level": None})
    assert logging.getLogger().level == logging.ERROR
    settings.update({"log_info": True, "log_warning": True})
    assert logging.getLogger().level == logging.INFO
    settings.update({"log_info": None})
    assert logging.getLogger().level == logging.WARNING
    settings.update({"log_warning": None})
    assert logging.getLogger().level == logging.ERROR


def test_what_requests_had_set_is_gone_when_the_option_changes() -> None:
    level = LogLevel(lambda level: None)
    settings = LogSettings(level)
    settings.update({"log_info": False})
    level.set_option("debug")
    level.set_option("")
    assert settings.show()["log_info"] is True
    settings.update({"log_verbose_level": 1})
    settings.update({"log_verbose_level": None})
    assert settings.show()["log_info"] is True


def test_the_operators_option_is_seen_by_clients_and_not_overruled() -> None:
    told: list[str] = []
    level = LogLevel(told.append)
    settings = LogSettings(level)
    settings.update({"log_info": False})
    level.set_option("debug")
    assert settings.show()["log_verbose_level"] == 1
    with pytest.raises(InvalidRequest, match="runtime option log-level"):
        settings.update({"log_verbose_level": 0})
    settings.update({"log_verbose_level": None})
    settings.update({"log_info": True})
    assert told == ["warning", "debug"]
    level.set_option("")
    assert told[-1] == "info"
    settings.update({"log_verbose_level": 2})
    assert told[-1] == "debug"
