"""One LoRA adapter fetched into a pod's cache, as a process of its own: a server starts it, and nobody else.

Its one argument is `Asked` as JSON. It prints one line: `{"folder", "digest", "bytes"}`, or `{"reason", "message"}`
with a reason of docs/status.md. The libraries of sources are large and slow to import, and a fetch computes digests:
none of that is for a process that answers clients.
"""

import hashlib
import json
import os
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from genai_runtime.errors import ModelUnusable, RuntimeServerError
from genai_runtime.fetch.access import Access, read_secrets
from genai_runtime.fetch.adapter_files import AdapterFiles, inspection
from genai_runtime.fetch.cache import Cache
from genai_runtime.fetch.fetching import Fetched, Fetching, Wanted
from genai_runtime.fetch.patience import Patience
from genai_runtime.fetch.progress import Progress
from genai_runtime.fetch.sources import key_of, source_of
from genai_runtime.fetch.uri import parse_endpoint
from genai_runtime.front import logs

# Shorter than a model's: the server waits between tries, and says meanwhile why there is no adapter.
_PATIENCE_SECONDS = 30.0
# The sources name the fields of models, and the remedies of a cache that models share.
_OTHER_WORDS = {
    "enlarge the claim of spec.model.cache, or remove models from it": "take adapters out of spec.adapters",
    "spec.model.": "spec.adapters[].",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is fetched, and where to. `path` inside what comes, empty: all adapters; `max_bytes` of them together."""

    cache: str
    uri: str
    path: str = ""
    sha256: str = ""
    endpoint: str = ""
    region: str = ""
    secret_dir: str = ""
    max_bytes: int = 0


def fetch(asked: Asked) -> Fetched:
    """Bring it into the cache, whole and checked. Raises `RuntimeServerError`."""
    secrets = read_secrets(Path(asked.secret_dir) if asked.secret_dir else None)
    access = Access(parse_endpoint(asked.endpoint), asked.region, secrets)
    key = hashlib.sha256(f"{key_of(asked.uri, access)} {asked.path}".encode()).hexdigest()[:32]
    wanted = Wanted(key, asked.uri, access.endpoint, asked.sha256, asked.max_bytes)
    patience = Patience(asked.uri, _PATIENCE_SECONDS)
    fetching = Fetching(wanted, Cache(Path(asked.cache)), Progress(), patience, inspection(asked.uri))
    with closing(AdapterFiles(source_of(asked.uri, access, all_files=True), asked.uri, asked.path)) as source:
        return fetching.fetch(source)


def main() -> int:
    """The command."""
    logs.configure("warning")
    os.nice(19)
    try:
        Path(json.loads(sys.argv[1])["cache"]).mkdir(parents=True, exist_ok=True)
        found = fetch(Asked(**json.loads(sys.argv[1])))
    except RuntimeServerError as error:
        reason = error.reason if isinstance(error, ModelUnusable) else "InvalidSpec"
        return _say({"reason": reason, "message": _in_words_of_adapters(error.message)}, 1)
    except OSError as error:
        return _say({"reason": "StorageFull", "message": f"{error.filename} cannot be used: {error.strerror}"}, 1)
    return _say({"folder": str(found.folder), "digest": found.digest, "bytes": found.bytes}, 0)


def _in_words_of_adapters(message: str) -> str:
    for words, others in _OTHER_WORDS.items():
        message = message.replace(words, others)
    return message


def _say(result: dict[str, object], code: int) -> int:
    sys.stdout.write(json.dumps(result) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
