"""Changing live options and waiting until every pod has acknowledged them. What is changed is the commands' matter."""

import time
from collections.abc import Mapping
from typing import Any

from genai_kubectl.clients.kube import Kube, Object
from genai_kubectl.decisions.acknowledgement import Acknowledgement, acknowledgement, pod_states
from genai_kubectl.errors import CommandFailed, TimedOut
from genai_kubectl.names import GROUP, MODELS
from genai_kubectl.output import note, progress, show, structured, table
from genai_kubectl.session import Session

_POLL_SECONDS = 0.1
_SLOW_POLL_SECONDS = 0.5


def change(session: Session, name: str, annotations: Mapping[str, str | None], seconds: float) -> Object:
    """Sets annotations and waits for the pods; returns the model as it then is.

    Raises:
        CommandFailed: a value is rejected, or a pod cannot do it.
        TimedOut: not all pods acknowledged it in time; the annotations stay, and the operator goes on.
    """
    kube = session.kube
    before = kube.get(MODELS, name)
    kube.annotate(name, annotations)
    model = before
    for annotation in annotations:
        model = wait(kube, name, annotation, before, seconds)
    return model


def wait(kube: Kube, name: str, annotation: str, before: Object, seconds: float) -> Object:
    """Waits until the pods have the annotation as it is. Raises as `change`."""
    deadline = time.monotonic() + seconds
    begun = time.monotonic()
    with progress() as bar:
        task = bar.add_task(f"{name}: {_short(annotation)}", total=None, said="")
        while True:
            model = kube.get(MODELS, name)
            state = acknowledgement(model, annotation, before)
            bar.update(task, total=state.pods or None, completed=state.applied, said=str(state))
            if state.failed:
                raise CommandFailed(f"{_short(annotation)} of {name!r}: {state.failed}")
            if state.done:
                return model
            if time.monotonic() > deadline:
                raise TimedOut(_too_slow(name, annotation, state, seconds))
            time.sleep(_POLL_SECONDS if time.monotonic() - begun < 5 else _SLOW_POLL_SECONDS)


def report(session: Session, model: Object, value: Mapping[str, Any], sentence: str) -> None:
    """Prints what every pod said."""
    pods = pod_states(model)
    identity = {"model": model["metadata"]["name"], "namespace": model["metadata"]["namespace"]}
    if structured({**identity, **value, "pods": pods}, session.output):
        return
    if session.output == "name":
        show(f"{MODELS}.{GROUP}/{model['metadata']['name']}")
        return
    show(sentence)
    if session.output == "wide":
        table(("POD", "STATE", "MESSAGE"), [(pod["name"], pod["state"], pod.get("message", "")) for pod in pods])
    elif not pods:
        note("there are no pods; every new one gets the option")


def pods_text(model: Object) -> str:
    """For example "3 pods"."""
    count = len(pod_states(model))
    return f"{count} pod" if count == 1 else f"{count} pods"


def _short(annotation: str) -> str:
    return annotation.partition("/")[2]


def _too_slow(name: str, annotation: str, state: Acknowledgement, seconds: float) -> str:
    who = "; ".join(state.waiting[:3]) or "the condition RuntimeOptionsApplied is not True"
    return (
        f"after {seconds:g} s {_short(annotation)} of {name!r} is acknowledged by {state} ({who}); "
        "the operator goes on trying"
    )
