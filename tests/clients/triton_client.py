"""Uses tritonclient as its own documentation does; prints what it saw as one JSON object. Not one of our imports."""

import functools
import json
import queue
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

QUESTION = "The capital of France is"


def text_input(text: str) -> Any:
    tensor = triton.InferInput("text_input", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode()], dtype=np.object_))
    return tensor


def text_of(result: Any) -> str:
    return "".join(part.decode() for part in result.as_numpy("text_output"))


def refusal(call: Any) -> dict[str, str]:
    try:
        call()
    except InferenceServerException as error:
        return {"status": str(error.status()), "message": str(error.message())}
    raise AssertionError("this should have been refused")


def health(client: Any) -> dict[str, Any]:
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("hello"),
        "unknown": refusal(lambda: client.is_model_ready("other")),
        "version": refusal(lambda: client.is_model_ready("hello", "2")),
    }


def metadata(client: Any) -> dict[str, Any]:
    return {
        "server": client.get_server_metadata(as_json=True),
        "model": client.get_model_metadata("hello", as_json=True),
        "config": client.get_model_config("hello", as_json=True),
        "index": client.get_model_repository_index(as_json=True),
        "load": client.load_model("hello"),
        "unload": refusal(lambda: client.unload_model("hello")),
        "load_other": refusal(lambda: client.load_model("other")),
        "shared_memory": refusal(client.get_system_shared_memory_status),
    }


def infer(client: Any) -> dict[str, Any]:
    whole = client.infer("hello", [text_input(QUESTION)], request_id="one", parameters={"max_tokens": 12})
    ids = triton.InferInput("input_ids", [1, 3], "INT32")
    ids.set_data_from_numpy(np.array([[20, 21, 22]], dtype=np.int32))
    numbers = client.infer(
        "hello",
        [ids],
        outputs=[triton.InferRequestedOutput("output_ids")],
        parameters={"max_tokens": 5, "temperature": 0.5, "top_k": 3, "top_p": 0.9, "seed": 7, "ignore_eos": True},
    )
    statistics = client.get_inference_statistics("hello", as_json=True)["model_stats"][0]
    two = triton.InferInput("text_input", [2], "BYTES")
    two.set_data_from_numpy(np.array([b"a", b"b"], dtype=np.object_))
    return {
        "text": text_of(whole),
        "id": whole.get_response().id,
        "usage": {
            name: value.int64_param
            for name, value in whole.get_response().parameters.items()
            if name.endswith("_tokens")
        },
        "ids": numbers.as_numpy("output_ids").tolist(),
        "statistics": statistics["inference_stats"],
        "other_output": numbers.as_numpy("text_output"),
        "batch": refusal(lambda: client.infer("hello", [two])),
        "hot": refusal(lambda: client.infer("hello", [text_input("a")], parameters={"temperature": 9.0})),
        "timed_out": refusal(
            lambda: client.infer(
                "hello",
                [text_input(QUESTION)],
                timeout=1,
                parameters={"max_tokens": 2000, "ignore_eos": True},
            )
        ),
    }


def take(results: Any) -> tuple[Any, Any]:
    return results.get(timeout=120)  # type: ignore[no-any-return]


def stream(client: Any) -> dict[str, Any]:
    """Three requests at once on one stream, one of them wrong."""
    results: Any = queue.Queue()
    client.start_stream(callback=functools.partial(lambda found, result, error: found.put((result, error)), results))
    for name in ("a", "b"):
        client.async_stream_infer(
            "hello",
            [text_input(QUESTION)],
            request_id=name,
            enable_empty_final_response=True,
            parameters={"max_tokens": 12},
        )
    client.async_stream_infer("hello", [text_input("")], request_id="wrong")
    texts = {"a": "", "b": ""}
    responses = {"a": 0, "b": 0}
    errors: list[str] = []
    finals: set[str] = set()
    while len(finals) < 2 or not errors:
        result, error = take(results)
        if error is not None:
            errors.append(str(error))
            continue
        response = result.get_response()
        texts[response.id] += text_of(result)
        responses[response.id] += 1
        if response.parameters["triton_final_response"].bool_param:
            finals.add(response.id)
    client.async_stream_infer("hello", [text_input(QUESTION)], request_id="later", parameters={"stream": False})
    later, _ = take(results)
    client.stop_stream()
    return {"texts": texts, "responses": responses, "errors": errors, "later": text_of(later)}


def cancel(client: Any) -> dict[str, Any]:
    """The stream is closed under a request that would go on for long."""
    results: Any = queue.Queue()
    client.start_stream(callback=functools.partial(lambda found, result, error: found.put((result, error)), results))
    client.async_stream_infer(
        "hello", [text_input(QUESTION)], request_id="long", parameters={"max_tokens": 3000, "ignore_eos": True}
    )
    first, _ = take(results)
    client.stop_stream(cancel_requests=True)
    error = None
    while error is None:
        _, error = take(results)
    return {"first": text_of(first), "status": str(error.status())}


def settings(client: Any) -> dict[str, Any]:
    return {
        "before": client.get_trace_settings(as_json=True),
        "open": client.update_trace_settings(
            "hello", settings={"trace_level": ["TIMESTAMPS"], "trace_count": "5", "trace_rate": "100"}, as_json=True
        ),
        "cleared": client.update_trace_settings(
            settings={"trace_level": None, "trace_count": None, "trace_rate": None}, as_json=True
        ),
        "file": refusal(lambda: client.update_trace_settings(settings={"trace_file": "/tmp/x"})),
        "log": client.get_log_settings(as_json=True),
        "verbose": client.update_log_settings({"log_verbose_level": 1}, as_json=True),
        "quiet": client.update_log_settings(
            {"log_verbose_level": 0, "log_info": False, "log_warning": False}, as_json=True
        ),
        "restored": client.update_log_settings({"log_info": True, "log_warning": True}, as_json=True),
        "log_file": refusal(lambda: client.update_log_settings({"log_file": "/tmp/x"})),
    }


def main() -> None:
    found: dict[str, Any] = {}
    for part in (health, metadata, infer, stream, cancel, settings):
        with triton.InferenceServerClient(sys.argv[1]) as client:
            found[part.__name__] = part(client)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
