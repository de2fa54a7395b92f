"""The console script: errors become one line on stderr and an exit code, never a traceback."""

import os
import sys

from genai_kubectl.app import app
from genai_kubectl.commands.about import PROGRAM
from genai_kubectl.errors import CommandFailed

INTERRUPTED = 130


def main() -> None:
    """Runs a command and ends the process."""
    try:
        app(prog_name=PROGRAM)
    except CommandFailed as error:
        print(f"kubectl genai: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `| head` has read enough; nothing more is written at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
