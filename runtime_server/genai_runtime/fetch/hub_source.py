"""`hf://`: a model repository of the Hugging Face hub or of a mirror. The hub's API is huggingface_hub's to know; bytes
come as everywhere, so that they are resumed, counted and checked in one way.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import httpx2

from genai_runtime.fetch.access import TOKEN, Access
from genai_runtime.fetch.digests import GIT_BLOB
from genai_runtime.fetch.errors import Passing, not_found, unauthorized, unavailable
from genai_runtime.fetch.source import Body, Listing, RemoteFile
from genai_runtime.fetch.uri import HubPlace
from genai_runtime.fetch.web import Web, Words
from genai_runtime.models.defects import shown

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

PUBLIC = "https://huggingface.co"
_REMEDY = (
    "put a token that may read it into the key token of spec.model.secretName; for a gated repository, accept its "
    "conditions on its page first"
)
_TIMEOUT_SECONDS = 60.0
_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# What GenAI reads of a model's folder. Weights in other formats lie beside these in many repositories.
_NEEDED = (
    *("*.onnx", "*.onnx.data", "*.onnx.data.*", "*.onnx_data", "*.onnx_data_*", "*.onnx_adapter"),
    *("*.json", "*.jinja", "merges.txt", "vocab.txt", "tokenizer.model", "*.tiktoken", "spiece.model"),
)


class HubSource:
    """See `Source`. `all_files`: also what no model needs that is built already."""

    def __init__(self, place: HubPlace, uri: str, access: Access, *, all_files: bool = False) -> None:
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # read when the package is imported, which is not done elsewhere
        import huggingface_hub  # noqa: F401 - a lack of it is told before anything is done

        self._place = place
        self._uri = uri
        self._endpoint = access.endpoint or PUBLIC
        self._all_files = all_files
        self._web = Web(access, Words(uri, _REMEDY))
        self._token = access.secret(TOKEN)
        self._commit = ""

    def listing(self) -> Listing:
        """The commit that the revision is now, and its files."""
        from huggingface_hub import HfApi, set_client_factory
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        set_client_factory(self._web.following_client)
        try:
            info = HfApi(endpoint=self._endpoint).model_info(
                self._place.repository,
                revision=self._commit or self._place.revision,
                files_metadata=True,
                timeout=_TIMEOUT_SECONDS,
                token=self._token or False,
            )
            listing = self._listing(info)
        except HfHubHTTPError as error:
            raise self._refusal(error) from None
        except HFValidationError:
            raise not_found(f"{self._uri}: {self._place.repository!r} is no repository's name; correct it") from None
        except httpx2.HTTPError as error:
            raise self._web.failure(error) from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            said = f"{type(error).__name__}: {error}"[:200]
            raise unavailable(f"{self._uri}: {self._endpoint} does not answer as the hub does ({said})") from None
        self._commit = listing.revision
        return listing

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[Body]:
        """See `Source`; a commit's files do not change."""
        from huggingface_hub import hf_hub_url

        name = self._prefix + file.name
        url = hf_hub_url(self._place.repository, name, revision=self._commit, endpoint=self._endpoint)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        with self._web.read(url, offset, headers) as body:
            yield body

    def close(self) -> None:
        """See `Source`."""
        from huggingface_hub import close_session

        close_session()
        self._web.close()

    @property
    def _prefix(self) -> str:
        return f"{self._place.path}/" if self._place.path else ""

    def _listing(self, info: "ModelInfo") -> Listing:
        commit = info.sha
        if not isinstance(commit, str) or not info.siblings:
            raise ValueError("no commit, or no files")
        there = [each for each in info.siblings if each.rfilename.startswith(self._prefix)]
        found = [(self._wanted(each.rfilename), _remote(each, self._prefix)) for each in there]
        files = tuple(file for wanted, file in found if wanted)
        if not files:
            where = f"no folder {self._place.path!r} in it" if self._place.path else "nothing that GenAI can load in it"
            raise not_found(f"{self._uri}: there is {where} at commit {commit}; correct the URI")
        return Listing(commit, files, tuple(file for wanted, file in found if not wanted))

    def _wanted(self, name: str) -> bool:
        return self._all_files or any(fnmatchcase(name.rpartition("/")[2], pattern) for pattern in _NEEDED)

    def _refusal(self, error: Exception) -> Exception:
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        place = self._place
        if isinstance(error, GatedRepoError):
            return unauthorized(f"{self._uri}: the repository is gated; {_REMEDY}")
        if isinstance(error, RevisionNotFoundError):
            return not_found(f"{self._uri}: the repository has no revision {place.revision!r}; correct it")
        response = getattr(error, "response", None)
        if isinstance(error, RepositoryNotFoundError) and response is not None and response.status_code == 401:
            return unauthorized(f"{self._uri}: there is no such repository, or it is private; {_REMEDY}")
        if response is None:
            return Passing("the hub does not answer")
        return self._web.refusal(response)


def _remote(sibling: "RepoSibling", prefix: str) -> RemoteFile:
    """Raises ValueError or TypeError where the hub states no size or no checksum."""
    if not isinstance(sibling.size, int) or sibling.size < 0:
        raise ValueError(f"the size of {shown(sibling.rfilename)} is {shown(sibling.size)}")
    algorithm, digest = (GIT_BLOB, sibling.blob_id) if sibling.lfs is None else ("sha256", sibling.lfs.sha256)
    if digest is None or not _HEX.fullmatch(digest):
        raise ValueError(f"the checksum of {shown(sibling.rfilename)} is {shown(digest)}")
    return RemoteFile(sibling.rfilename.removeprefix(prefix), sibling.size, digest, ((algorithm, digest),))
