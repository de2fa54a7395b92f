"""Where a model is, in one URI: the forms and their parsing. Mounting and fetching are the builders'.

Every form is one regular expression in the syntax that Python and the API server (RE2) share. Lengths are bounded by
MAX_LENGTH alone: RE2 refuses large counted repetitions.
"""

import re
from dataclasses import dataclass

MAX_LENGTH = 512

_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
# What claims and ConfigMaps are called.
_OBJECT = rf"{_LABEL}(\.{_LABEL})*"
# No segment starts with a dot: neither `..` nor a hidden folder can be named.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.@+=-]*"
_PATH = rf"(/{_SEGMENT})+"
# A path inside a model's folder.
RELATIVE_PATTERN = rf"^{_SEGMENT}(/{_SEGMENT})*$"

_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?"
_BUCKET = r"[a-z0-9][a-z0-9._-]*[a-z0-9]"
_HUB_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REVISION = r"[A-Za-z0-9_][A-Za-z0-9_.+=-]*(/[A-Za-z0-9_][A-Za-z0-9_.+=-]*)*"
_REPOSITORY = r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_SHA256 = r"[0-9a-f]{64}"

_FORMS = (
    rf"builtin://{_NAME}",
    rf"pvc://{_OBJECT}{_PATH}",
    rf"configmap://{_OBJECT}",
    rf"hf://{_HUB_NAME}/{_HUB_NAME}(@{_REVISION})?(\?path={_SEGMENT}(/{_SEGMENT})*)?",
    rf"(s3|gs)://{_BUCKET}{_PATH}",
    rf"https://{_HOST}{_PATH}[.](tar|tar[.]gz|tgz|zip)",
    rf"oci://{_HOST}/{_REPOSITORY}(:{_TAG}|@sha256:{_SHA256})?",
)
PATTERN = f"^({'|'.join(_FORMS)})$"
_FETCHED = ("hf:", "(s3|gs):", "https:", "oci:")
REMOTE_PATTERN = f"^({'|'.join(form for form in _FORMS if form.startswith(_FETCHED))})$"
REMOTE_EXPLANATION = (
    "must be hf://ORG/REPO[@REVISION][?path=FOLDER], s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, "
    "https://HOST/PATH.(tar|tar.gz|tgz|zip) or oci://REGISTRY/REPO[:TAG|@DIGEST]; no part of a path starts with a dot"
)
SHA256_PATTERN = f"^{_SHA256}$"
# Another server of a source's protocol. No user and no query: credentials are in a Secret.
ENDPOINT_PATTERN = rf"^https?://({_HOST}|\[[0-9a-fA-F:.]+\](:[0-9]{{1,5}})?)(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$"
EXPLANATION = (
    "must be builtin://NAME, pvc://CLAIM/PATH, configmap://NAME, hf://ORG/REPO[@REVISION][?path=FOLDER], "
    "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, https://HOST/PATH.(tar|tar.gz|tgz|zip) or "
    "oci://REGISTRY/REPO[:TAG|@DIGEST]; no part of a path starts with a dot"
)


@dataclass(frozen=True, slots=True)
class BuiltinModel:
    """A model inside the runtime image."""

    name: str


@dataclass(frozen=True, slots=True)
class ClaimModel:
    """A folder of a PersistentVolumeClaim in the model's namespace; `path` is relative and has no `..`."""

    claim: str
    path: str


@dataclass(frozen=True, slots=True)
class ConfigMapModel:
    """The files of a ConfigMap in the model's namespace."""

    name: str


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that is fetched before it is served. `scheme` is hf, s3, gs, https or oci; `rest` follows the `://`."""

    scheme: str
    rest: str


ModelLocation = BuiltinModel | ClaimModel | ConfigMapModel | RemoteModel


def parse_model_uri(uri: str) -> ModelLocation:
    """What a URI names.

    Raises:
        ValueError: the URI has none of the forms.
    """
    # fullmatch: in Python `$` also matches before a final line break.
    if len(uri) > MAX_LENGTH or re.fullmatch(PATTERN.removeprefix("^").removesuffix("$"), uri) is None:
        raise ValueError(EXPLANATION)
    scheme, rest = uri.split("://", 1)
    if scheme == "builtin":
        return BuiltinModel(rest)
    if scheme == "configmap":
        return ConfigMapModel(rest)
    if scheme == "pvc":
        claim, path = rest.split("/", 1)
        return ClaimModel(claim, path)
    return RemoteModel(scheme, rest)
