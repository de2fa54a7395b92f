"""What is done to a built folder before it is served, and what is remembered of it."""

import json
import shutil
from pathlib import Path

import pytest

from genai_builder.finishing import finish, keep_sampling, without_traces
from genai_builder.record import BuildRecord, Records
from genai_builder.request import request_of
from genai_builder.source_folder import read_source
from genai_runtime.errors import ModelUnusable
from support.engines import HELLO_MODEL
from support.hello_source import write_source


def test_sampling_is_what_the_source_says_and_else_what_the_builder_wrote() -> None:
    config = {"model": {}, "search": {"do_sample": False, "top_k": 50, "top_p": 1.0, "max_length": 9}}
    said = {"do_sample": True, "temperature": 0.7, "top_k": None, "eos_token_id": [1]}
    assert keep_sampling(config, said)["search"] == {
        "do_sample": True,
        "temperature": 0.7,
        "top_k": 50,
        "top_p": 1.0,
        "max_length": 9,
    }


def test_no_trace_of_the_machine_stays() -> None:
    assert without_traces({"is_local": True, "_name_or_path": "/x", "eos_token": "e"}) == {"eos_token": "e"}


def test_a_finished_folder_can_be_read_by_all(tmp_path: Path) -> None:
    source = read_source(write_source(tmp_path / "source", {"temperature": 0.5, "do_sample": True}))
    built = shutil.copytree(HELLO_MODEL, tmp_path / "built")
    (built / "model.onnx").chmod(0o600)
    finish(built, source, request_of("cpu", "int4"))
    search = json.loads((built / "genai_config.json").read_text())["search"]
    assert (search["temperature"], search["do_sample"], search["top_k"]) == (0.5, True, 50)
    assert {path.stat().st_mode & 0o777 for path in built.iterdir()} == {0o644}


def test_what_could_not_be_served_is_a_failed_build(tmp_path: Path) -> None:
    source = read_source(write_source(tmp_path / "source"))
    built = shutil.copytree(HELLO_MODEL, tmp_path / "built")
    with pytest.raises(ModelUnusable, match="asked for int8, but most of the built weights are int4") as failed:
        finish(built, source, request_of("cpu", "int8"))
    assert failed.value.reason == "BuildFailed"
    (built / "model.onnx.data").unlink()
    with pytest.raises(ModelUnusable, match="could not be served: ExternalDataMissing") as failed:
        finish(built, source, request_of("cpu", "int4"))
    assert failed.value.reason == "BuildFailed"


def test_a_build_is_remembered_and_a_broken_record_is_none(tmp_path: Path) -> None:
    records, record = Records(tmp_path), BuildRecord("abc", "builder 1", 3.5, {"perplexity": 2.0}, "text")
    assert records.read("key") is None
    records.write("key", record)
    assert records.read("key") == record
    for broken in ("{", "[]", '{"digest": "x"}'):
        (tmp_path / "builds/key.json").write_text(broken)
        assert records.read("key") is None
