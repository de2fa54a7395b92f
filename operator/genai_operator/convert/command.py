"""`genai-operator convert CONFIG`: prints GenAIModels for Triton's configurations. Arguments, output, exit codes.

Exit status 0: printed. 1: something could not be converted, and said why on standard error. 2: wrong usage.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from genai_operator.convert.backend import read_backend
from genai_operator.convert.document import comment, document
from genai_operator.convert.draft import shown
from genai_operator.convert.errors import CannotConvert
from genai_operator.convert.mapping import Converted, Wanted, convert
from genai_operator.convert.parse import parse_config
from genai_operator.convert.source import FILE, Source, find_sources

_PROGRAM = "genai-operator convert"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        text = converted(given.config, Wanted(given.name, given.model_uri, read_backend(given.backend_config)))
    except CannotConvert as error:
        sys.stderr.write(f"{_PROGRAM}: {_printable(str(error))}\n")
        return 1
    except KeyboardInterrupt:  # while standard input is waited for
        return 130
    return _written(text)


def _written(text: str) -> int:
    try:
        # YAML is UTF-8, whatever the terminal is.
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has seen enough; Python would complain once more when it closes its own end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        sys.stderr.write(f"{_PROGRAM}: standard output: {error.strerror}\n")
        return 1
    return 0


def converted(path: str, wanted: Wanted) -> str:
    """The documents for what a path names, one a model.

    Raises:
        CannotConvert: nothing could be converted, or only a part of what was asked for by name.
    """
    sources = find_sources(path)
    if len(sources) > 1 and wanted.name:
        raise CannotConvert(f"{path}: --name is for one model, and there are {len(sources)}")
    if len(sources) > 1 and wanted.uri and "{model}" not in wanted.uri:
        raise CannotConvert(f"{path}: --model-uri needs {{model}} in it, for there are {len(sources)} models")
    done: list[tuple[Source, Converted]] = []
    refused: list[str] = []
    for source in sources:
        try:
            config = parse_config(source.content, source.folder.origin)
            done.append((source, convert(config, source.folder, wanted)))
        except CannotConvert as error:
            refused.append(str(error))
    if not done:
        raise CannotConvert("; ".join(refused))
    _check_names(done)
    left_out = [line for each in refused for line in comment(each, indent="  ")]
    head = "".join(f"{line}\n" for line in (["# Not converted:", *left_out] if left_out else []))
    return head + "---\n".join(document(model.name, source.folder.origin, model.draft) for source, model in done)


def _check_names(done: Sequence[tuple[Source, Converted]]) -> None:
    first: dict[str, str] = {}
    for source, model in done:
        if model.name in first:
            both = f"{first[model.name]} and {source.folder.origin}"
            raise CannotConvert(f"{both}: both models would be called {shown(model.name)}; convert them one by one")
        first[model.name] = source.folder.origin


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Prints a GenAIModel for a model configuration of Triton's ONNX Runtime backend. What cannot be "
        "carried over is a comment with the reason.",
    )
    parser.add_argument("config", help=f"{FILE}, a model's folder, a model repository, or - for standard input")
    parser.add_argument("--name", default="", help="the GenAIModel's name; by default the model's in Triton")
    parser.add_argument(
        "--model-uri",
        default="",
        metavar="URI",
        help="where the model's folder is; {model} and {version} in it become the folder's name and version",
    )
    parser.add_argument(
        "--backend-config",
        action="append",
        default=[],
        metavar="onnxruntime,KEY=VALUE",
        help="as on Triton's command line; may be repeated",
    )
    return parser
