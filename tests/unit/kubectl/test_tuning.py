"""`kubectl genai tune`: what it asks for, when the answer is one to its question, and what it writes into the spec."""

from datetime import datetime
from typing import Any

import pytest

from genai_kubectl.decisions.tuning import (
    Load,
    complete,
    ended,
    figure_rows,
    load_text,
    recommendation,
    settings_patch,
    settings_rows,
    share,
    tuning_patch,
    variant_rows,
)

FOUND = {
    "state": "Complete",
    "request": "a",
    "settings": {"intraOpThreads": 1, "maxBatchSize": 4},
    "tokensPerSecond": 120.0,
    "baselineTokensPerSecond": 100.0,
    "load": {"clients": 1, "promptTokens": 64, "newTokens": 32},
}


def model(generation: int = 2, observed: int = 2, spec: dict[str, Any] | None = None, **found: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "hello", "generation": generation},
        "spec": spec or {"threads": {"intraOp": "auto"}, "engine": {"maxBatchSize": 16}},
        "status": {"observedGeneration": observed, "recommended": {**FOUND, **found}},
    }


def test_what_is_left_out_stays_as_the_model_has_it() -> None:
    assert tuning_patch(Load(), "a") == {"spec": {"tuning": {"request": "a"}}}
    assert tuning_patch(Load(clients=8, max_seconds=60), "a") == {
        "spec": {"tuning": {"request": "a", "load": {"clients": 8}, "maxSeconds": 60}}
    }
    assert not Load().stated
    assert Load(new_tokens=1).stated


def test_an_answer_to_an_older_spec_or_request_is_none() -> None:
    assert complete(model())
    assert not complete(model(generation=3))
    assert recommendation(model(generation=3)) == {}
    assert recommendation({"metadata": {"generation": 1}}) == {}
    assert ended(model(), "a")
    assert not ended(model(), "b")
    assert ended(model(state="Failed"), "a")
    assert not ended(model(state="Running"), "a")


def test_only_what_differs_is_written() -> None:
    assert settings_patch(model()) == {"spec": {"threads": {"intraOp": 1}, "engine": {"maxBatchSize": 4}}}
    has = {"threads": {"intraOp": 1}, "engine": {"maxBatchSize": 16}}
    assert settings_patch(model(spec=has)) == {"spec": {"engine": {"maxBatchSize": 4}}}
    assert settings_patch(model(settings={})) == {}
    assert settings_rows(model()) == [("threads.intraOp", "auto", "1"), ("engine.maxBatchSize", "16", "4")]


@pytest.mark.parametrize(
    ("began", "most", "passed"),
    [
        ("2026-11-21T12:00:00Z", 60, 0.5),
        ("2026-11-21T11:00:00Z", 60, 1.0),
        ("2026-11-21T12:01:00Z", 60, 0.0),
        (None, 60, 0.0),
        ("2026-11-21T12:00:00Z", None, 0.0),
    ],
)
def test_the_share_of_its_time(began: str | None, most: int | None, passed: float) -> None:
    spec = {"tuning": {"maxSeconds": most}}
    now = datetime.fromisoformat("2026-11-21T12:00:30Z")
    assert share(model(spec=spec, startedAt=began), now) == passed


def test_figures_that_are_missing_are_dashes() -> None:
    assert figure_rows(FOUND) == [
        ("tokens/s", "100.0", "120.0", "+20.0 %"),
        ("first token, ms", "-", "-", "-"),
    ]
    assert load_text(FOUND) == "1 client, prompts of 64 tokens, answers of 32"
    assert load_text({}) == ""


BUILT = {"precision": "int4", "model": {"uri": "hf://a/b", "build": {"int4BlockSize": 64}}}


def test_another_build_is_written_where_the_spec_has_it() -> None:
    settings = {"precision": "int4", "int4BlockSize": 128, "int4AccuracyLevel": 4}
    assert settings_patch(model(spec=BUILT, settings=settings)) == {
        "spec": {"model": {"build": {"int4BlockSize": 128}}}
    }
    assert settings_rows(model(spec=BUILT, settings=settings)) == [
        ("precision", "int4", "int4"),
        ("model.build.int4BlockSize", "64", "128"),
        ("model.build.int4AccuracyLevel", "4", "4"),
    ]
    of_fp32 = {"precision": "fp32", "model": {"build": {}}}
    assert settings_patch(model(spec=of_fp32, settings=settings)) == {
        "spec": {"precision": "int4", "model": {"build": {"int4BlockSize": 128, "int4AccuracyLevel": 4}}}
    }


def test_what_is_of_int4_goes_with_it() -> None:
    assert settings_patch(model(spec=BUILT, settings={"precision": "fp32"})) == {
        "spec": {"precision": "fp32", "model": {"build": {"int4BlockSize": None}}}
    }
    assert settings_patch(model(spec={**BUILT, "precision": "fp32", "model": {}}, settings={"precision": "fp32"})) == {}


def test_every_build_that_was_tried_is_shown_with_what_it_lost() -> None:
    whole = {
        "precision": "int4",
        "int4BlockSize": 128,
        "int4AccuracyLevel": 4,
        "sizeBytes": 10 * 2**20,
        "perplexity": 12.3456,
        "increasePercent": 7.5,
        "tokensPerSecond": 50.0,
        "gainPercent": 25.0,
        "refused": "its perplexity is 7.5 % above fp32's; 5 % is permitted",
    }
    assert variant_rows({"variants": [whole, {"precision": "fp32"}]}) == [
        ("int4, blocks of 128, level 4", "50.0", "+25.0 %", "10 MiB", "12.346", "+7.50 %", whole["refused"]),
        ("fp32", "-", "-", "-", "-", "-", ""),
    ]
    assert variant_rows(FOUND) == []
