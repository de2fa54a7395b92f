"""Which variants of a model may be recommended: what each lost, as its builder recorded it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from genai_runtime.tuning.variants import Quality, Variant, refusal, refusals, variant_of


def built(cache: Path, digest: str, **records: Any) -> Path:
    """A folder of the cache, with the records that builders left, each under its key."""
    folder = cache / "models" / digest
    folder.mkdir(parents=True)
    (cache / "builds").mkdir()
    for key, content in records.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (cache / "builds" / f"{key}.json").write_text(text)
    return folder


def quality(perplexity: Any, reference: Any = 10.0) -> dict[str, Any]:
    return {"perplexity": perplexity, "referencePerplexity": reference, "tokens": 100, "text": "builtin"}


def test_what_a_build_lost_is_found_by_its_content_through_a_link(tmp_path: Path) -> None:
    folder = built(
        tmp_path,
        "b" * 64,
        other={"digest": "a" * 64, "quality": quality(99.0)},
        own={"digest": "b" * 64, "quality": quality(10.4)},
    )
    link = tmp_path / "int4-32-4"
    link.symlink_to(folder)
    found = variant_of("int4-32-4", link, 5)
    assert (found.folder, found.quality, found.unknown) == (folder, Quality(10.4, 10.0), "")
    assert found.quality is not None
    assert round(found.quality.increase_percent, 6) == 4.0


def test_the_newest_of_two_builds_of_the_same_content_counts(tmp_path: Path) -> None:
    records = {name: {"digest": "b", "quality": quality(value)} for name, value in (("a", 11.0), ("z", 12.0))}
    folder = built(tmp_path, "b", **records)
    os.utime(tmp_path / "builds" / "a.json", (2e9, 2e9))
    os.utime(tmp_path / "builds" / "z.json", (1e9, 1e9))
    assert variant_of("x", folder, 5).quality == Quality(11.0, 10.0)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"digest": "b", "quality": {"notMeasured": "no such provider here"}}, "no such provider here"),
        ({"digest": "b"}, "no build of it is recorded"),
        ({"digest": "c", "quality": quality(10.0)}, "no build of it is recorded"),
        ({"digest": "b", "quality": quality("good")}, "no build of it is recorded"),
        ({"digest": "b", "quality": quality(10.0, 0)}, "no build of it is recorded"),
        ({"digest": "b", "quality": quality(float("nan"))}, "no build of it is recorded"),
        ("half a rec", "no build of it is recorded"),
        ("[]", "no build of it is recorded"),
    ],
)
def test_what_is_not_known_for_sure_is_not_recommended(tmp_path: Path, record: Any, words: str) -> None:
    found = variant_of("x", built(tmp_path, "b", key=record), 5)
    assert found.quality is None
    assert words in refusal(found, 100.0)


def test_a_folder_that_no_builder_made_is_not_recommended(tmp_path: Path) -> None:
    assert "no build of it is recorded" in refusal(variant_of("x", tmp_path, 5), 100.0)


def test_more_than_the_permitted_increase_is_refused() -> None:
    fine = Variant("fine", Path("a"), 1, Quality(10.5, 10.0))
    coarse = Variant("coarse", Path("b"), 1, Quality(10.51, 10.0))
    better = Variant("better", Path("c"), 1, Quality(9.0, 10.0))
    assert refusals([fine, coarse, better], 5.0) == {
        "coarse": "its perplexity is 5.1 % above fp32's; 5 % is permitted",
    }
