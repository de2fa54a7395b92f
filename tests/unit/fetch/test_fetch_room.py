"""Room on the disk and what the user allows."""

import errno
import os
from pathlib import Path

import pytest

from genai_runtime.errors import ModelUnusable
from genai_runtime.fetch.room import Room


def test_more_than_allowed_and_more_than_free(tmp_path: Path) -> None:
    room = Room(tmp_path, "hf://org/repo", 1000)
    room.check(1000)
    with pytest.raises(ModelUnusable) as caught:
        room.check(1001)
    assert caught.value.reason == "ModelTooLarge"
    assert "1001" in caught.value.message
    assert "1000" in caught.value.message
    disk = os.statvfs(tmp_path)
    all_of_it = disk.f_blocks * disk.f_frsize
    with pytest.raises(ModelUnusable) as caught:
        Room(tmp_path, "hf://org/repo", 0).check(2 * all_of_it, there=1000)
    assert caught.value.reason == "StorageFull"
    assert str(2 * all_of_it - 1000) in caught.value.message


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_becomes_full(tmp_path: Path, number: int) -> None:
    with pytest.raises(ModelUnusable) as caught, Room(tmp_path, "hf://org/repo", 0).writing(12345):
        raise OSError(number, os.strerror(number))
    assert caught.value.reason == "StorageFull"
    assert "12345 bytes more" in caught.value.message
    assert "free" in caught.value.message


def test_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable) as caught, Room(tmp_path, "hf://org/repo", 0).writing(1):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path))
    assert caught.value.reason == "StorageFull"
    assert "read-write" in caught.value.message
