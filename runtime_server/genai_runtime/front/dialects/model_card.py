"""GetModel's answer, the same on the data port and on the control service."""

from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.front.generating import GenerationService
from genai_runtime.front.state import ServingState, StateHolder
from genai_runtime.front.validation import check_model
from genai_runtime.front.warmup import WarmupResult

STATES = {
    ServingState.LOADING: pb.SERVING_STATE_LOADING,
    ServingState.SERVING: pb.SERVING_STATE_SERVING,
    ServingState.HALTED: pb.SERVING_STATE_HALTED,
    ServingState.DRAINING: pb.SERVING_STATE_DRAINING,
    ServingState.ENGINE_DOWN: pb.SERVING_STATE_ENGINE_DOWN,
}


class ModelCard:
    """What is known of the served model at this moment. `name` is what clients call it."""

    def __init__(self, name: str, max_concurrent: int, service: GenerationService, state: StateHolder) -> None:
        self.warmup = WarmupResult()
        self.name = name
        self._max_concurrent = max_concurrent
        self._service = service
        self._state = state

    @property
    def ready(self) -> bool:
        """Whether clients should be sent here."""
        return self._state.ready

    def describe(self, requested: str = "") -> pb.GetModelResponse:
        """Name and state alone until the model is loaded. Raises `ModelNotFound` for another name."""
        check_model(requested, self.name)
        answer = pb.GetModelResponse(
            name=self.name,
            state=STATES[self._state.state],
            max_concurrent_requests=self._max_concurrent,
            warmup_tokens_per_second=self.warmup.tokens_per_second,
            warmup_time_to_first_token_seconds=self.warmup.first_token_seconds,
            placement=[
                pb.ProviderShare(provider=each.provider, share=each.share, operators=each.operators)
                for each in self.warmup.placement
            ],
        )
        if self._service.model is None:
            return answer
        info = self._service.model.info
        answer.architecture = info.architecture
        answer.context_length = info.context_length
        answer.vocabulary_size = info.vocabulary_size
        answer.engine = info.engine
        answer.engine_reason = info.engine_reason
        answer.provider = info.provider
        answer.precision = info.precision
        answer.provider_reason = info.provider_reason
        answer.intra_op_threads = info.intra_op_threads
        answer.inter_op_threads = info.inter_op_threads
        answer.spinning = info.spinning
        answer.thread_cpus.extend(info.thread_cpus)
        answer.max_sequence_length = info.max_sequence_length
        answer.onnxruntime_version = info.onnxruntime_version
        answer.onnxruntime_genai_version = info.onnxruntime_genai_version
        answer.features.extend(sorted(info.features))
        answer.adapters.extend(sorted(info.adapters))
        answer.kv_tokens = info.kv_tokens
        answer.kv_bytes_per_token = info.kv_bytes_per_token
        answer.max_batch_size = info.max_batch_size
        answer.prefix_caching = info.prefix_caching
        answer.prefill_chunk = info.prefill_chunk
        return answer
