"""`genai-runtime ctl` against a server's socket: what it reads of an option's text, sends and prints."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from genai_protocol.v1 import inference_pb2
from genai_runtime.cli.app import app
from genai_runtime.errors import RuntimeServerError
from support.runtime import Front, collect, running_front


async def ctl(front: Front, *arguments: str) -> Any:
    """In a thread: the server is in this one."""
    run_dir = Path(front.server.addresses["control_socket"]).parent
    runner = CliRunner(env={"GENAI_RUN_DIR": str(run_dir)})
    return await asyncio.to_thread(runner.invoke, app, ["ctl", *arguments])


async def test_options_are_set_one_by_one_and_shown(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        await ctl(front, "options", "--drain", "1m30s", "--log-level", "error")
        await ctl(front, "options", "--cancel", "client=ann,older-than=500ms,tokens-over=7", "--arena-shrinkage", "1")
        done = await ctl(front, "options")
        assert done.exit_code == 0, done.output
        assert dict(line.split(maxsplit=1) for line in done.stdout.splitlines()) == {
            "terminate-session": "0",
            "enable-profiling": "0",
            "log-level": "error",
            "arena-shrinkage": "1",
            "drain": "90s",
            "cancel": "client=ann,older-than=0.5s,tokens-over=7 (0 ended)",
            "requests": "0",
        }
        assert front.engine.calls == ["log error", "arena 1"]
        given = ("--drain", "0", "--cancel", "0", "--log-level", "0", "--arena-shrinkage", "0")
        done = await ctl(front, "options", "-o", "json", *given)
        options = json.loads(done.stdout.splitlines()[-1])["options"]  # the server logs to the same place here
        assert (options["logLevel"], options["arenaShrinkage"]) == ("", False)
        assert not {"drain", "cancel"} & options.keys()


async def test_requests_are_listed_as_a_table_and_as_json(tmp_path: Path) -> None:
    message = inference_pb2.ChatMessage(role="user", content="secret words")
    async with running_front(tmp_path) as front:
        front.engine.hold = True
        call = front.genai.Chat(inference_pb2.ChatRequest(messages=[message], request_id="mine"))
        task = asyncio.create_task(collect(call))
        await front.submitted()
        head, line = (await ctl(front, "requests")).stdout.splitlines()
        assert head.split() == ["ID", "CLIENT", "METHOD", "STAGE", "AGE", "PROMPT", "TOKENS", "N"]
        assert line.split()[:4] == ["mine", "127.0.0.1", "chat", "prefill"]
        printed = (await ctl(front, "requests", "-o", "json")).stdout
        (found,) = json.loads(printed)
        assert (found["requestId"], found["stage"], found["choices"]) == ("mine", "prefill", 1)
        assert "secret" not in printed
        front.server._service.cancel("mine")
        await task


@pytest.mark.parametrize(
    "arguments",
    [
        ("--cancel", "everything"),
        ("--cancel", "client="),
        ("--cancel", "client=a,client=b"),
        ("--cancel", "tokens-over=-1"),
        ("--cancel", "tokens-over=99999999999999999999"),
        ("--cancel", "older-than=soon"),
        ("--drain", "1.5s"),
        ("--drain", "forever"),
        ("--drain", "99999999h"),
        ("--terminate-session", "2"),
    ],
)
async def test_what_has_not_the_form_of_an_option_is_wrong_usage(tmp_path: Path, arguments: tuple[str, str]) -> None:
    async with running_front(tmp_path) as front:
        assert (await ctl(front, "options", *arguments)).exit_code == 2
        assert front.engine.calls == []


async def test_what_the_server_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    async with running_front(tmp_path) as front:
        for option, value, words in (
            ("--drain", "2h", "options.drain.deadline_seconds: is 7200"),
            ("--log-level", "loud", "options.log_level: is 'loud'"),
            ("--cancel", "older-than=0s", "options.cancel: has no field set"),
        ):
            done = await ctl(front, "options", option, value)
            assert isinstance(done.exception, RuntimeServerError)
            assert words in done.exception.message
