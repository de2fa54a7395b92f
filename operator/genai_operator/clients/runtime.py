"""The control service of one model pod, over mutual TLS: gRPC stays inside this module.

What to send to whom is decided by `status.live_plan`; when, by `services.live_options`.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from genai_operator.api.runtime_options import RuntimeOptions
from genai_operator.api.status_model import ProviderPlacement
from genai_operator.clients.option_messages import OptionsReply, options_message, options_reply
from genai_operator.constants import PORT_CONTROL
from genai_operator.errors import PodRejected, PodUnreachable
from genai_protocol.v1 import control_pb2, control_pb2_grpc, inference_pb2

# The pod's answers that do not change by asking again.
_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.NOT_FOUND,
    }
)
_MESSAGE_LIMIT = 500
_NAME_LIMIT, _SHOWN_OPERATORS = 253, 8
# A pod that is starting binds its port within milliseconds of our first attempt: ask again soon.
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """What the operator shows to pods, and whom it trusts; PEM."""

    certificate: bytes
    key: bytes
    authority: bytes


@dataclass(frozen=True, slots=True)
class PodEndpoint:
    """Where a pod's control service is, and the name its certificate must carry."""

    ip: str
    server_name: str
    port: int = PORT_CONTROL

    def address(self) -> str:
        """`host:port`, with an IPv6 address in brackets."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a pod says it serves; zeros where it has not measured yet."""

    engine: str
    engine_reason: str
    provider: str
    intra_op_threads: int
    max_sequence_length: int
    tokens_per_second: float
    time_to_first_token_seconds: float
    max_batch_size: int
    prefill_chunk: int
    kv_tokens: int
    prefix_caching: bool
    adapters: tuple[str, ...] = ()
    placement: tuple[ProviderPlacement, ...] = ()
    precision: str = ""
    provider_reason: str = ""
    inter_op_threads: int = 0
    spinning: bool = False
    thread_cpus: tuple[int, ...] = ()


class RuntimeClient:
    """Calls to model pods. Channels are kept between calls, so that halting an engine does not wait for a handshake."""

    def __init__(self, identity: Callable[[], ClientIdentity], *, max_channels: int = 512) -> None:
        self._identity = identity
        self._max_channels = max_channels
        self._channels: OrderedDict[PodEndpoint, tuple[ClientIdentity, grpc.aio.Channel]] = OrderedDict()

    async def set_options(
        self, pod: PodEndpoint, revision: str, options: RuntimeOptions, *, deadline_seconds: float
    ) -> OptionsReply:
        """Replaces the pod's runtime options; the same revision again changes nothing.

        Raises:
            PodRejected: the pod refuses them, for good.
            PodUnreachable: no answer within the deadline.
        """
        request = control_pb2.SetRuntimeOptionsRequest(revision=revision, options=options_message(options))
        return options_reply(await self.call(pod, "SetRuntimeOptions", request, deadline_seconds))

    async def get_options(self, pod: PodEndpoint, *, deadline_seconds: float) -> OptionsReply:
        """What the pod has; changes nothing. Raises as `set_options`."""
        request = control_pb2.GetRuntimeOptionsRequest()
        return options_reply(await self.call(pod, "GetRuntimeOptions", request, deadline_seconds))

    async def get_model(self, pod: PodEndpoint, *, deadline_seconds: float) -> ModelReply:
        """What the pod serves. Raises as `set_options`."""
        model = await self.call(pod, "GetModel", inference_pb2.GetModelRequest(), deadline_seconds)
        return ModelReply(
            engine=model.engine,
            engine_reason=model.engine_reason,
            provider=model.provider,
            intra_op_threads=model.intra_op_threads,
            inter_op_threads=model.inter_op_threads,
            spinning=model.spinning,
            thread_cpus=tuple(model.thread_cpus),
            max_sequence_length=model.max_sequence_length,
            tokens_per_second=model.warmup_tokens_per_second,
            time_to_first_token_seconds=model.warmup_time_to_first_token_seconds,
            max_batch_size=model.max_batch_size,
            prefill_chunk=model.prefill_chunk,
            kv_tokens=model.kv_tokens,
            prefix_caching=model.prefix_caching,
            adapters=tuple(model.adapters),
            placement=tuple(_placement(each) for each in model.placement),
            precision=model.precision,
            provider_reason=model.provider_reason,
        )

    async def forget(self, pod: PodEndpoint) -> None:
        """Closes the channel to a pod that is gone."""
        kept = self._channels.pop(pod, None)
        if kept:
            await kept[1].close()

    async def close(self) -> None:
        """Closes all channels."""
        for pod in list(self._channels):
            await self.forget(pod)

    async def call(self, pod: PodEndpoint, method: str, request: Any, deadline_seconds: float) -> Any:
        """The answer of one method of the control service. Raises as `set_options`."""
        channel = await self._channel(pod)
        make_stub: Any = control_pb2_grpc.ControlServiceStub  # generated code carries no types
        call = getattr(make_stub(channel), method)
        try:
            # wait_for_ready: a pod in its first second is retried inside the deadline instead of failing at once.
            return await call(request, timeout=deadline_seconds, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            code, said = error.code().name, (error.details() or "")[:_MESSAGE_LIMIT]
            text = f"{method} on pod {pod.address()}: {code} {said}"
            if error.code() in _FINAL:
                raise PodRejected(text, code=code, said=said) from error
            await self.forget(pod)
            raise PodUnreachable(text, code=code, said=said) from error

    async def _channel(self, pod: PodEndpoint) -> grpc.aio.Channel:
        identity = self._identity()
        kept = self._channels.get(pod)
        if kept and kept[0] is identity:
            self._channels.move_to_end(pod)
            return kept[1]
        await self.forget(pod)
        channel = _open(pod, identity)
        self._channels[pod] = (identity, channel)
        while len(self._channels) > self._max_channels:
            await self.forget(next(iter(self._channels)))
        return channel


def _open(pod: PodEndpoint, identity: ClientIdentity) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(
        root_certificates=identity.authority, private_key=identity.key, certificate_chain=identity.certificate
    )
    # Pods are called by address: their certificate names the model, which the address does not.
    name = (("grpc.ssl_target_name_override", pod.server_name), ("grpc.default_authority", pod.server_name))
    return grpc.aio.secure_channel(pod.address(), credentials, options=_CHANNEL_OPTIONS + name)


def _placement(share: inference_pb2.ProviderShare) -> ProviderPlacement:
    return ProviderPlacement(
        provider=share.provider[:_NAME_LIMIT],
        share_percent=round(min(100.0, max(0.0, 100 * share.share)), 1),
        operators=tuple(name[:_NAME_LIMIT] for name in share.operators[:_SHOWN_OPERATORS]),
    )
