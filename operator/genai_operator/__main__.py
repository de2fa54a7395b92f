"""`genai-operator`: reads the settings and runs until SIGTERM. Exit status 1 when it could not start or go on.

`genai-operator convert …` is a command of its own (docs/convert.md), of which the operator imports nothing.
"""

import asyncio
import sys

import structlog
from pydantic import ValidationError

from genai_operator.errors import OperatorError
from genai_operator.lean import keep_lean, spare_collector
from genai_operator.logs import configure_logging
from genai_operator.settings import OperatorSettings

_USAGE = """\
usage: genai-operator              run the operator
       genai-operator convert -h   GenAIModels from Triton's model configurations
"""


def main() -> None:
    """The console script."""
    match sys.argv[1:]:
        case []:
            _operate()
        case ["convert", *arguments]:
            from genai_operator.convert.command import main as convert

            sys.exit(convert(arguments))
        case _:
            sys.stderr.write(_USAGE)
            sys.exit(2)


def _operate() -> None:
    keep_lean()
    import uvloop

    from genai_operator.handlers.serve import serve  # only now: it imports kopf and the Kubernetes client

    try:
        settings = OperatorSettings()
    except ValidationError as error:
        sys.exit(f"genai-operator: a setting GENAI_OPERATOR_… is wrong: {error}")
    configure_logging(settings)
    log = structlog.get_logger("genai_operator")
    spare_collector()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except OperatorError as error:
        log.error("stopping", error=str(error))  # noqa: TRY400 - the message says it all
        sys.exit(1)
    except Exception:
        log.exception("stopping after an unexpected error")
        sys.exit(1)


if __name__ == "__main__":
    main()
