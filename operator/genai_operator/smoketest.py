"""The first half of `helm test`: makes a GenAIModel that belongs to the test's own pod and waits until it is Ready.

The second half, asking the model something, is any client's work. Deleting the pod deletes the model: it owns it.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from genai_operator.clients.kube import MODEL, KubeClient
from genai_operator.constants import API_VERSION, KIND
from genai_operator.errors import ClusterConflict, ClusterUnavailable, OperatorError

_POLL_SECONDS = 0.5


def smoke_model(name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The model to make, owned by the pod that `POD_NAME`, `POD_UID` and `POD_NAMESPACE` name."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": environ["POD_NAME"], "uid": environ["POD_UID"]}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": environ["POD_NAMESPACE"], "ownerReferences": [owner]},
        "spec": {"model": {"uri": "builtin://hello"}},
    }


def ready_condition(model: Mapping[str, Any]) -> tuple[str, str, str]:
    """(status, reason, message) of condition Ready; `Unknown` while the operator has not spoken."""
    for condition in model.get("status", {}).get("conditions", []):
        if condition.get("type") == "Ready":
            return condition["status"], condition.get("reason", ""), condition.get("message", "")
    return "Unknown", "", "the operator has written no status yet"


async def make_and_wait(kube: KubeClient, manifest: dict[str, Any], timeout_seconds: float) -> bool:
    """Creates the model, prints every change of its Ready condition, and says whether it became Ready in time."""
    deadline = time.monotonic() + timeout_seconds
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    await _create(kube, manifest, deadline)
    said: tuple[str, str, str] | None = None
    while time.monotonic() < deadline:
        found = ready_condition(await kube.get(MODEL, namespace, name) or {})
        if found != said:
            print(f"{KIND} {namespace}/{name}: Ready={found[0]} {found[1]} {found[2]}".rstrip(), flush=True)  # noqa: T201 - the pod's log
            said = found
        if found[0] == "True":
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


async def _create(kube: KubeClient, manifest: dict[str, Any], deadline: float) -> None:
    """The model of an earlier, deleted test may not have been collected yet: its name is free in a moment."""
    while True:
        try:
            await kube.create(manifest)
        except (ClusterConflict, ClusterUnavailable):
            if time.monotonic() >= deadline:
                raise
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return


async def _run(name: str, timeout_seconds: float) -> int:
    kube = await KubeClient.connect()
    try:
        ready = await make_and_wait(kube, smoke_model(name, os.environ), timeout_seconds)
    except OperatorError as error:
        print(f"the test's {KIND} could not be made: {error}", file=sys.stderr)  # noqa: T201 - the pod's log
        return 1
    finally:
        await kube.close()
    if not ready:
        print(f"not Ready within {timeout_seconds:g} s", file=sys.stderr)  # noqa: T201 - the pod's log
    return 0 if ready else 1


def main() -> int:
    """`python -m genai_operator.smoketest NAME [--timeout SECONDS]`; the exit status says whether it became Ready."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--timeout", type=float, default=180.0)
    arguments = parser.parse_args()
    return asyncio.run(_run(arguments.name, arguments.timeout))


if __name__ == "__main__":
    sys.exit(main())
