"""Chat with a GenAIModel by the `openai` package, unmodified: `python openai_client.py "What is 2 + 2?"`.

pip install openai
kubectl port-forward service/hello 8080          # or, inside the cluster: --url http://hello.NAMESPACE.svc:8080
"""

import argparse
import os

from openai import OpenAI


def main() -> None:
    """Streams one answer, then says what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", default="What is the capital of France?")
    parser.add_argument("--url", default="http://localhost:8080", help="status.endpoints.http of the GenAIModel")
    arguments = parser.parse_args()
    # Without spec.server.apiKeys any key does; the package insists on one.
    client = OpenAI(base_url=f"{arguments.url}/v1", api_key=os.environ.get("OPENAI_API_KEY", "none"))
    model = client.models.list().data[0].id
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": arguments.question}],
        max_tokens=256,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        for choice in chunk.choices:
            print(choice.delta.content or "", end="", flush=True)
        if chunk.usage:
            print(f"\n[{chunk.usage.prompt_tokens} + {chunk.usage.completion_tokens} tokens, {model}]")


if __name__ == "__main__":
    main()
