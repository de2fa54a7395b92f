"""What a command ends with when it cannot do its work: one sentence for the user, and an exit code. No behaviour."""

FAILED = 1
WRONG_USAGE = 2
NOT_FOUND = 3
FORBIDDEN = 4
TIMED_OUT = 5


class CommandFailed(Exception):
    """It could not be done; the message says why and what helps."""

    exit_code = FAILED


class WrongUsage(CommandFailed):
    """What was typed cannot be meant."""

    exit_code = WRONG_USAGE


class NotFound(CommandFailed):
    """There is no such object."""

    exit_code = NOT_FOUND


class Forbidden(CommandFailed):
    """The user lacks a right."""

    exit_code = FORBIDDEN


class TimedOut(CommandFailed):
    """It was not done in time; nothing says that it will not be."""

    exit_code = TIMED_OUT
