"""How tests are shared out when several processes run them: the cluster's stay together, the others go by their file.

There is one cluster and one operator in it, and some tests end them: all of tests/cluster is one process's work, in its
own order. Any other file may run beside it: what it starts has ports and folders of its own.
"""

from xdist.scheduler import LoadFileScheduling

CLUSTER = "tests/cluster"


class ClusterTogether(LoadFileScheduling):  # type: ignore[misc]  # the package carries no types
    """Gives each process a file at a time, and one of them all of the cluster's files at once."""

    def _split_scope(self, nodeid: str) -> str:
        """The name of the test's group."""
        return CLUSTER if nodeid.startswith(f"{CLUSTER}/") else str(super()._split_scope(nodeid))
