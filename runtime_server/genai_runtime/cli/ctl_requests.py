"""`genai-runtime ctl requests`: what runs and waits in this pod. Never any text of it."""

import json

from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.cli.control_client import SECONDS, Output, OutputOption, control, plain


def requests(output: OutputOption = Output.TEXT) -> None:
    """The requests that run or wait, of all clients, oldest first."""
    with control() as stub:
        found = stub.ListRequests(pb.ListRequestsRequest(), timeout=SECONDS).requests
    if output is Output.JSON:
        print(json.dumps([{**plain(each), "stage": _stage(each)} for each in found]))
        return
    print(f"{'ID':<34} {'CLIENT':<24} {'METHOD':<18} {'STAGE':<8} {'AGE':>8} {'PROMPT':>7} {'TOKENS':>7} {'N':>3}")
    for each in found:
        names = f"{each.request_id:<34} {each.client:<24} {each.method:<18} {_stage(each):<8}"
        age = f"{each.age_seconds:.1f}s"
        print(f"{names} {age:>8} {each.prompt_tokens:>7} {each.completion_tokens:>7} {each.choices:>3}")


def _stage(found: pb.RequestInfo) -> str:
    return pb.RequestStage.Name(found.stage).removeprefix("REQUEST_STAGE_").lower()
