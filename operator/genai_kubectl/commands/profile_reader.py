"""Reads a trace from the claim that it was collected into, by a pod that holds the claim while it is read."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genai_kubectl.clients.kube import Kube
from genai_kubectl.clients.programs import output_of
from genai_kubectl.decisions.profile_artifact import collected, image_of, reader_pod, waits_for
from genai_kubectl.decisions.quantities import size
from genai_kubectl.errors import CommandFailed, TimedOut
from genai_kubectl.output import progress

_START_SECONDS = 120.0
_POLL_SECONDS = 0.5


def read_collected(kube: Kube, profile: Mapping[str, Any], target: Path, shown_as: Path) -> None:
    """Writes the trace to `target`; messages name `shown_as`.

    Raises:
        CommandFailed: it lies in a bucket, or its claim cannot be read; the message says what to do.
    """
    place = collected(profile, str(shown_as))
    image = image_of(kube.pods(str(profile["spec"]["model"])))
    if image is None:
        raise CommandFailed(
            f"the trace is {place.path} in claim {place.claim!r}, and no pod of {profile['spec']['model']!r} is left "
            "whose image could read it; mount the claim in a pod of yours and copy the file"
        )
    with progress() as bar, _reader(kube, reader_pod(profile, place.claim, image)) as pod:
        task, received = bar.add_task(f"claim {place.claim}", total=None, said=""), 0
        with target.open("wb") as file:
            for chunk in output_of(kube, pod, ("cat", place.file)):
                file.write(chunk)
                received += len(chunk)
                bar.update(task, completed=received, said=size(received))


@contextmanager
def _reader(kube: Kube, manifest: dict[str, Any]) -> Iterator[str]:
    """A running pod; it is deleted with the block."""
    name = str(kube.create_pod(manifest)["metadata"]["name"])
    try:
        deadline = time.monotonic() + _START_SECONDS
        while (waits := waits_for(kube.pod(name))) is not None:
            if time.monotonic() > deadline:
                raise TimedOut(f"pod {name}, which was to read the claim, does not run: {waits}")
            time.sleep(_POLL_SECONDS)
        yield name
    finally:
        kube.delete_pod(name)
