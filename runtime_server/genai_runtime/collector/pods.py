"""Fetches one trace from one pod: over mutual TLS, again and again for a while, and checked before it counts."""

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc as pb_grpc
from genai_runtime.collector.errors import CollectionFailed, PodUnusable
from genai_traces.events import NotATrace, read_events
from genai_traces.window_facts import WindowFacts

_SOURCE = re.compile(r"([a-z0-9][a-z0-9.-]{0,252})=(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):(\d{1,5})=([a-zA-Z0-9-]{1,80})")
_LIST_SECONDS = 10.0
_FETCH_SECONDS = 120.0
# 0.5 s, then twice as long each time: a pod has half a minute to come back.
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_LONGEST_WORDS = 300
_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 4 << 20),  # the list of profiles; a trace comes in small pieces
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class PodSource:
    """A profile in a pod: where its control service is, and which one."""

    pod: str
    address: str
    profile_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From NAME=IP:PORT=PROFILE_ID, an IPv6 address in brackets. Raises `CollectionFailed`."""
        match = _SOURCE.fullmatch(text)
        if match is None or int(match[3]) > 65535:
            raise CollectionFailed(f"--pod {text!r} is not NAME=IP:PORT=PROFILE_ID")
        return cls(match[1], f"{match[2]}:{match[3]}", match[4])


@dataclass(frozen=True, slots=True)
class Identity:
    """The collector's certificate, and what pods' certificates must be signed by and carry; PEM."""

    certificate: bytes
    key: bytes
    authority: bytes
    server_name: str

    @classmethod
    def read(cls, folder: Path, server_name: str) -> Self:
        """From tls.crt, tls.key and ca.crt. Raises `CollectionFailed`."""
        try:
            certificate, key, authority = ((folder / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt"))
        except OSError as error:
            raise CollectionFailed(
                f"{error.filename} cannot be read ({error.strerror}): --tls-dir is the folder of the collector's "
                "certificate, with tls.crt, tls.key and ca.crt"
            ) from error
        return cls(certificate, key, authority, server_name)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole, readable trace, and what its pod knows of the window."""

    path: Path
    facts: WindowFacts


class _NotYet(Exception):
    """Worth another attempt; says why this one failed."""


def fetch(source: PodSource, identity: Identity, path: Path, sleep: Callable[[float], None] = time.sleep) -> Fetched:
    """Write the pod's trace to `path`. Raises `PodUnusable` at once where trying again is no use, else after it all."""
    why = ""
    for pause in (*_PAUSES, None):
        try:
            return _attempt(source, identity, path)
        except _NotYet as error:
            why = str(error)
        if pause is not None:
            sleep(pause * random.uniform(0.5, 1.0))
    raise PodUnusable(f"pod {source.pod} ({source.address}): {why}; tried {len(_PAUSES) + 1} times")


def _attempt(source: PodSource, identity: Identity, path: Path) -> Fetched:
    with _control(source, identity) as control:
        profile = _profile(source, control)
        size = 0
        with path.open("wb") as file:
            for response in control.FetchProfile(pb.FetchProfileRequest(id=source.profile_id), timeout=_FETCH_SECONDS):
                size += len(response.data)
                if size > profile.trace_bytes:
                    break
                file.write(response.data)
    if size != profile.trace_bytes:
        raise _NotYet(f"its trace has {profile.trace_bytes} bytes, but {size} came")
    try:
        for _ in read_events(path):
            pass
    except NotATrace as error:
        said = f"its trace {source.profile_id} is unreadable in line {error.line}: {error.problem}"
        raise PodUnusable(f"pod {source.pod}: {said}") from error
    return Fetched(path, _facts(profile))


@contextmanager
def _control(source: PodSource, identity: Identity) -> Iterator[pb_grpc.ControlServiceStub]:
    """The pod's control service; its refusals become `PodUnusable`, what may pass becomes `_NotYet`."""
    credentials = grpc.ssl_channel_credentials(identity.authority, identity.key, identity.certificate)
    # Pods are called by address: their certificate names the model, which the address does not.
    names = ("grpc.ssl_target_name_override", "grpc.default_authority")
    options = (*_CHANNEL_OPTIONS, *((name, identity.server_name) for name in names))
    with grpc.secure_channel(source.address, credentials, options=options) as channel:
        try:
            yield pb_grpc.ControlServiceStub(channel)
        except grpc.RpcError as error:
            said = f"{error.code().name}: {(error.details() or 'no reason given')[:_LONGEST_WORDS]}"
            if error.code() in _FINAL:
                raise PodUnusable(f"pod {source.pod} ({source.address}): {said}") from error
            raise _NotYet(said) from error


def _profile(source: PodSource, control: pb_grpc.ControlServiceStub) -> pb.Profile:
    profiles = control.ListProfiles(pb.ListProfilesRequest(), timeout=_LIST_SECONDS).profiles
    profile: pb.Profile | None = next((each for each in profiles if each.id == source.profile_id), None)
    if profile is None:
        raise PodUnusable(
            f"pod {source.pod} has no profile {source.profile_id}: newer ones took its room, or the pod was replaced"
        )
    if profile.state == pb.PROFILE_STATE_FAILED:
        raise PodUnusable(f"pod {source.pod}: its profile failed: {profile.message[:_LONGEST_WORDS]}")
    if profile.state != pb.PROFILE_STATE_COMPLETE:
        raise _NotYet("its trace is still being made")
    return profile


def _facts(profile: pb.Profile) -> WindowFacts:
    overhead = profile.overhead_percent if profile.HasField("overhead_percent") else None
    return WindowFacts(
        profile.dropped_runs, profile.skipped_runs, profile.close_reason, overhead, profile.message[:_LONGEST_WORDS]
    )
