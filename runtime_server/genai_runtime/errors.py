"""What can go wrong in the model server, as one tree. How an error looks in a protocol is the dialect's business.

RuntimeServerError
├── InvalidRequest        the caller's input is wrong; names the field
│   └── InvalidGuidance   a grammar or schema that cannot be used
├── ModelNotFound         the request names a model that is not served here
├── ProfileNotFound       no complete profile has that id
├── AnotherWindowOpen     a profiling window cannot be opened beside the one that is open
├── RequestNotFound       no request of that id waits or runs
├── NotOffered            the protocol knows this call, this server does not do it
├── Unauthenticated       the caller showed no API key that is known here
├── Overloaded            the queue is full or the wait was too long; carries a retry delay
├── NotServing            loading, halted, draining or engine down; carries a retry delay
├── InvalidSettings       a GENAI_* setting cannot be used; the process does not start
├── ModelUnusable         the folder cannot be served; carries the reason that the operator shows
└── EngineFailure         the engine process failed or broke its contract
"""


class RuntimeServerError(Exception):
    """Base of all errors raised on purpose; `message` is written for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(RuntimeServerError):
    """The field `field` of a request cannot be accepted; nothing was started."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class InvalidGuidance(InvalidRequest):
    """What a request's output has to match cannot be used; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__("options.guidance", message)


class ModelNotFound(RuntimeServerError):
    """No model of that name is served by this process."""


class ProfileNotFound(RuntimeServerError):
    """This pod holds no complete profile of that id."""


class AnotherWindowOpen(RuntimeServerError):
    """A profiling window is open, and is not closed for another one; nothing was opened."""


class RequestNotFound(RuntimeServerError):
    """No request of that id waits or runs for this caller."""


class NotOffered(RuntimeServerError):
    """A call of a protocol that this server does not do, whoever asks; the message says what to do instead."""


class Unauthenticated(RuntimeServerError):
    """The caller showed no API key that is known here; nothing was started."""


class Overloaded(RuntimeServerError):
    """Admission refused the request; it may be retried after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotServing(RuntimeServerError):
    """No new work is accepted in the present state; it may be retried after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidSettings(RuntimeServerError):
    """The process cannot start as it was told to; the message names every setting that is wrong."""


class ModelUnusable(RuntimeServerError):
    """The model cannot be served. `reason` is one of the documented condition reasons (docs/status.md)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class EngineFailure(RuntimeServerError):
    """The engine process ended, or answered outside its contract."""
