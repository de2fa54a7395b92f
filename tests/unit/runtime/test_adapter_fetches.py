"""What becomes of adapters that are fetched, whatever a fetch comes to: here each fetch ends as the test says."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from genai_runtime.front import adapter_fetches
from genai_runtime.front.adapter_fetch import AdapterCache, AdapterSource, FetchFailed, Found
from genai_runtime.front.adapter_fetches import AdapterFetches
from support.runtime import holds

ONE, OTHER = AdapterSource("hf://a/one"), AdapterSource("hf://a/other", path="x.onnx_adapter")


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[AdapterSource, list[Callable[[], Found]]]:
    """How the fetches of a source end, one after the other; without any more, they do not end."""
    found: dict[AdapterSource, list[Callable[[], Found]]] = {ONE: [], OTHER: []}

    async def fetch(source: AdapterSource, cache: AdapterCache, held: int) -> Found:
        if not found[source]:
            await asyncio.Event().wait()
        return found[source].pop(0)()

    monkeypatch.setattr(adapter_fetches, "fetch_adapter", fetch)
    return found


def fail(reason: str) -> Callable[[], Found]:
    def end() -> Found:
        raise FetchFailed(reason, "of this")

    return end


def come(folder: Path) -> Callable[[], Found]:
    return lambda: Found(folder, 5)


async def test_one_that_fails_keeps_no_other_waiting_and_is_tried_again(
    ends: dict[AdapterSource, list[Callable[[], Found]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(adapter_fetches, "_PAUSES", (0.0,))
    ends[ONE] = [fail("SourceUnavailable"), fail("Unauthorized"), come(tmp_path / "one")]
    ends[OTHER] = [come(tmp_path / "other")]
    heard: list[str] = []
    fetches = AdapterFetches(AdapterCache(tmp_path, 100), lambda: heard.append(fetches.failed.get("a", "")))
    fetches.want({"a": ONE, "b": OTHER})
    assert fetches.coming == ["a", "b"]
    await holds(lambda: len(fetches.paths) == 2)
    assert fetches.paths == {"a": tmp_path / "one", "b": tmp_path / "other/x.onnx_adapter"}
    assert [each for each in heard if each][:1] == ["SourceUnavailable: of this"]
    assert fetches.failed == {}
    await fetches.stop()


@pytest.mark.parametrize("end", [fail("ChecksumMismatch"), lambda: 1 // 0], ids=["another spec", "a mistake of ours"])
async def test_what_only_another_spec_can_mend_is_not_tried_again(
    ends: dict[AdapterSource, list[Callable[[], Found]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    end: Callable[[], Found],
) -> None:
    monkeypatch.setattr(adapter_fetches, "_PAUSES", (0.0,))
    ends[ONE], ends[OTHER] = [end, come(tmp_path)], [come(tmp_path)]
    fetches = AdapterFetches(AdapterCache(tmp_path, 100), lambda: None)
    fetches.want({"a": ONE, "b": OTHER})
    await holds(lambda: not fetches.coming)
    assert [*fetches.paths] == ["b"]
    assert len(ends[ONE]) == 1
    fetches.want({"a": ONE})
    await holds(lambda: [*fetches.paths] == ["a"])
    await fetches.stop()


async def test_one_that_is_no_longer_wanted_is_given_up(
    ends: dict[AdapterSource, list[Callable[[], Found]]], tmp_path: Path
) -> None:
    """And its folder goes."""
    for name in ("stale", "other"):
        (tmp_path / "models" / name).mkdir(parents=True)
    ends[OTHER] = [come(tmp_path / "models/other")]
    fetches = AdapterFetches(AdapterCache(tmp_path, 100), lambda: None)
    fetches.want({"a": ONE})
    await asyncio.sleep(0)
    fetches.want({"b": OTHER})
    await holds(lambda: not (tmp_path / "models/stale").exists())
    assert [*fetches.paths] == ["b"]
    assert (tmp_path / "models/other").is_dir()
    await fetches.stop()
