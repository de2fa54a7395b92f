"""Chat with a GenAIModel over gRPC: `python grpc_client.py "What is the capital of France?"`.

    pip install grpcio grpcio-tools
    python -m grpc_tools.protoc -I runtime_server --python_out=. --grpc_python_out=. \\
        runtime_server/genai_protocol/v1/inference.proto          # or install this project, which has the stubs
    kubectl port-forward service/hello 9000                       # or, inside the cluster: hello.NAMESPACE.svc:9000
"""

import argparse
import asyncio
import os
import sys

import grpc

from genai_protocol.v1 import inference_pb2, inference_pb2_grpc


async def chat(address: str, question: str) -> int:
    """Prints the answer as it comes; returns the exit code."""
    key = os.environ.get("GENAI_API_KEY")
    metadata = [("authorization", f"Bearer {key}")] if key else None
    request = inference_pb2.ChatRequest(
        messages=[inference_pb2.ChatMessage(role="user", content=question)],
        options=inference_pb2.GenerationOptions(max_tokens=256),
    )
    # A Service gives each connection one pod; the headless one, NAME-headless, and round_robin use them all.
    balanced = [("grpc.lb_policy_name", "round_robin")]
    async with grpc.aio.insecure_channel(address, options=balanced) as channel:
        stub = inference_pb2_grpc.GenAIServiceStub(channel)
        try:
            async for answer in stub.Chat(request, metadata=metadata, timeout=60):
                if answer.HasField("chunk"):
                    print(answer.chunk.text, end="", flush=True)
                else:
                    usage, seconds = answer.finish.usage, answer.finish.timings.total_seconds
                    print(f"\n[{usage.prompt_tokens} + {usage.completion_tokens} tokens, {seconds:.2f} s]")
        except grpc.aio.AioRpcError as error:
            print(f"\n{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    return 0


def main() -> int:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", default="What is the capital of France?")
    parser.add_argument("--address", default="localhost:9000", help="status.endpoints.grpc of the GenAIModel")
    arguments = parser.parse_args()
    return asyncio.run(chat(arguments.address, arguments.question))


if __name__ == "__main__":
    sys.exit(main())
