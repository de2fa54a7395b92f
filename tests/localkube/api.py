"""Asks the local cluster's API server a question, with the administrator's certificate. Reading only; everything else
goes through kubectl."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from localkube import places


def get(pki: Path, path: str) -> str | None:
    """The body, or None while the server does not answer with 200."""
    try:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        connection = http.client.HTTPSConnection(places.NODE_ADDRESS, places.API_PORT, context=context, timeout=3)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return None
    return body if answer.status == http.client.OK else None


def get_object(pki: Path, path: str) -> dict[str, Any] | None:
    body = get(pki, path)
    return json.loads(body) if body is not None else None


def node_ready(pki: Path, since: str) -> bool:
    """Whether the kubelet says so itself, and not only its words from before a crash. `since`: RFC 3339 in UTC, whole
    seconds."""
    found = get_object(pki, f"/api/v1/nodes/{places.NODE_NAME}") or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(
        condition["type"] == "Ready" and condition["status"] == "True" and condition["lastHeartbeatTime"] > since
        for condition in conditions
    )


def pods_current(pki: Path, since: str) -> bool:
    """Whether no pod is still called ready for a container that was started before `since`, or in that same second:
    nothing starts as soon as that after it."""
    found = get_object(pki, "/api/v1/pods")
    if found is None:
        return False
    statuses = [one for pod in found["items"] for one in pod.get("status", {}).get("containerStatuses", ())]
    ready_since = [status["state"].get("running", {}).get("startedAt", since) for status in statuses if status["ready"]]
    return all(started > since for started in ready_since)
