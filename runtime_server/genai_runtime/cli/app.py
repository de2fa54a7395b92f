"""`genai-runtime`: which commands there are, and how their failures look. What they do is in the other modules.

Exit codes: 0 done, 1 failed (the message says why and what helps), 2 wrong usage.
"""

import sys

import typer

from genai_runtime.cli import client, collect, ctl, digest, fetch, serving, tune
from genai_runtime.errors import RuntimeServerError

app = typer.Typer(
    name="genai-runtime",
    help="Serve an ONNX Runtime GenAI model folder over gRPC, and talk to such a server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serving.serve)
app.command("check")(serving.check)
app.command("digest")(digest.digest)
app.command("chat")(client.chat)
app.command("generate")(client.generate)
app.command("requests")(client.requests)
app.command("cancel")(client.cancel)
app.command("collect")(collect.collect)
app.command("fetch")(fetch.fetch)
app.command("tune")(tune.tune)
app.add_typer(ctl.app, name="ctl")


def main() -> None:
    """The console script."""
    try:
        app()
    except RuntimeServerError as error:
        print(f"genai-runtime: {error.message}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
