"""The command `genai-runtime`. Each module is one group of commands; `app` puts them together."""

from genai_runtime.cli.app import main

__all__ = ["main"]
