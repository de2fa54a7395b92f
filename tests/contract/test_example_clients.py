"""The clients in examples/ get an answer, as a user would start them."""

import asyncio
import sys
from pathlib import Path

from support.hello_server import hello_server
from support.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 60


async def printed(program: str, *arguments: str) -> str:
    """What the program printed; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / program), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_both_print_the_same_answer_and_count_the_same_tokens(tmp_path: Path) -> None:
    port = free_port()
    async with hello_server(tmp_path, http_port=port) as hello:
        over_grpc = await printed("grpc_client.py", "--address", hello.address)
        over_http = await printed("openai_client.py", "--url", f"http://127.0.0.1:{port}")
        in_the_demo = await printed("demo/http_client.py", f"http://127.0.0.1:{port}", "--model", "hello")
    assert over_grpc.startswith("The capital of France is Paris.\n[18 + 7 tokens, ")
    assert over_http == "The capital of France is Paris.\n[18 + 7 tokens, hello]\n"
    assert '"event": "finish", "reason": "stop"' in in_the_demo
