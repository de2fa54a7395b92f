"""What can go wrong in the operator, as one tree. Third-party errors become these in `clients/`, nowhere else.

OperatorError
├── InvalidModel         the resource cannot be reconciled until its author changes it
├── InvalidProfile       the same of a GenAIProfile
├── ClusterError
│   ├── ClusterUnavailable   the API server did not answer, or is overloaded: time heals it
│   ├── ClusterRejected      the API server refused the request: a bug, a policy or missing rights
│   ├── ClusterConflict      the object changed, or exists and is not ours
│   └── ClusterNotFound      the object is not there
└── PodError
    ├── PodUnreachable       the pod did not answer in time
    └── PodRejected          the pod refused what it was told
"""


class OperatorError(Exception):
    """Base of all errors raised on purpose; the message names the object, what was tried and the remedy."""


class InvalidModel(OperatorError):
    """The GenAIModel cannot be reconciled. `reason` is a documented condition reason (docs/status.md)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InvalidProfile(OperatorError):
    """The GenAIProfile cannot be acted on. `reason` is a documented condition reason (docs/profiles.md)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ClusterError(OperatorError):
    """Base of what the API server answers. `said` are its own words, for people; the message names the request too."""

    def __init__(self, message: str, *, said: str = "") -> None:
        super().__init__(message)
        self.said = said or message


class ClusterUnavailable(ClusterError):
    """No answer, or 429/5xx; retry later, and not before `retry_after` seconds."""

    def __init__(self, message: str, *, said: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message, said=said)
        self.retry_after = retry_after


class ClusterRejected(ClusterError):
    """4xx that a retry does not change."""


class ClusterConflict(ClusterError):
    """409."""


class ClusterNotFound(ClusterError):
    """404."""


class PodError(OperatorError):
    """Base of what a model pod's control service answers. `code` is gRPC's name of it, `said` the pod's own words."""

    def __init__(self, message: str, *, code: str = "", said: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.said = said or message


class PodUnreachable(PodError):
    """No answer within the deadline, or the connection failed."""


class PodRejected(PodError):
    """The pod refused; final until what it is told changes."""
