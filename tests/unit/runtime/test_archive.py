"""Archives of model folders: good ones come out as they went in, the others are refused before they do harm."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from genai_runtime.errors import ModelUnusable
from genai_runtime.models.archive import unpack
from genai_runtime.models.limits import Limits

CONTENT = {"genai_config.json": b"{}", "onnx/model.onnx": b"\x00" * 3000, "onnx/model.onnx.data": b"w" * 512}


def tar(path: Path, mode: str = "w", change: Callable[[tarfile.TarFile], None] = lambda file: None) -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, content in CONTENT.items():
            member(file, name, content)
        change(file)
    return path


def member(file: tarfile.TarFile, name: str, content: bytes = b"x", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    file.addfile(info, io.BytesIO(content))


def zipped(path: Path, change: Callable[[zipfile.ZipFile], None] = lambda file: None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in CONTENT.items():
            file.writestr(name, content)
        change(file)
    return path


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_what_was_packed_comes_out(tmp_path: Path, form: str) -> None:
    archive = tmp_path / f"model.{form}"
    zipped(archive) if form == "zip" else tar(archive, "w:gz" if form == "tar.gz" else "w")
    target = tmp_path / "out"
    unpack(archive, target)
    found = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert found == CONTENT
    assert {stat.S_IMODE(path.stat().st_mode) & 0o133 for path in target.rglob("*") if path.is_file()} == {0}


def test_folders_and_a_leading_dot_are_as_tar_writes_them(tmp_path: Path) -> None:
    def change(file: tarfile.TarFile) -> None:
        member(file, "./", b"", type=tarfile.DIRTYPE)
        member(file, "./more/", b"", type=tarfile.DIRTYPE)
        member(file, "./more/x", b"x")

    unpack(tar(tmp_path / "a.tar", change=change), tmp_path / "out")
    assert (tmp_path / "out" / "more" / "x").read_bytes() == b"x"


def link(kind: bytes, to: str) -> Callable[[tarfile.TarFile], None]:
    return lambda file: member(file, "link", b"", type=kind, linkname=to)


def twice(file: tarfile.TarFile) -> None:
    member(file, "genai_config.json")


def bomb(file: tarfile.TarFile) -> None:
    member(file, "zeros", bytes(4_000_000))


BAD_TARS: dict[str, tuple[str, Callable[[tarfile.TarFile], None]]] = {
    "parent": ("ArchiveUnsafe", lambda file: member(file, "../evil")),
    "parent inside": ("ArchiveUnsafe", lambda file: member(file, "a/../../evil")),
    "absolute": ("ArchiveUnsafe", lambda file: member(file, "/tmp/evil")),
    "backslash": ("ArchiveUnsafe", lambda file: member(file, "..\\evil")),
    "line break": ("ArchiveUnsafe", lambda file: member(file, "a\nb")),
    "shown backwards": ("ArchiveUnsafe", lambda file: member(file, "a\u202eb")),
    "symbolic link": ("ArchiveUnsafe", link(tarfile.SYMTYPE, "/etc/passwd")),
    "hard link": ("ArchiveUnsafe", link(tarfile.LNKTYPE, "/etc/passwd")),
    "device": ("ArchiveUnsafe", lambda file: member(file, "dev", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
    "queue": ("ArchiveUnsafe", lambda file: member(file, "fifo", b"", type=tarfile.FIFOTYPE)),
    "sparse": ("ArchiveUnsafe", lambda file: member(file, "s", b"", type=tarfile.GNUTYPE_SPARSE)),
    "twice": ("NamesCollide", twice),
    "case": ("NamesCollide", lambda file: member(file, "GENAI_config.json")),
    "a file over a folder": ("NamesCollide", lambda file: member(file, "onnx")),
    "a folder over a file": ("NamesCollide", lambda file: member(file, "genai_config.json/x")),
    "deep": ("TooDeep", lambda file: member(file, "a/" * 30 + "x")),
    "bomb": ("ArchiveUnsafe", bomb),
}


@pytest.mark.parametrize("name", BAD_TARS)
def test_a_tar_file_that_is_no_folder_of_files_is_refused(tmp_path: Path, name: str) -> None:
    code, change = BAD_TARS[name]
    archive = tar(tmp_path / "a.tgz", "w:gz", change)
    with pytest.raises(ModelUnusable) as caught:
        unpack(archive, tmp_path / "out" / "in", replace(Limits(), ratio_free_bytes=1000))
    assert caught.value.reason == "ModelInvalid"
    assert caught.value.message.startswith(f"{code}: 'a.tgz': ")
    outside = {path.name for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "out" / "in")}
    assert outside <= {"a.tgz", "out"}


def zip_link(file: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    file.writestr(info, "/etc/passwd")


def zip_method(file: zipfile.ZipFile) -> None:
    file.writestr("x", b"x" * 100, zipfile.ZIP_LZMA)


BAD_ZIPS: dict[str, tuple[str, Callable[[zipfile.ZipFile], None]]] = {
    "parent": ("ArchiveUnsafe", lambda file: file.writestr("../evil", "x")),
    "absolute": ("ArchiveUnsafe", lambda file: file.writestr("/tmp/evil", "x")),
    "link": ("ArchiveUnsafe", zip_link),
    "other method": ("ArchiveUnsafe", zip_method),
    "case": ("NamesCollide", lambda file: file.writestr("Onnx/Model.onnx", "x")),
    "bomb": ("ArchiveUnsafe", lambda file: file.writestr("zeros", bytes(4_000_000))),
}


@pytest.mark.parametrize("name", BAD_ZIPS)
def test_a_zip_file_that_is_no_folder_of_files_is_refused(tmp_path: Path, name: str) -> None:
    code, change = BAD_ZIPS[name]
    archive = zipped(tmp_path / "a.zip", change)
    with pytest.raises(ModelUnusable) as caught:
        unpack(archive, tmp_path / "out" / "in", replace(Limits(), ratio_free_bytes=1000, archive_ratio=50))
    assert caught.value.message.startswith(f"{code}: 'a.zip': ")
    assert not (tmp_path / "evil").exists()
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize(
    ("limits", "code"),
    [(replace(Limits(), total_bytes=3400), "TooLarge"), (replace(Limits(), files=3), "TooManyFiles")],
)
def test_bounds_hold(tmp_path: Path, limits: Limits, code: str) -> None:
    for number, archive in enumerate((tar(tmp_path / "a.tar"), zipped(tmp_path / "a.zip"))):
        with pytest.raises(ModelUnusable, match=f"^{code}: "):
            unpack(archive, tmp_path / f"out{number}", limits)


def test_a_header_that_says_it_is_huge_is_not_read(tmp_path: Path) -> None:
    head = tarfile.TarInfo("x")
    head.type, head.size = tarfile.XHDTYPE, 1 << 40
    archive = tmp_path / "a.tar"
    archive.write_bytes(head.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(ModelUnusable, match=r"^ArchiveUnsafe: .*a header"):
        unpack(archive, tmp_path / "out")


def test_a_list_of_entries_that_says_it_is_huge_is_not_read(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip")
    data = bytearray(archive.read_bytes())
    end = data.rfind(b"PK\x05\x06")
    data[end + 12 : end + 16] = struct.pack("<I", 1 << 30)
    archive.write_bytes(data)
    with pytest.raises(ModelUnusable, match=r"^TooManyFiles: "):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("form", ["tar", "tgz", "zip"])
def test_no_cut_or_changed_byte_is_more_than_refused(tmp_path: Path, form: str) -> None:
    archive = tmp_path / "a"
    whole = (zipped(archive) if form == "zip" else tar(archive, "w:gz" if form == "tgz" else "w")).read_bytes()
    changed = [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(0, min(len(whole), 1600), 31)]
    refused = 0
    for number, data in enumerate([whole[:at] for at in range(0, len(whole), len(whole) // 20)] + changed):
        archive.write_bytes(data)
        try:
            unpack(archive, tmp_path / f"out{number}", replace(Limits(), total_bytes=1 << 20))
        except ModelUnusable:
            refused += 1
    assert refused > 20


def test_what_is_no_archive_is_said_so(tmp_path: Path) -> None:
    for content in (b"", b"<html>", gzip.compress(b"<html>"), b"PK\x03\x04"):
        (tmp_path / "a.tar").write_bytes(content)
        with pytest.raises(ModelUnusable, match=r"^ArchiveBroken: "):
            unpack(tmp_path / "a.tar", tmp_path / "out")
