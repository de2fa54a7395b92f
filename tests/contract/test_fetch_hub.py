"""`genai-runtime fetch` from a hub: pinned, resumed, checked, once; and what it says when it cannot."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_runtime.fetch.access import Access
from support.fetching import Fetches, digest_of, hello_files, read_folder
from support.file_server import FileServer, running, wait_for
from support.hub_server import SIGNATURE, HubServer, hub_server

URI = "hf://team/hello-onnx"
DATA = "model.onnx.data"
TOKEN = "hf_token_that_nobody_may_read"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


@pytest.fixture
def fetches(tmp_path: Path) -> Fetches:
    found = Fetches(tmp_path)
    found.secrets = [TOKEN, SIGNATURE]
    return found


def data_path(commit: str) -> str:
    return f"/{commit}/{DATA}"


def test_a_model_comes_whole_and_a_second_fetch_asks_nobody(hub: HubServer, fetches: Fetches) -> None:
    files = hello_files()
    commit = hub.commit({**files, "model.safetensors": b"x" * 1000, "README.md": b"read me"})
    hub.token = TOKEN
    arguments = ["--endpoint", hub.url, *fetches.secret(token=TOKEN)]
    first = fetches.run(URI, *arguments)
    assert first.code == 0, first.errors
    digest = digest_of(files)
    size = sum(map(len, files.values()))
    wanted = {"digest": digest, "bytes": size, "files": len(files), "cached": False, "revision": commit}
    assert json.loads(first.output) == first.words == wanted
    assert fetches.link.resolve() == fetches.cache / "models" / digest
    assert read_folder(fetches.link.resolve()) == files
    assert fetches.partial_bytes() == 0
    # The hub's credentials are for the hub, not for the server that it redirects to.
    assert {each.authorization for each in hub.seen} == {f"Bearer {TOKEN}"}
    assert {each.authorization for each in hub.network.seen} == {""}

    asked = len(hub.seen) + len(hub.network.seen)
    hub.commit({**files, "chat_template.jinja": b"another"})
    second = fetches.run(URI, *arguments)
    assert second.words == {**wanted, "cached": True}
    assert len(hub.seen) + len(hub.network.seen) == asked
    assert read_folder(fetches.link.resolve()) == files  # what `main` was, not what it is now

    third = fetches.run(URI, *arguments, "--refresh")
    assert third.words["revision"] == hub.branches["main"]
    assert read_folder(fetches.link.resolve())["chat_template.jinja"] == b"another"
    assert len(fetches.models()) == 2


def test_after_a_kill_the_rest_alone_is_asked_for(hub: HubServer, fetches: Fetches) -> None:
    files = hello_files()
    path = data_path(hub.commit(files))
    half = 1 << 20
    hub.network.faults.hold[path] = half
    with fetches.running(URI, "--endpoint", hub.url) as process:
        wait_for(lambda: hub.network.sent.get(path, 0) >= half and fetches.partial_bytes() > half // 2)
        process.kill()
    there = (next((fetches.cache / "partial").glob("*")) / "files" / DATA).stat().st_size
    assert 0 < there <= half
    hub.network.faults.hold.clear()
    hub.network.faults.release.set()
    assert fetches.models() == []

    ended = fetches.run(URI, "--endpoint", hub.url)
    assert ended.code == 0, ended.errors
    assert read_folder(fetches.link.resolve()) == files
    assert [each.range for each in hub.network.asked(path)] == ["", f"bytes={there}-"]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub: HubServer, fetches: Fetches) -> None:
    files = hello_files()
    path = data_path(hub.commit(files))
    hub.network.faults.cut[path] = [300_000, 500_000]
    hub.faults.refuse[f"/api/models/{hub.repository}/revision/main"] = [503]
    assert read_folder(fetches.here(URI, Access(hub.url), patience=120.0).folder) == files
    ranges = [each.range for each in hub.network.asked(path)]
    assert ranges[0] == ""
    offsets = [int(each.removeprefix("bytes=").removesuffix("-")) for each in ranges[1:]]
    assert 0 < offsets[0] <= 300_000 < offsets[1] <= 800_000
    assert hub.network.sent[path] < len(files[DATA]) + 100_000  # nothing was sent twice but what was in flight


def test_two_at_once_fetch_once(hub: HubServer, fetches: Fetches) -> None:
    files = hello_files()
    path = data_path(hub.commit(files))
    hub.network.faults.hold[path] = 1000
    with fetches.running(URI, "--endpoint", hub.url) as one:
        wait_for(lambda: hub.network.sent.get(path, 0) >= 1000)
        with fetches.running(URI, "--endpoint", hub.url) as two:
            assert two.stderr is not None
            wait_for(lambda: "another process fetches this source" in two.stderr.readline())
            hub.network.faults.release.set()
            results = [fetches.end(one), fetches.end(two)]
    assert [each.code for each in results] == [0, 0]
    assert [each.words["cached"] for each in results] == [False, True]
    assert [len(hub.network.asked(f"/{hub.branches['main']}/{name}")) for name in files] == [1] * len(files)


def test_weights_of_another_name_are_fetched_when_a_graph_names_them(hub: HubServer, fetches: Fetches) -> None:
    files = hello_files()
    name = "weights-001.bin"  # as long as the name that the protobuf's lengths count
    odd = {each: data.replace(DATA.encode(), name.encode()) for each, data in files.items() if each != DATA}
    hub.commit({**odd, name: files[DATA], "pytorch_model.bin": b"x" * 1000})
    found = fetches.here(URI, Access(hub.url))
    assert read_folder(found.folder) == {**odd, name: files[DATA]}


def test_weights_that_are_named_no_more_do_not_enter_the_cache(hub: HubServer, fetches: Fetches) -> None:
    files = hello_files()
    name = "weights-001.bin"
    odd = {each: data.replace(DATA.encode(), name.encode()) for each, data in files.items() if each != DATA}
    # An earlier run had fetched them, and found the folder unfit.
    hub.commit({**odd, name: files[DATA], "genai_config.json": b"{}"})
    fetches.refused("ModelInvalid", URI, Access(hub.url))
    hub.commit({**files, name: files[DATA]})
    found = fetches.here(URI, Access(hub.url))
    assert read_folder(found.folder) == files
    assert fetches.here(URI, Access(hub.url)).cached


def test_one_folder_of_a_repository_or_all_files(hub: HubServer, fetches: Fetches) -> None:
    files = hello_files()
    files["notes #1 ä%2F?.json"] = b"{}"
    tree = {f"cpu/int4/{name}": data for name, data in files.items()} | {"cpu/README.md": b"", "all.safetensors": b"1"}
    commit = hub.commit(tree)
    assert read_folder(fetches.here(f"{URI}@{commit}?path=cpu/int4", Access(hub.url)).folder) == files
    assert read_folder(fetches.here(URI, Access(hub.url), all_files=True).folder) == tree


def test_bytes_that_are_not_what_the_hub_states_are_not_kept(hub: HubServer, fetches: Fetches) -> None:
    commit = hub.commit(hello_files())
    for name in ("genai_config.json", DATA):  # one by git's checksum, one by sha256
        answer = hub.network.answers[f"/{commit}/{name}"]
        good = answer.content
        answer.content = bytes([good[0] ^ 1]) + good[1:]
        assert name in fetches.refused("ChecksumMismatch", URI, Access(hub.url))
        assert fetches.models() == []
        assert len(hub.network.asked(f"/{commit}/{name}")) == 2  # the bytes may have been damaged on the way
        answer.content = good


def test_another_digest_than_the_spec_says_leaves_nothing(hub: HubServer, fetches: Fetches) -> None:
    files = hello_files()
    hub.commit(files)
    wrong = hashlib.sha256(b"").hexdigest()
    message = fetches.refused("ChecksumMismatch", URI, Access(hub.url), sha256=wrong)
    assert digest_of(files) in message
    assert wrong in message
    assert fetches.models() == []
    assert fetches.partial_bytes() == 0
    assert fetches.here(URI, Access(hub.url), sha256=digest_of(files)).digest == digest_of(files)


def test_a_damaged_file_in_the_cache_is_found_and_fetched_again(hub: HubServer, fetches: Fetches) -> None:
    files = hello_files()
    hub.commit(files)
    folder = fetches.here(URI, Access(hub.url)).folder
    with (folder / DATA).open("r+b") as file:
        file.seek(1000)
        file.write(bytes([files[DATA][1000] ^ 1]))
    assert DATA in fetches.refused("ChecksumMismatch", URI, Access(hub.url), offline=True)
    found = fetches.here(URI, Access(hub.url))
    assert not found.cached
    assert read_folder(found.folder) == files
    (folder / "genai_config.json").write_bytes(files["genai_config.json"][:-1])
    assert not fetches.here(URI, Access(hub.url)).cached
    (folder / "more.json").touch()
    assert not fetches.here(URI, Access(hub.url)).cached
    assert fetches.here(URI, Access(hub.url)).cached


def test_the_same_revision_is_not_fetched_again_when_the_source_is_asked(hub: HubServer, fetches: Fetches) -> None:
    hub.commit(hello_files())
    fetches.here(URI, Access(hub.url))
    sent = dict(hub.network.sent)
    found = fetches.here(URI, Access(hub.url), refresh=True)
    assert found.cached
    assert len(hub.seen) > len(hello_files())
    assert hub.network.sent == sent


def test_the_same_content_is_kept_once(hub: HubServer, fetches: Fetches) -> None:
    commit = hub.commit(hello_files())
    first = fetches.here(URI, Access(hub.url)).folder
    inode = first.stat().st_ino
    second = fetches.here(f"{URI}@{commit}", Access(hub.url))  # another source, as far as anybody knows
    assert not second.cached
    assert second.folder == first
    assert first.stat().st_ino == inode  # a pod may be reading it
    assert fetches.partial_bytes() == 0


def test_a_cache_that_cannot_be_made_is_told(fetches: Fetches, hub: HubServer) -> None:
    hub.commit(hello_files())
    fetches.cache.write_text("a file")
    assert "cannot be used" in fetches.refused("StorageFull", URI, Access(hub.url))
    assert hub.seen == []


def test_a_repository_of_several_models_names_them_before_a_byte_comes(hub: HubServer, fetches: Fetches) -> None:
    hub.commit({f"{folder}/{name}": data for folder in ("cpu", "cuda") for name, data in hello_files().items()})
    message = fetches.refused("ModelNotFound", URI, Access(hub.url))
    assert "'cpu', 'cuda'" in message
    hub.commit({"model.onnx": b"x"})
    assert "build the model" in fetches.refused("ModelNotFound", URI, Access(hub.url))
    assert hub.network.seen == []


def test_a_server_that_always_begins_anew_is_given_up(hub: HubServer, fetches: Fetches) -> None:
    path = data_path(hub.commit(hello_files()))
    hub.network.answers[path].ranges = False
    hub.network.faults.cut[path] = [500_000] * 1000
    message = fetches.refused("SourceUnavailable", URI, Access(hub.url), patience=2.0)
    assert "500000 of" in message or "cannot be reached" in message


def test_offline_asks_nobody(hub: HubServer, fetches: Fetches, monkeypatch: pytest.MonkeyPatch) -> None:
    files = hello_files()
    hub.commit(files)
    assert "offline nothing is fetched" in fetches.refused("ModelNotFound", URI, Access(hub.url), offline=True)
    assert hub.seen == []
    fetches.here(URI, Access(hub.url))
    asked = len(hub.seen)

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert fetches.here(URI, Access(hub.url), offline=True).cached
    # By its digest a folder is found under any name.
    assert fetches.here("hf://team/other", offline=True, sha256=digest_of(files)).cached
    assert len(hub.seen) == asked


@pytest.mark.parametrize(
    ("revision", "token", "gated", "reason", "words"),
    [
        ("@main", "wrong", False, "Unauthorized", "key token of spec.model.secretName"),
        ("@main", TOKEN, True, "Unauthorized", "gated"),
        ("@absent", TOKEN, False, "ModelNotFound", "no revision 'absent'"),
        ("?path=absent", TOKEN, False, "ModelNotFound", "no folder 'absent'"),
    ],
)
def test_what_cannot_be_had_says_why(
    hub: HubServer, fetches: Fetches, revision: str, token: str, gated: bool, reason: str, words: str
) -> None:
    hub.commit(hello_files())
    hub.token, hub.gated = TOKEN, gated
    message = fetches.refused(reason, URI + revision, Access(hub.url, "", {"token": token}))
    assert words in message
    assert "hf://team/hello-onnx" in message


def test_a_failure_is_the_last_word(hub: HubServer, fetches: Fetches) -> None:
    hub.commit(hello_files())
    hub.token = "another"
    ended = fetches.run(URI, "--endpoint", hub.url, *fetches.secret(token=TOKEN))
    assert (ended.code, ended.reason, ended.output) == (1, "Unauthorized", "")
    assert ended.message in ended.errors
    ended = fetches.run("ftp://team/hello-onnx")
    assert (ended.code, ended.reason) == (1, "InvalidSpec")
    assert "it is hf://" in ended.message


def test_a_server_that_does_not_answer_is_the_reason_in_the_end(fetches: Fetches, hub: HubServer) -> None:
    hub.commit(hello_files())
    hub.faults.refuse[f"/api/models/{hub.repository}/revision/main"] = [503] * 1000
    assert "answers 503" in fetches.refused("SourceUnavailable", URI, Access(hub.url), patience=1.0)
    assert len(hub.seen) > 1


def test_too_large_is_refused_before_a_byte_comes(hub: HubServer, fetches: Fetches) -> None:
    files = hello_files()
    hub.commit(files)
    message = fetches.refused("ModelTooLarge", URI, Access(hub.url), max_bytes=1_000_000)
    assert str(sum(map(len, files.values()))) in message
    assert hub.network.seen == []


@pytest.mark.parametrize("name", ["../outside.json", "/etc/passwd.json", "a//b.json", "line\nbreak.json", "a\\b.json"])
def test_a_name_that_leads_elsewhere_is_refused(hub: HubServer, fetches: Fetches, name: str) -> None:
    hub.commit({**hello_files(), name: b"{}"})
    fetches.refused("ModelInvalid", URI, Access(hub.url))
    assert hub.network.seen == []
    assert not (fetches.folder / "outside.json").exists()


@pytest.mark.parametrize(
    "answer",
    [
        "<html>welcome</html>",
        "[]",
        "{}",
        '{"id": "a/b", "sha": 5, "siblings": []}',
        '{"id": "a/b", "sha": "a", "siblings": [{"rfilename": 5, "size": 1, "blobId": "a"}]}',
        '{"id": "a/b", "sha": "a", "siblings": [{"rfilename": "genai_config.json"}]}',
        '{"id": "a/b", "sha": "a", "siblings": [{"rfilename": "genai_config.json", "size": -1, "blobId": "a"}]}',
        '{"id": "a/b", "sha": "a", "siblings": [{"rfilename": "genai_config.json", "size": 1, "blobId": "x"}]}',
        '{"id": "a/b", "sha": "a", "siblings": [{"rfilename": "a.json", "size": 1, "lfs": {"sha256": 5, "size": 1}}]}',
    ],
)
def test_a_server_that_is_no_hub(fetches: Fetches, answer: str) -> None:
    with running(FileServer()) as server:
        server.put("/api/models/team/hello-onnx/revision/main", answer.encode(), Content_Type="application/json")
        message = fetches.refused("SourceUnavailable", URI, Access(server.url))
    assert f"{server.url} does not answer as the hub does" in message


def test_a_folder_that_is_no_model_is_not_fetched_twice(hub: HubServer, fetches: Fetches) -> None:
    path = data_path(hub.commit({**hello_files(), "genai_config.json": b"{}"}))
    for _ in range(2):
        assert "genai_config.json" in fetches.refused("ModelInvalid", URI, Access(hub.url))
    assert fetches.models() == []
    assert len(hub.network.asked(path)) == 1
