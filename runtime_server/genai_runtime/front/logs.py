"""Log lines: one JSON object a line on stderr, and the last words that the operator reads. Never prompts or answers.

The level is live, and `LogLevel` alone writes it: for the runtime option log-level, and for Triton's log settings.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from genai_runtime.errors import InvalidRequest

LEVELS = ("debug", "info", "warning", "error")
TERMINATION_LOG = Path("/dev/termination-log")
_MAX_LAST_WORDS = 4096  # what Kubernetes keeps


def configure(level: str) -> None:
    """For this process; the standard library's loggers go the same way."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.dict_tracebacks,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _free_message,
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class LogLevel:
    """The level of this process's root logger and of the engine process, which `engine` tells.

    `base` is the runtime option's level, or what the process was started with while there is none. A level that a
    client's request asks for holds until the option changes; while the option stands, it is the only one.
    """

    def __init__(self, engine: Callable[[str], None]) -> None:
        self._root = logging.getLogger()
        self._started_with = self._root.getEffectiveLevel()
        self._engine = engine
        self._option = ""

    @property
    def level(self) -> int:
        """As the standard library counts."""
        return self._root.getEffectiveLevel()

    @property
    def base(self) -> int:
        """What a request that resets the level goes back to."""
        return logging.getLevelNamesMapping()[self._option.upper()] if self._option else self._started_with

    def set_option(self, level: str) -> None:
        """One of `LEVELS`; empty: as the process was started."""
        self._option = level
        self._write(self.base)

    def set_requested(self, level: int) -> None:
        """For a client. Raises `InvalidRequest` when the runtime option says otherwise."""
        if self._option and level != self.base:
            raise InvalidRequest(
                "settings",
                f"the level is {self._option}, set by the runtime option log-level; it can be changed there, or once "
                "that option is taken away",
            )
        self._write(level)

    def _write(self, level: int) -> None:
        if level == self.level:
            return
        self._root.setLevel(min(level, logging.WARNING))
        structlog.get_logger("genai_runtime.log").warning("log level changed", level=_name_of(level))
        self._root.setLevel(level)
        self._engine(_name_of(level))


def _name_of(level: int) -> str:
    return logging.getLevelName(level).lower()


def _free_message(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A field called message would be lost to the line's own."""
    if "message" in line:
        line["detail"] = line.pop("message")
    return line


def last_words(reason: str, message: str) -> None:
    """Leave {"reason", "message"} where Kubernetes picks it up, if there is such a place."""
    line = json.dumps({"reason": reason, "message": message}, ensure_ascii=False)
    while len(line.encode()) >= _MAX_LAST_WORDS:
        message = message[: len(message) * 3 // 4]
        line = json.dumps({"reason": reason, "message": message}, ensure_ascii=False)
    with suppress(OSError):  # it is a courtesy; the log has said the same
        leave(line)


def leave(line: str) -> None:
    """Leave one line where Kubernetes picks it up, if there is such a place. Raises OSError."""
    path = Path(os.environ.get("GENAI_TERMINATION_LOG") or TERMINATION_LOG)
    if path != TERMINATION_LOG or path.is_file():
        path.write_text(line + "\n", encoding="utf-8")
