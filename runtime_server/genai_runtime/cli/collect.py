"""`genai-runtime collect`: the Job that carries a profile's traces out of the pods. What it does is `collector`.

Its result is one line of JSON on stdout and in the termination log: `{"location", "bytes", "events"}`, and `missing`,
a number, where pods are not in the trace. Failing, it leaves `{"reason", "message"}` there.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from genai_runtime.cli import result_line
from genai_runtime.collector.collecting import Collected
from genai_runtime.collector.collecting import collect as carry_out
from genai_runtime.collector.errors import CollectionFailed
from genai_runtime.collector.outputs import output_of
from genai_runtime.collector.pods import Identity, PodSource
from genai_runtime.front import logs

_REASON = "CollectorFailed"  # docs/status.md


@dataclass(frozen=True, slots=True)
class _Asked:
    """The command line."""

    profile: str
    url: str
    endpoint: str
    region: str
    pods: list[str]
    tls_dir: Path
    server_name: str


def collect(  # noqa: PLR0913 - each is a flag
    profile: Annotated[str, typer.Option(help="The profile's name: the title of the report.")],
    output: Annotated[str, typer.Option(metavar="URL", help="file:///FOLDER or s3://BUCKET/PREFIX.")],
    pod: Annotated[list[str], typer.Option(metavar="NAME=IP:PORT=PROFILE_ID", help="May be repeated.")],
    tls_dir: Annotated[Path, typer.Option(help="Folder of the collector's tls.crt, tls.key and ca.crt.")],
    server_name: Annotated[str, typer.Option(help="The name that the pods' certificates carry.")],
    endpoint: Annotated[str, typer.Option(metavar="URL", help="The S3 server; empty: Amazon's.")] = "",
    region: Annotated[str, typer.Option(help="The bucket's; empty: us-east-1.")] = "",
) -> None:
    """Fetch a profile's traces from its pods, and write them as one trace and one page (docs/profile-report.md).

    S3 credentials are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; without them it is anonymous.
    """
    logs.configure("info")
    asked = _Asked(profile, output, endpoint, region, pod, tls_dir, server_name)
    try:
        done = _carry_out(asked)
    except CollectionFailed as error:
        logs.last_words(_REASON, error.message)
        raise
    result = {"location": done.location, "bytes": done.bytes, "events": done.events}
    result_line.tell(result | ({"missing": len(done.missing)} if done.missing else {}))


def _carry_out(asked: _Asked) -> Collected:
    place = output_of(asked.url, asked.endpoint, asked.region, os.environ)
    sources = [PodSource.parse(text) for text in asked.pods]
    identity = Identity.read(asked.tls_dir, asked.server_name)
    return carry_out(asked.profile, sources, identity, place)
