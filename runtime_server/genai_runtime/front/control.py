"""genai.v1.ControlService: what the operator (mutual TLS) and `genai-runtime ctl` (Unix socket) call.

Translation and authorisation only; what options do is `runtime_options.py`. Calls about windows and profiles are in
`control_windows.py`.
"""

from collections.abc import AsyncIterator

import grpc
import structlog

from genai_protocol.v1 import control_pb2 as pb
from genai_protocol.v1 import control_pb2_grpc as pb_grpc
from genai_protocol.v1 import inference_pb2
from genai_runtime.errors import RuntimeServerError
from genai_runtime.front.control_options import adapter_messages, message_of, options_of
from genai_runtime.front.control_windows import WindowCalls, describe_profile
from genai_runtime.front.dialects import status
from genai_runtime.front.dialects.model_card import STATES, ModelCard
from genai_runtime.front.dialects.native_messages import request_info
from genai_runtime.front.dialects.status import Context
from genai_runtime.front.generating import GenerationService
from genai_runtime.front.measuring import Measurement, Measuring
from genai_runtime.front.ports import Profiles
from genai_runtime.front.runtime_options import RuntimeOptions

# May read profiles and nothing else: a Job that carries traces out of the pods.
COLLECTOR_NAME = "genai-collector"
_log = structlog.get_logger("genai_runtime.control")


class ControlService(pb_grpc.ControlServiceServicer):
    """The servicer. `client_name`: the common name that may call everything; None where the socket's mode decides."""

    def __init__(
        self,
        options: RuntimeOptions,
        profiles: Profiles,
        card: ModelCard,
        service: GenerationService,
        measuring: Measuring,
        client_name: str | None,
    ) -> None:
        self._options = options
        self._profiles = profiles
        self._card = card
        self._state = options.state
        self._service = service
        self._measuring = measuring
        self._client_name = client_name
        self._windows = WindowCalls(profiles, options.state)

    async def GetRuntimeOptions(self, request: pb.GetRuntimeOptionsRequest, context: Context) -> pb.RuntimeOptionsState:
        """See the protocol."""
        await self._authorise(context)
        return self._describe()

    async def SetRuntimeOptions(self, request: pb.SetRuntimeOptionsRequest, context: Context) -> pb.RuntimeOptionsState:
        """See the protocol."""
        await self._authorise(context)
        try:
            await self._options.set(request.revision, options_of(request.options))
        except RuntimeServerError as error:
            await status.abort(context, error)
        return self._describe()

    async def GetModel(
        self, request: inference_pb2.GetModelRequest, context: Context
    ) -> inference_pb2.GetModelResponse:
        """See the protocol."""
        await self._authorise(context)
        try:
            return self._card.describe(request.model)
        except RuntimeServerError as error:
            await status.abort(context, error)

    async def ListProfiles(self, request: pb.ListProfilesRequest, context: Context) -> pb.ListProfilesResponse:
        """See the protocol."""
        await self._authorise(context, reading_profiles=True)
        return self._windows.list()

    async def FetchProfile(
        self, request: pb.FetchProfileRequest, context: Context
    ) -> AsyncIterator[pb.FetchProfileResponse]:
        """See the protocol."""
        await self._authorise(context, reading_profiles=True)
        async for response in self._windows.fetch(request, context):
            yield response

    async def OpenWindow(self, request: pb.OpenWindowRequest, context: Context) -> pb.Profile:
        """See the protocol."""
        await self._authorise(context)
        return await self._windows.open(request, context)

    async def CloseWindow(self, request: pb.CloseWindowRequest, context: Context) -> pb.Profile:
        """See the protocol."""
        await self._authorise(context)
        return await self._windows.close(request, context)

    async def GetWindow(self, request: pb.GetWindowRequest, context: Context) -> pb.Profile:
        """See the protocol."""
        await self._authorise(context, reading_profiles=True)
        return await self._windows.get(request, context)

    async def ListRequests(
        self, request: inference_pb2.ListRequestsRequest, context: Context
    ) -> inference_pb2.ListRequestsResponse:
        """All of them, whoever asked for them."""
        await self._authorise(context)
        return inference_pb2.ListRequestsResponse(requests=map(request_info, self._service.requests()))

    async def Measure(self, request: pb.MeasureRequest, context: Context) -> pb.MeasureResponse:
        """See the protocol."""
        await self._authorise(context)
        try:
            found = await self._measuring.measure(request.prompts, request.max_tokens, request.repeats or 1)
        except RuntimeServerError as error:
            await status.abort(context, error)
        return _measured(found)

    def _describe(self) -> pb.RuntimeOptionsState:
        newest = self._profiles.newest()
        return pb.RuntimeOptionsState(
            revision=self._options.revision,
            options=message_of(self._options.applied),
            serving_state=STATES[self._state.state],
            window=describe_profile(newest) if newest else None,
            unsupported=self._options.missing(),
            cancelled_requests=self._options.parts.rule.count,
            requests=len(self._service.requests()),
            adapters=adapter_messages(self._options.parts.adapters.states),
        )

    async def _authorise(self, context: Context, *, reading_profiles: bool = False) -> None:
        """TLS has proved the certificate; here its name is checked."""
        if self._client_name is None:
            return
        names = [name.decode(errors="replace") for name in context.auth_context().get("x509_common_name", ())]
        allowed = {self._client_name, COLLECTOR_NAME} if reading_profiles else {self._client_name}
        if allowed.isdisjoint(names):
            _log.warning("control refused", client=names)
            message = f"control is for client certificate {self._client_name!r} only"
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, message)


def _measured(found: Measurement) -> pb.MeasureResponse:
    return pb.MeasureResponse(
        tokens_per_second=found.tokens_per_second,
        time_to_first_token_seconds=found.first_token_seconds,
        operators=[
            pb.OperatorTime(
                op_type=each.op_type, provider=each.provider, microseconds_per_run=each.microseconds_per_run
            )
            for each in found.operators
        ],
    )
