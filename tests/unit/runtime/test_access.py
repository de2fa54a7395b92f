"""API keys: who is let in under which name, and what a rotation of the mounted files does."""

from pathlib import Path

import pytest

from genai_runtime.errors import InvalidSettings, Unauthenticated
from genai_runtime.front.access import Access, address_of


class Clock:
    """Time that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def mount(folder: Path, version: str, **keys: str) -> None:
    """As kubelet does: a folder for each version, and links that are swapped."""
    folder.mkdir(exist_ok=True)
    data = folder / f"..{version}"
    data.mkdir()
    for name, key in keys.items():
        (data / name).write_text(key)
    link = folder / "..data_tmp"
    link.symlink_to(data.name)
    link.replace(folder / "..data")
    for path in folder.iterdir():
        if not path.name.startswith("..") and path.name not in keys:
            path.unlink()
    for name in keys:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@pytest.mark.parametrize(
    ("peer", "want"),
    [
        ("ipv4:10.1.2.3:4567", "10.1.2.3"),
        ("ipv6:%5B::1%5D:80", "::1"),
        ("ipv6:[fe80::2]:80", "fe80::2"),
        ("unix:", "unix"),
        ("10.1.2.3", "10.1.2.3"),
        ("fe80::2", "fe80::2"),
        ("", "unknown"),
    ],
)
def test_without_keys_a_client_is_its_address(peer: str, want: str) -> None:
    assert address_of(peer) == want
    assert Access(None).client_of([], peer) == want


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer sesame-1")],
        [(b"Authorization", b"bearer  sesame-1 ")],
        [("x-api-key", "sesame-1")],
        [("authorization", "Basic eDp5"), ("X-API-Key", "sesame-1")],
    ],
)
def test_a_key_names_its_client(tmp_path: Path, headers: list[tuple[str | bytes, str | bytes]]) -> None:
    mount(tmp_path / "keys", "1", team="sesame-1\n", other="sesame-2")
    assert Access(tmp_path / "keys").client_of(headers, "ipv4:1.2.3.4:5") == "team"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer")],
        [("authorization", "sesame-1")],
        [("x-api-key", "sesame")],
        [("x-api-key", "é")],
    ],
)
def test_no_known_key_is_refused(tmp_path: Path, headers: list[tuple[str | bytes, str | bytes]]) -> None:
    mount(tmp_path / "keys", "1", team="sesame-1")
    access = Access(tmp_path / "keys")
    with pytest.raises(Unauthenticated) as refusal:
        access.client_of(headers, "1.2.3.4")
    assert "sesame" not in refusal.value.message


def test_rotation_takes_and_gives_keys(tmp_path: Path) -> None:
    folder, clock = tmp_path / "keys", Clock()
    mount(folder, "1", team="old", gone="leaver")
    access = Access(folder, clock)
    mount(folder, "2", team="new")
    assert access.client_of([("x-api-key", "old")], "") == "team"
    clock.now += 1.5
    assert access.client_of([("x-api-key", "new")], "") == "team"
    for key in ("old", "leaver"):
        with pytest.raises(Unauthenticated):
            access.client_of([("x-api-key", key)], "")


@pytest.mark.parametrize("broken", [{"team": ""}, {"team": "x" * 5000}, {"team": "a", "other": "a"}, {}])
def test_unusable_files_end_the_start_and_leave_the_last_keys(tmp_path: Path, broken: dict[str, str]) -> None:
    folder, clock = tmp_path / "keys", Clock()
    mount(folder, "1", team="good")
    access = Access(folder, clock)
    mount(folder, "2", **broken)
    clock.now += 2
    assert access.client_of([("x-api-key", "good")], "") == "team"
    with pytest.raises(InvalidSettings, match="GENAI_API_KEYS_DIR"):
        Access(folder)


def test_a_missing_folder_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="GENAI_API_KEYS_DIR"):
        Access(tmp_path / "nowhere")


def test_no_key_is_kept_in_memory(tmp_path: Path) -> None:
    mount(tmp_path / "keys", "1", team="sesame-1")
    access = Access(tmp_path / "keys")
    assert "sesame-1" not in repr(vars(access))
