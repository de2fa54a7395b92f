"""What the Open Inference Protocol asks of a server beside inference: health, metadata, repository, live settings.

The whole service is `oip.py`'s.
"""

from dataclasses import dataclass

from genai_protocol.oip import inference_pb2 as oip
from genai_protocol.oip import inference_pb2_grpc as oip_grpc
from genai_runtime.errors import InvalidRequest, NotOffered
from genai_runtime.front.access import Access
from genai_runtime.front.dialects import oip_model
from genai_runtime.front.dialects.log_settings import LogSettings, Value
from genai_runtime.front.dialects.model_card import ModelCard
from genai_runtime.front.dialects.oip_calls import check_served
from genai_runtime.front.dialects.serving import answered, caller_of
from genai_runtime.front.dialects.status import Context
from genai_runtime.front.dialects.trace_settings import TraceSettings
from genai_runtime.front.generating import GenerationService
from genai_runtime.front.metrics import Metrics


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """What of the running server this protocol shows and sets."""

    traces: TraceSettings
    logs: LogSettings
    metrics: Metrics


class OpenInferenceServer(oip_grpc.GRPCInferenceServiceServicer):
    """These calls of the servicer."""

    def __init__(self, service: GenerationService, card: ModelCard, access: Access, settings: LiveSettings) -> None:
        self._service = service
        self._card = card
        self._access = access
        self._settings = settings

    @answered
    async def ServerLive(self, request: oip.ServerLiveRequest, context: Context) -> oip.ServerLiveResponse:
        """As health's "": open to everybody."""
        return oip.ServerLiveResponse(live=True)

    @answered
    async def ServerReady(self, request: oip.ServerReadyRequest, context: Context) -> oip.ServerReadyResponse:
        """As this service's health: open to everybody."""
        return oip.ServerReadyResponse(ready=self._card.ready)

    @answered
    async def ModelReady(self, request: oip.ModelReadyRequest, context: Context) -> oip.ModelReadyResponse:
        """See the protocol."""
        self._admit(context)
        check_served(request.name, request.version, self._card.name)
        return oip.ModelReadyResponse(ready=self._card.ready)

    @answered
    async def ServerMetadata(self, request: oip.ServerMetadataRequest, context: Context) -> oip.ServerMetadataResponse:
        """See the protocol."""
        self._admit(context)
        return oip_model.server_metadata()

    @answered
    async def ModelMetadata(self, request: oip.ModelMetadataRequest, context: Context) -> oip.ModelMetadataResponse:
        """See the protocol."""
        self._admit(context)
        check_served(request.name, request.version, self._card.name)
        return oip_model.model_metadata(self._card.name)

    @answered
    async def ModelConfig(self, request: oip.ModelConfigRequest, context: Context) -> oip.ModelConfigResponse:
        """See the protocol."""
        self._admit(context)
        check_served(request.name, request.version, self._card.name)
        return oip.ModelConfigResponse(config=oip_model.model_config(self._card.describe()))

    @answered
    async def ModelStatistics(
        self, request: oip.ModelStatisticsRequest, context: Context
    ) -> oip.ModelStatisticsResponse:
        """See the protocol."""
        self._admit(context)
        check_served(request.name, request.version, self._card.name)
        statistics = oip_model.model_statistics(self._card.name, self._settings.metrics)
        return oip.ModelStatisticsResponse(model_stats=[statistics])

    @answered
    async def RepositoryIndex(
        self, request: oip.RepositoryIndexRequest, context: Context
    ) -> oip.RepositoryIndexResponse:
        """See the protocol."""
        self._admit(context)
        return oip_model.repository_index(self._card.describe(), only_ready=request.ready)

    @answered
    async def RepositoryModelLoad(
        self, request: oip.RepositoryModelLoadRequest, context: Context
    ) -> oip.RepositoryModelLoadResponse:
        """The served model is loaded already."""
        self._admit(context)
        name = self._check_repository(request)
        if request.parameters:
            raise InvalidRequest("parameters", "are not taken: the model is configured by its GenAIModel or GENAI_*")
        self._service.served_model()  # not loaded yet: try again
        return oip.RepositoryModelLoadResponse(model_name=name, isLoaded=True)

    @answered
    async def RepositoryModelUnload(
        self, request: oip.RepositoryModelUnloadRequest, context: Context
    ) -> oip.RepositoryModelUnloadResponse:
        """A server without its model is of no use; what is meant is an option."""
        self._admit(context)
        name = self._check_repository(request)
        raise NotOffered(
            f"model {name!r} is served as long as this server lives; the runtime option terminate-session "
            "(annotation genai-operator.io/terminate-session, or `genai-runtime ctl options`) stops its generations"
        )

    @answered
    async def TraceSetting(self, request: oip.TraceSettingRequest, context: Context) -> oip.TraceSettingResponse:
        """See `trace_settings.py`."""
        self._admit(context)
        check_served(request.model_name, "", self._card.name)
        traces = self._settings.traces
        if request.settings:
            await traces.update({name: list(setting.value) for name, setting in request.settings.items()})
        kind = oip.TraceSettingResponse.SettingValue
        return oip.TraceSettingResponse(settings={name: kind(value=value) for name, value in traces.show().items()})

    @answered
    async def LogSettings(self, request: oip.LogSettingsRequest, context: Context) -> oip.LogSettingsResponse:
        """See `log_settings.py`."""
        self._admit(context)
        logs = self._settings.logs
        if request.settings:
            logs.update({name: _value_of(setting) for name, setting in request.settings.items()})
        answer = oip.LogSettingsResponse()
        for name, value in logs.show().items():
            setattr(answer.settings[name], _PARAMETERS[type(value)], value)
        return answer

    def _admit(self, context: Context) -> None:
        """Raises `Unauthenticated`."""
        caller_of(self._access, context)

    def _check_repository(self, request: oip.RepositoryModelLoadRequest | oip.RepositoryModelUnloadRequest) -> str:
        """The model's name; KServe's protocol has it in the field where Triton's has the repository's."""
        name = request.model_name or request.repository_name
        if not name:
            raise InvalidRequest("model_name", "is empty")
        check_served(name, "", self._card.name)
        return name


_PARAMETERS: dict[type, str] = {bool: "bool_param", int: "uint32_param", str: "string_param"}


def _value_of(setting: oip.LogSettingsRequest.SettingValue) -> Value | None:
    """None for a setting without a value."""
    choice = setting.WhichOneof("parameter_choice")
    found: Value | None = None if choice is None else getattr(setting, choice)
    return found
