"""A server that answers as the Hugging Face hub does, as far as fetching a model asks it: listings with checksums,
files by commit that are redirected to another server with a signed URL, private and gated repositories.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from urllib.parse import quote

from support.file_server import Answer, FileServer, running

SIGNATURE = "signature-of-the-content-network"
_LARGE = 64 << 10


class HubServer(FileServer):
    """One repository. `branches`: what a revision is now; `commits`: the files of each commit."""

    def __init__(self, repository: str, host: str = "127.0.0.1") -> None:
        super().__init__(host)
        self.repository = repository
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.gated = False
        self.network = FileServer(host)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """A new commit; returns its name."""
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        for name, content in files.items():
            self.network.put(f"/{commit}/{name}", content, ETag=f'"{hashlib.sha256(content).hexdigest()}"')
        return commit

    def answer(self, path: str, authorization: str) -> Answer:
        """See `FileServer`."""
        if self.token and authorization != f"Bearer {self.token}":
            return _error(401, "RepoNotFound", "Invalid username or password.")
        if self.gated:
            return _error(403, "GatedRepo", "Access to this model is restricted.")
        listing = f"/api/models/{self.repository}/revision/"
        if path.startswith(listing):
            revision = path.removeprefix(listing)
            commit = self.branches.get(revision, revision)
            return self._listing(commit) if commit in self.commits else _error(404, "RevisionNotFound", "")
        file = f"/{self.repository}/resolve/"
        if path.startswith(file):
            commit, _, name = path.removeprefix(file).partition("/")
            if name in self.commits.get(commit, {}):
                there = f"{self.network.url.replace('127.0.0.1', 'localhost')}/{commit}/{quote(name)}"
                location = f"{there}?X-Signature={SIGNATURE}"
                return Answer(status=302, headers={"Location": location})
            return _error(404, "EntryNotFound", "")
        return _error(404, "RepoNotFound", "")

    def _listing(self, commit: str) -> Answer:
        siblings = []
        for name, content in self.commits[commit].items():
            each: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": _git_blob(content)}
            if len(content) > _LARGE:
                digest = hashlib.sha256(content).hexdigest()
                each["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(each)
        body = {"_id": "1", "id": self.repository, "modelId": self.repository, "sha": commit, "siblings": siblings}
        return Answer(json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def _error(status: int, code: str, message: str) -> Answer:
    return Answer(status=status, headers={"X-Error-Code": code, "X-Error-Message": message})


def _git_blob(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@contextlib.contextmanager
def hub_server(repository: str = "team/hello-onnx", host: str = "127.0.0.1") -> Iterator[HubServer]:
    """With its content network beside it."""
    hub = HubServer(repository, host)
    with running(hub.network), running(hub):
        yield hub
