"""What the operator and people may do, as the API server sees it."""

from collections.abc import Callable

import pytest

from support import release
from support.live_cluster import CommandFailed, LiveCluster

OPERATOR = f"system:serviceaccount:{release.NAMESPACE}:{release.RELEASE}"


def rights(cluster: LiveCluster, account: str, namespace: str) -> dict[str, set[str]]:
    """resource -> verbs, by `kubectl auth can-i --list`, without what every account has."""
    table = cluster.kubectl("auth", "can-i", "--list", f"--as={account}", "-n", namespace).splitlines()[1:]
    found: dict[str, set[str]] = {}
    for line in table:
        resource, verbs = line.split()[0], line[line.rindex("[") + 1 : line.rindex("]")].split()
        if not line.startswith(" ") and not resource.startswith("[") and "self" not in resource:
            found.setdefault(resource, set()).update(verbs)
    return found


def test_the_operator_reads_no_secret_runs_nothing_and_has_no_wildcard(cluster: LiveCluster, namespace: str) -> None:
    found = rights(cluster, OPERATOR, namespace)
    assert found["genaimodels.genai-operator.io"] == {"get", "list", "watch"}  # the list is not empty by mistake
    assert found["secrets"] == {"create", "patch"}
    assert {name: verbs for name, verbs in found.items() if name.startswith("pods/")} == {"pods/status": {"patch"}}
    assert not [name for name in found if "*" in name]
    assert not [name for name, verbs in found.items() if "*" in verbs]
    assert "roles.rbac.authorization.k8s.io" not in found


@pytest.mark.parametrize(
    ("verb", "resource"),
    [("get", "secrets"), ("list", "secrets"), ("create", "pods"), ("create", "pods/exec"), ("update", "genaimodels")],
)
def test_the_operator_may_not(cluster: LiveCluster, namespace: str, verb: str, resource: str) -> None:
    with pytest.raises(CommandFailed, match=r"^kubectl auth can-i .*: no"):
        cluster.kubectl("auth", "can-i", verb, resource, f"--as={OPERATOR}", "-n", namespace)


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [("view", "get", "patch"), ("edit", "delete", "escalate")],
)
def test_built_in_roles_include_models(cluster: LiveCluster, namespace: str, role: str, may: str, may_not: str) -> None:
    account = f"system:serviceaccount:{namespace}:default"
    cluster.kubectl(
        "create", "rolebinding", role, f"--clusterrole={role}", f"--serviceaccount={namespace}:default", "-n", namespace
    )
    verbs = rights(cluster, account, namespace)["genaimodels.genai-operator.io"]
    assert may in verbs
    assert may_not not in verbs


def test_metrics_name_the_operators_work(cluster: LiveCluster, new_namespace: Callable[[], str]) -> None:
    assert release.operator_rss_mib(cluster) > 1
