"""A refusal of the API server, in words: which right is missing, and which role of the chart has it. Pure."""

import re
from dataclasses import dataclass

_REFUSED = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
VIEWER, USER, PROFILER = "genai-viewer", "genai-operator-user", "genai-profiler"
_SEEING = ("get", "list", "watch")
# (resource, verbs) -> the least of the chart's roles that has it; templates/kubectlroles.yaml, held to it by a test.
_ROLES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("genaimodels", _SEEING, VIEWER),
    ("genaiprofiles", _SEEING, VIEWER),
    ("pods", _SEEING, VIEWER),
    ("pods/log", ("get",), VIEWER),
    ("pods/proxy", ("get",), VIEWER),
    ("events", _SEEING, VIEWER),
    ("genaimodels", ("patch",), USER),
    ("pods/portforward", ("get", "create"), USER),
    ("genaiprofiles", ("create", "patch", "delete"), PROFILER),
    ("pods/exec", ("get", "create"), PROFILER),
)


@dataclass(frozen=True, slots=True)
class MissingRight:
    """What the user may not do."""

    user: str
    verb: str
    resource: str
    group: str
    namespace: str

    @property
    def role(self) -> str:
        """The least role of the chart that has it; empty when none has."""
        return next(
            (role for name, verbs, role in _ROLES if name == self.resource and self.verb in verbs),
            "",
        )

    def __str__(self) -> str:
        group = f" (API group {self.group})" if self.group else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        said = f'user "{self.user}" lacks the right to {self.verb} {self.resource}{group}{where}'
        if not self.role:
            return said
        flag = f" -n {self.namespace}" if self.namespace else ""
        subject = _subject(self.user)
        return (
            f"{said}; the ClusterRole {self.role} has it: "
            f"kubectl create rolebinding {self.role}{flag} --clusterrole={self.role} {subject}"
        )


def missing_right(message: str) -> MissingRight | None:
    """What a message of status 403 says is missing; None when a policy, not RBAC, refused."""
    found = _REFUSED.search(message)
    return None if found is None else MissingRight(**{name: part or "" for name, part in found.groupdict().items()})


def _subject(user: str) -> str:
    account = re.fullmatch(r"system:serviceaccount:([^:]+):([^:]+)", user)
    return f"--serviceaccount={account[1]}:{account[2]}" if account else f"--user={user}"


def roles() -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """(resource, verbs, role): what the commands need of the API server."""
    return _ROLES
