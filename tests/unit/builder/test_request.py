"""What can be asked for, the builder's arguments of it, and that everything that matters is in the key."""

import dataclasses
import re

import pytest

from genai_builder.architectures import builder_source, known_architectures
from genai_builder.request import BUILDABLE, BuildRequest, request_of
from genai_operator.api import build_spec
from genai_runtime.errors import InvalidSettings


def test_int4_has_its_defaults_and_the_others_have_none() -> None:
    assert request_of("cpu", "int4") == BuildRequest("cpu", "int4", 32, 4)
    assert request_of("cpu", "int4", 128, 0) == BuildRequest("cpu", "int4", 128, 0)
    assert request_of("cuda", "bf16") == BuildRequest("cuda", "bf16", 0, 0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("cpu", "fp16"), "for cpu the builder makes fp32, int8, int4"),
        (("openvino", "int4"), "the builder makes models for cpu, cuda"),
        (("cpu", "int8", 32), "are for --precision int4"),
        (("cpu", "fp32", None, 4), "are for --precision int4"),
        (("cpu", "int4", 33), "one of 16, 32, 64, 128, 256"),
        (("cpu", "int4", 32, 5), "0 to 4"),
    ],
)
def test_what_the_builder_does_not_make_is_refused(asked: tuple[str, str, int | None, int | None], said: str) -> None:
    with pytest.raises(InvalidSettings, match=re.escape(said)):
        request_of(*asked)


def test_everything_that_matters_is_in_the_key() -> None:
    one = request_of("cpu", "int4")
    others = [
        dataclasses.replace(one, **change)  # type: ignore[arg-type]  # fields of the request
        for change in ({"provider": "cuda"}, {"precision": "int8"}, {"block_size": 64}, {"accuracy_level": 1})
    ]
    keys = {each.key("source", "versions") for each in (one, *others)}
    keys |= {one.key("other", "versions"), one.key("source", "newer")}
    assert len(keys) == 7
    assert one.key("source", "versions") == request_of("cpu", "int4", 32, 4).key("source", "versions")
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)


def test_the_builder_is_told_to_run_no_code_of_the_source() -> None:
    arguments = request_of("trt-rtx", "fp16").arguments()
    assert arguments[:4] == ["-p", "fp16", "-e", "NvTensorRtRtx"]
    assert "hf_remote=false" in arguments
    assert not [each for each in arguments if "block_size" in each]
    assert {"block_size=32", "accuracy_level=4"} <= set(request_of("cpu", "int4").arguments())


def test_the_operator_asks_for_what_is_made_and_nothing_else() -> None:
    assert build_spec.BUILDABLE == BUILDABLE


def test_the_pairs_are_those_that_the_builder_lists() -> None:
    listed = re.search(r"combinations are: ([^\"]+)\"", builder_source().read_text(encoding="utf-8"))
    assert listed is not None
    pairs = {tuple(each.lower().split()) for each in listed[1].split(", ")}
    assert pairs == {(precision, provider) for provider, made in BUILDABLE.items() for precision in made}


def test_the_architectures_are_those_of_the_installed_builder() -> None:
    known = known_architectures()
    assert {"LlamaForCausalLM", "Qwen2ForCausalLM", "Phi3ForCausalLM", "Gemma3ForCausalLM"} <= known
    assert "WhisperForConditionalGeneration" not in known
    assert all(re.fullmatch(r"\w+", name) for name in known)
