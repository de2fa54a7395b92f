"""The digest of a folder and the checksums that sources state."""

import hashlib
import random

from genai_runtime.fetch.digests import GIT_BLOB, FileRecord, Hashing, digest_of
from genai_runtime.fetch.source import RemoteFile


def test_a_folders_digest_is_that_of_sha256sum_like_lines() -> None:
    one = FileRecord("b/model.onnx", 3, hashlib.sha256(b"abc").hexdigest())
    two = FileRecord("a.json", 0, hashlib.sha256(b"").hexdigest())
    lines = sorted([f"{each.sha256}  {each.size}  {each.name}\n" for each in (one, two)])
    wanted = hashlib.sha256("".join(lines).encode()).hexdigest()
    records = [one, two]
    random.shuffle(records)
    assert digest_of(records) == wanted
    assert digest_of([one]) != wanted


def test_stated_checksums() -> None:
    sha256 = hashlib.sha256(b"hello\n").hexdigest()
    blob = "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object of "hello\n"
    good = Hashing(RemoteFile("a", 6, "", (("sha256", sha256.upper()), (GIT_BLOB, blob))))
    good.update(b"hel")
    good.update(b"lo\n")
    assert good.problem() == ""
    assert good.sha256 == sha256
    for stated in (("sha256", "0" * 64), (GIT_BLOB, "0" * 40)):
        bad = Hashing(RemoteFile("a", 6, "", (stated,)))
        bad.update(b"hello\n")
        assert stated[0] in bad.problem()
        assert stated[1] in bad.problem()
