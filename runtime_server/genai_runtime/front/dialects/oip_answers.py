"""What answers an Open Inference Protocol request: output tensors, filled from chunks and endings. Pure."""

import struct
from collections.abc import Sequence

from genai_protocol.oip import inference_pb2 as oip
from genai_runtime.errors import InvalidRequest
from genai_runtime.front.generating import Ending, TextChunk
from genai_runtime.front.validation import Options
from genai_runtime.generation import TokenLogprob

VERSION = "1"
TEXT_OUTPUT, OUTPUT_IDS, FINISH_REASON, OUTPUT_LOGPROBS = (
    "text_output",
    "output_ids",
    "finish_reason",
    "output_logprobs",
)
_DATATYPES = {TEXT_OUTPUT: "BYTES", OUTPUT_IDS: "INT64", FINISH_REASON: "BYTES", OUTPUT_LOGPROBS: "FP32"}
_FINAL = "triton_final_response"


class Answers:
    """Makes the messages of one request, in the form it was asked in: raw contents for raw contents."""

    def __init__(self, request: oip.ModelInferRequest, model: str, options: Options) -> None:
        """Raises `InvalidRequest` for an output that there is not."""
        self._id = request.id
        self._model = model
        self._raw = bool(request.raw_input_contents)
        self._choices = options.n
        self._wanted = _wanted(request, options)

    def chunk(self, chunk: TextChunk) -> oip.ModelInferResponse:
        """One message of a stream."""
        answer = self._answer(final=False, index=chunk.index)
        self._fill(answer, [chunk.text], chunk.ids, chunk.logprobs, None)
        return answer

    def end(self, ending: Ending, *, final: bool) -> oip.ModelInferResponse:
        """The end of one choice of a stream; `final`: of the last one."""
        answer = self._answer(final=final, index=ending.index)
        self._fill(answer, [""], [], [], [ending.reason.value])
        if final:
            _add_usage(answer, ending)
        return answer

    def whole(
        self, chunks: Sequence[TextChunk], endings: Sequence[Ending], *, final: bool | None
    ) -> oip.ModelInferResponse:
        """Everything in one message. `final`: None outside streams."""
        answer = self._answer(final=final, index=0)
        texts = ["".join(chunk.text for chunk in chunks if chunk.index == index) for index in range(self._choices)]
        reasons = [ending.reason.value for ending in sorted(endings, key=lambda ending: ending.index)]
        ids = [id_ for chunk in chunks for id_ in chunk.ids]
        logprobs = [logprob for chunk in chunks for logprob in chunk.logprobs]
        self._fill(answer, texts, ids, logprobs, reasons)
        _add_usage(answer, endings[-1])
        return answer

    def _answer(self, *, final: bool | None, index: int) -> oip.ModelInferResponse:
        answer = oip.ModelInferResponse(model_name=self._model, model_version=VERSION, id=self._id)
        if final is not None:
            answer.parameters[_FINAL].bool_param = final
            if self._choices > 1:
                answer.parameters["index"].int64_param = index
        return answer

    def _fill(
        self,
        answer: oip.ModelInferResponse,
        texts: Sequence[str],
        ids: Sequence[int],
        logprobs: Sequence[TokenLogprob],
        reasons: Sequence[str] | None,
    ) -> None:
        for name in self._wanted:
            if name == TEXT_OUTPUT:
                self._add_bytes(answer, name, [text.encode() for text in texts])
            elif name == OUTPUT_IDS:
                self._add_numbers(answer, name, "q", ids)
            elif name == OUTPUT_LOGPROBS:
                self._add_numbers(answer, name, "f", [logprob.logprob for logprob in logprobs])
            elif reasons is not None:
                self._add_bytes(answer, name, [reason.encode() for reason in reasons])

    def _add_bytes(self, answer: oip.ModelInferResponse, name: str, elements: Sequence[bytes]) -> None:
        tensor = answer.outputs.add(name=name, datatype=_DATATYPES[name], shape=(len(elements),))
        if self._raw:
            answer.raw_output_contents.append(raw_bytes(elements))
        else:
            tensor.contents.bytes_contents.extend(elements)

    def _add_numbers(
        self, answer: oip.ModelInferResponse, name: str, letter: str, elements: Sequence[int] | Sequence[float]
    ) -> None:
        tensor = answer.outputs.add(name=name, datatype=_DATATYPES[name], shape=(len(elements),))
        if self._raw:
            answer.raw_output_contents.append(struct.pack(f"<{len(elements)}{letter}", *elements))
        elif letter == "q":
            tensor.contents.int64_contents.extend(int(element) for element in elements)
        else:
            tensor.contents.fp32_contents.extend(elements)


def stream_error(request_id: str, words: str, ending: Ending | None = None) -> oip.ModelStreamInferResponse:
    """This request of a stream failed. tritonclient shows the words alone, so they name the request.

    `ending`: of a request that was accepted; why it ended and what it had got are parameters.
    """
    answer = oip.ModelInferResponse(id=request_id)
    answer.parameters[_FINAL].bool_param = True
    if ending is not None:
        answer.parameters[FINISH_REASON].string_param = ending.reason.value
        _add_usage(answer, ending)
    about = f"request {request_id}: " if request_id else ""
    return oip.ModelStreamInferResponse(error_message=f"{about}{words}", infer_response=answer)


def raw_bytes(elements: Sequence[bytes]) -> bytes:
    """Elements of BYTES as they are in raw contents."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def _wanted(request: oip.ModelInferRequest, options: Options) -> list[str]:
    """Which outputs the answer has, in the request's order; those that it names, or all that fit it."""
    several = options.n > 1
    offered = [TEXT_OUTPUT, FINISH_REASON] if several else [TEXT_OUTPUT, OUTPUT_IDS, FINISH_REASON]
    if options.logprobs is not None:
        if several:
            raise InvalidRequest("parameters.logprobs", "cannot be combined with n above 1 here; genai.v1 can do both")
        offered.append(OUTPUT_LOGPROBS)
    for output in request.outputs:
        place = f"outputs[{output.name[:100]!r}]"
        if output.name not in _DATATYPES:
            raise InvalidRequest(place, f"is not an output here; outputs are {', '.join(_DATATYPES)}")
        if output.name not in offered:
            why = "parameters.n is above 1" if several else "parameters.logprobs is not set"
            raise InvalidRequest(place, f"is not to be had while {why}")
        if output.parameters:
            raise InvalidRequest(f"{place}.parameters", "are not offered; an output's elements come in the answer")
    return [output.name for output in request.outputs] or offered


def _add_usage(answer: oip.ModelInferResponse, ending: Ending) -> None:
    """In the request's own last message."""
    record = ending.record
    answer.parameters["request_id"].string_param = record.request_id
    answer.parameters["prompt_tokens"].int64_param = record.prompt_tokens
    answer.parameters["completion_tokens"].int64_param = record.completion_tokens
    answer.parameters["cached_prompt_tokens"].int64_param = record.cached_tokens
