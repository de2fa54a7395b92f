"""Log lines: one JSON object a line on stderr, and the last words that the operator reads. Never prompts or answers."""

import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import structlog

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


def _free_message(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A field called message would be lost to the line's own."""
    if "message" in line:
        line["detail"] = line.pop("message")
    return line


def last_words(reason: str, message: str) -> None:
    """Leave {"reason", "message"} where Kubernetes picks it up, if there is such a place."""
    path = Path(os.environ.get("GENAI_TERMINATION_LOG") or TERMINATION_LOG)
    if path == TERMINATION_LOG and not path.is_file():
        return
    line = json.dumps({"reason": reason, "message": message}, ensure_ascii=False)
    while len(line.encode()) >= _MAX_LAST_WORDS:
        message = message[: len(message) * 3 // 4]
        line = json.dumps({"reason": reason, "message": message}, ensure_ascii=False)
    with suppress(OSError):  # it is a courtesy; the log has said the same
        path.write_text(line + "\n", encoding="utf-8")
