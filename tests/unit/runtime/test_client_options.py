"""The client's NAME=VALUE options: every field of the protocol by its own type."""

from pathlib import Path

import pytest
import typer

from genai_protocol.v1 import inference_pb2 as pb
from genai_runtime.cli.client_options import generation_options, metadata_of, open_channel


def test_every_kind_of_field() -> None:
    pairs = ["min_p=0.25", "stop=a=b", "stop=[", "stop_token_ids=5", "stop_token_ids=[6, 7]", 'logit_bias={"5": 1.5}']
    options = generation_options([*pairs, "ignore_eos=true", "adapter=x", "priority=-1", "regex=[0-9]+"], max_tokens=3)
    assert (options.max_tokens, options.min_p, options.priority) == (3, 0.25, -1)
    assert (list(options.stop), list(options.stop_token_ids)) == (["a=b", "["], [5, 6, 7])
    assert dict(options.logit_bias) == {5: 1.5}
    assert options.ignore_eos
    assert options.guidance == pb.Guidance(regex="[0-9]+")


def test_flags_that_are_not_given_stay_absent() -> None:
    assert generation_options(None, max_tokens=None, temperature=0.0) == pb.GenerationOptions(temperature=0.0)


def test_a_value_from_a_file(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    assert generation_options([f"json_schema=@{schema}"]).guidance.json_schema == '{"type": "object"}'


@pytest.mark.parametrize(
    "pair", ["nope=1", "min_p", "top_k=x", "top_k=-1", "guidance={}", "logit_bias=[1]", "lark=@/nowhere/at/all"]
)
def test_wrong_usage_is_named(pair: str) -> None:
    with pytest.raises(typer.BadParameter):
        generation_options([pair])


def test_keys_and_certificates() -> None:
    assert metadata_of("") == []
    assert metadata_of("k") == [("authorization", "Bearer k")]
    with pytest.raises(typer.BadParameter, match="--tls-ca"):
        open_channel("localhost:1", None, Path("cert"), None)
