"""What comes next with a Job that a model wants. Which of these it is, the modules by purpose decide."""

from enum import StrEnum


class Step(StrEnum):
    """What comes next."""

    NOTHING = "nothing"  # the status has the answer
    WAIT = "wait"  # no pods are wanted now
    MAKE = "make"  # there is no Job
    REMOVE = "remove"  # the Job is of another wish
    READ = "read"  # the Job is the one
