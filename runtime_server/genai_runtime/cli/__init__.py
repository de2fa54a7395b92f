"""The command `genai-runtime`. Each module is one group of commands; `app` puts them together."""

import os

# Programs that we start are others at once; gRPC would say on stderr, at each, that it does not follow the fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from genai_runtime.cli.app import main

__all__ = ["main"]
