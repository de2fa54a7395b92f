"""`genai-operator convert`: what a path may be, what is printed, and that failure is a line and an exit status."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_encoding

from genai_operator.convert.backend import read_backend
from genai_operator.convert.command import main
from genai_operator.convert.errors import CannotConvert
from support.triton import REPOSITORY, documents, notes_of, whole

ROOT = Path(__file__).parents[3]
GOLDEN = REPOSITORY.parent


def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """The console script as users start it."""
    return subprocess.run(
        [sys.executable, "-m", "genai_operator", *arguments],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def model(folder: Path, text: str = "", *versions: str, complete: bool = False) -> Path:
    """A model's folder in Triton's layout."""
    for version in versions:
        (folder / version).mkdir(parents=True)
        (folder / version / "model.onnx").write_bytes(b"x")
        if complete:
            (folder / version / "genai_config.json").write_text("{}")
    folder.mkdir(parents=True, exist_ok=True)
    if text:
        (folder / "config.pbtxt").write_text(text)
    return folder


@pytest.mark.parametrize("name", ["chat-cpu", "chat-gpu", "chat-rtx"])
def test_a_repositorys_models_are_as_they_are_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert whole(name) == (GOLDEN / f"{name}.yaml").read_text()


def test_a_repository_is_a_document_a_model_and_says_what_is_left_out() -> None:
    said = whole(REPOSITORY)
    assert [each["metadata"]["name"] for each in documents(said)] == ["chat-cpu", "chat-gpu", "chat-rtx", "tiny"]
    notes = notes_of(said)
    assert "everything/config.pbtxt: an ensemble is a pipeline of models" in notes
    assert 'rerank/config.pbtxt: backend is "python"; only models of the backend onnxruntime' in notes


def test_the_program_reads_standard_input_and_prints() -> None:
    done = run("convert", "-", "--name", "m", "--model-uri", "builtin://hello", text="max_batch_size: 4")
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = documents(done.stdout)
    assert found["spec"] == {"model": {"uri": "builtin://hello"}, "engine": {"maxBatchSize": 4}}


FAILURES = {
    "a file that is not there": (["/nope/config.pbtxt"], "", 1, "/nope/config.pbtxt: No such file or directory"),
    "a folder without models": (["docs"], "", 1, "docs: neither a model's folder"),
    "a syntax error": (["-", "--name", "m"], "name:", 1, "standard input:1:6: "),
    "no name": (["-"], "", 1, "standard input: it has no name"),
    "a name that is none": (["-", "--name", "A_b"], "", 1, '"A_b" cannot be its name'),
    "a URI that is none": (
        ["-", "--name", "m", "--model-uri", "ftp://a"],
        "",
        1,
        '--model-uri "ftp://a": spec.model.uri',
    ),
    "another backend": (["-", "--name", "m"], 'backend: "vllm"', 1, 'backend is "vllm"'),
    "an ensemble": (["-", "--name", "m"], 'platform: "ensemble"', 1, "an ensemble is a pipeline"),
    "a setting of another backend": (["-", "--backend-config", "python,a=b"], "", 1, "must be onnxruntime,KEY=VALUE"),
    "a setting without a value": (["-", "--backend-config", "onnxruntime,a"], "", 1, "must be onnxruntime,KEY=VALUE"),
    "a number that is none": (
        ["-", "--backend-config", "onnxruntime,default-max-batch-size=x"],
        "",
        1,
        "is not a whole number",
    ),
    "one name for many": ([str(REPOSITORY), "--name", "m"], "", 1, "--name is for one model, and there are 6"),
    "one place for many": ([str(REPOSITORY), "--model-uri", "pvc://a/b"], "", 1, "needs {model} in it"),
    "nothing to convert": ([], "", 2, "the following arguments are required: config"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_a_line_and_an_exit_status(
    case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments, text, status, want = FAILURES[case]
    given = tmp_path / "input"
    given.write_text(text)
    monkeypatch.chdir(ROOT)
    with given.open() as standard_input:
        monkeypatch.setattr("sys.stdin", standard_input)
        try:
            found = main(arguments)
        except SystemExit as ended:  # argparse's own
            found = int(ended.code or 0)
    out, err = capsys.readouterr()
    assert (found, out) == (status, "")
    assert want in err
    assert "Traceback" not in err
    if status == 1:
        assert err.count("\n") == 1


def test_the_program_without_a_command_that_it_has_tells_its_usage() -> None:
    done = run("reconcile")
    assert done.returncode == 2
    assert "genai-operator convert" in done.stderr


def test_the_operator_imports_nothing_of_it() -> None:
    code = (
        "import sys, genai_operator.__main__, genai_operator.handlers.serve;"
        "parts = ('genai_operator.convert', 'genai_operator.parameters', 'genai_protocol.triton');"
        "print([name for name in sys.modules if name.startswith(parts)])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_latest_version_is_served_and_the_others_are_named(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "version_policy { all { } }", "1", "2", "10", "03", "x", complete=True)
    said = whole(folder)
    (found,) = documents(said)
    assert found["spec"]["model"]["uri"] == "pvc://models/m/10"
    assert "this is the latest of the versions 1, 2, 10" in notes_of(said)


def test_a_version_that_is_named_is_served(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "version_policy { specific { versions: [ 2, 7 ] } }", "1", "2", "3", complete=True)
    (found,) = documents(whole(folder, uri="s3://bucket/{model}/v{version}"))
    assert found["spec"]["model"]["uri"] == "s3://bucket/m/v2"


def test_a_model_without_a_configuration_has_the_defaults(tmp_path: Path) -> None:
    (found,) = documents(whole(model(tmp_path / "m", "", "4")))
    assert found["spec"] == {"model": {"uri": "pvc://models/m/4"}}


@pytest.mark.parametrize("complete", [True, False])
def test_a_folder_that_cannot_generate_is_told(tmp_path: Path, complete: bool) -> None:
    folder = model(tmp_path / "m", 'name: "m"', "1", complete=complete)
    assert ("must be a folder of ONNX Runtime GenAI" in notes_of(whole(folder))) is not complete


def test_the_folders_name_is_the_models_where_it_says_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model(tmp_path / "Llama_3.2", "max_batch_size: 1", "1")
    monkeypatch.chdir(folder)
    for path in (".", "config.pbtxt", str(folder), str(folder.parent)):
        (found,) = documents(whole(path))
        assert found["metadata"]["name"] == "llama-3-2"
        assert found["spec"]["model"]["uri"] == "pvc://models/Llama_3.2/1"


def test_two_models_of_one_name_are_both_named(tmp_path: Path) -> None:
    for name in ("a_b", "a-b"):
        model(tmp_path / name, "max_batch_size: 1", "1")
    with pytest.raises(CannotConvert, match=r"a-b/config.pbtxt and .*a_b/config.pbtxt: both models would be called"):
        whole(tmp_path)


HOSTILE = [
    "a\x85apiVersion: v1",
    "b\u2028kind: Secret",
    "c\nkind: Secret",
    "d: {}\r# ",
    "e\x00",
    "'#\"`${x}",
    "f\x1b[2J",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_leaves_its_comment(text: str, tmp_path: Path) -> None:
    folder = model(tmp_path / text.replace("\x00", "").replace("/", ""), "", "1")
    escaped = text_encoding.CEscape(text, as_utf8=False)
    (folder / "config.pbtxt").write_text(
        f'name: "m"\nparameters {{ key: "{escaped}" value: {{ string_value: "{escaped}" }} }}\n'
        f'instance_group [ {{ name: "{escaped}" }} ]\n'
        f'optimization {{ execution_accelerators {{ gpu_execution_accelerator [ {{ name: "{escaped}" }} ] }} }}\n'
    )
    said = whole(folder)
    (found,) = documents(said)
    assert found["kind"] == "GenAIModel"
    assert all(each.isprintable() or each == "\n" for each in said)
    assert found["spec"]["model"]["uri"].startswith("pvc://models/")


def test_a_name_that_is_no_text_does_no_harm(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    (Path(os.fsdecode(folder)) / "1").mkdir(parents=True)
    done = run("convert", os.fsdecode(folder), "--name", "m")
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout)["spec"]["model"]["uri"] == "pvc://models/m/1"


def test_a_name_in_any_script_is_printed_whatever_the_terminal_is(tmp_path: Path) -> None:
    folder = model(tmp_path / "モデル", "max_batch_size: 1", "1")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "genai_operator", "convert", str(folder), "--name", "m"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=120)
    (found,) = documents(done.stdout.decode())
    assert found["spec"]["model"]["uri"] == "pvc://models/m/1"
    assert "モデル" in done.stdout.decode()


@pytest.mark.parametrize(("target", "said"), [("/dev/full", "standard output: No space left on device"), ("|", "")])
def test_an_output_that_takes_nothing_is_no_traceback(target: str, said: str) -> None:
    command = [sys.executable, "-m", "genai_operator", "convert", str(REPOSITORY)]
    if target == "|":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open(target, os.O_WRONLY)
    done = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(said)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 1


def test_of_a_setting_that_is_given_twice_the_last_counts() -> None:
    backend = read_backend(["onnxruntime,default-max-batch-size=2", "onnxruntime,default-max-batch-size=3"])
    assert backend.default_max_batch_size == 3


def test_the_pages_example_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "convert.md").read_text()
    blocks = dict(re.findall(r"<!-- (config|result) -->\n```[a-z]+\n(.*?)```", text, re.DOTALL))
    given = tmp_path / "input"
    given.write_text(blocks["config"])
    with given.open() as standard_input:
        monkeypatch.setattr("sys.stdin", standard_input)
        assert whole("-", uri="hf://example/chat-onnx") == blocks["result"]
