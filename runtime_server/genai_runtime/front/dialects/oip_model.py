"""What the Open Inference Protocol says of the served model: metadata, configuration, statistics, repository. Pure."""

from importlib.metadata import version

from genai_protocol.oip import inference_pb2 as oip
from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.front.dialects.oip_answers import FINISH_REASON, OUTPUT_IDS, OUTPUT_LOGPROBS, TEXT_OUTPUT, VERSION
from genai_runtime.front.dialects.oip_tensors import INPUT_IDS, SAMPLING_PARAMETERS, STREAM, TEXT_INPUT
from genai_runtime.front.distribution import Distribution
from genai_runtime.front.metrics import Metrics
from genai_runtime.generation import FinishReason

_PLATFORM = "onnxruntime_genai"
_EXTENSIONS = ("model_repository", "model_configuration", "parameters", "statistics", "trace", "logging")
# (name, datatype, shape); all but one of the first two are optional.
_INPUTS = (
    (TEXT_INPUT, "BYTES", (1,)),
    (INPUT_IDS, "INT64", (-1,)),
    (STREAM, "BOOL", (1,)),
    (SAMPLING_PARAMETERS, "BYTES", (1,)),
)
_OUTPUTS = (
    (TEXT_OUTPUT, "BYTES", (-1,)),
    (OUTPUT_IDS, "INT64", (-1,)),
    (FINISH_REASON, "BYTES", (-1,)),
    (OUTPUT_LOGPROBS, "FP32", (-1,)),
)
_TYPES = {"BYTES": oip.TYPE_STRING, "INT64": oip.TYPE_INT64, "BOOL": oip.TYPE_BOOL, "FP32": oip.TYPE_FP32}
_SERVED = (pb.SERVING_STATE_SERVING, pb.SERVING_STATE_HALTED)


def server_metadata() -> oip.ServerMetadataResponse:
    """This program."""
    return oip.ServerMetadataResponse(name="genai-runtime", version=version("genai-operator"), extensions=_EXTENSIONS)


def model_metadata(name: str) -> oip.ModelMetadataResponse:
    """The tensors of every model here."""
    kind = oip.ModelMetadataResponse.TensorMetadata
    return oip.ModelMetadataResponse(
        name=name,
        versions=[VERSION],
        platform=_PLATFORM,
        inputs=[kind(name=tensor, datatype=datatype, shape=shape) for tensor, datatype, shape in _INPUTS],
        outputs=[kind(name=tensor, datatype=datatype, shape=shape) for tensor, datatype, shape in _OUTPUTS],
    )


def model_config(card: pb.GetModelResponse) -> oip.ModelConfig:
    """As Triton would configure it: decoupled, without a batch dimension; facts of the model as parameters."""
    facts = {
        "architecture": card.architecture,
        "engine": card.engine,
        "provider": card.provider,
        "context_length": card.context_length,
        "max_sequence_length": card.max_sequence_length,
        "vocabulary_size": card.vocabulary_size,
        "max_concurrent_requests": card.max_concurrent_requests,
    }
    return oip.ModelConfig(
        name=card.name,
        platform=_PLATFORM,
        backend=_PLATFORM,
        max_batch_size=0,
        input=[
            oip.ModelInput(name=tensor, data_type=_TYPES[datatype], dims=shape, optional=True)
            for tensor, datatype, shape in _INPUTS
        ],
        output=[
            oip.ModelOutput(name=tensor, data_type=_TYPES[datatype], dims=shape) for tensor, datatype, shape in _OUTPUTS
        ],
        parameters={key: oip.ModelParameter(string_value=str(value)) for key, value in facts.items() if value},
        model_transaction_policy=oip.ModelTransactionPolicy(decoupled=True),
    )


def repository_index(card: pb.GetModelResponse, *, only_ready: bool) -> oip.RepositoryIndexResponse:
    """The one model of this server, and in which of Triton's states it is."""
    ready = card.state in _SERVED
    if only_ready and not ready:
        return oip.RepositoryIndexResponse()
    loading = card.state == pb.SERVING_STATE_LOADING
    reason = "" if ready else pb.ServingState.Name(card.state).removeprefix("SERVING_STATE_").lower().replace("_", " ")
    model = oip.RepositoryIndexResponse.ModelIndex(
        name=card.name,
        version=VERSION,
        state="READY" if ready else "LOADING" if loading else "UNAVAILABLE",
        reason=reason,
    )
    return oip.RepositoryIndexResponse(models=[model])


def model_statistics(name: str, metrics: Metrics) -> oip.ModelStatistics:
    """Since the start, over all protocols. Requests that were refused are in the metrics alone."""
    ended = {reason: round(tally.value) for reason, tally in metrics.ends.items()}
    well = ended[FinishReason.STOP] + ended[FinishReason.LENGTH]
    seconds = metrics.request_seconds
    statistics = oip.InferStatistics(
        success=oip.StatisticDuration(count=well, ns=_nanoseconds(seconds.total)),
        fail=oip.StatisticDuration(count=sum(ended.values()) - well),
        queue=_duration(metrics.queue_seconds),
        compute_input=_duration(metrics.prefill_seconds),
        compute_infer=_duration(metrics.decode_seconds),
    )
    runs = metrics.engine.prefill_runs + metrics.engine.decode_runs
    return oip.ModelStatistics(
        name=name, version=VERSION, inference_count=well, execution_count=runs, inference_stats=statistics
    )


def _duration(measured: Distribution) -> oip.StatisticDuration:
    _, count = measured.buckets()[-1]
    return oip.StatisticDuration(count=round(count), ns=_nanoseconds(measured.total))


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
