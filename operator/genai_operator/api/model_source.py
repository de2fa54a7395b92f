"""`spec.model`: where the model comes from, and what it must be. The forms of the URI are `model_uri.py`'s.

Which fields a source takes stands here twice, as CEL and as a validator. Fetching is the runtime's.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, model_validator

from genai_operator.api import model_uri
from genai_operator.api.base import ApiModel, cel
from genai_operator.api.build_spec import PLACE_EXPLANATION, PLACE_RULE, Build
from genai_operator.api.engine_spec import Memory
from genai_operator.api.model_uri import ClaimModel, ModelLocation, RemoteModel, parse_model_uri
from genai_operator.api.quantity import parse_quantity
from genai_operator.api.server_spec import SecretName
from genai_operator.api.source_fields import Endpoint, Region, Sha256

_IN_PLACE_EXPLANATION = (
    "model.secretName, endpoint, region, cache, maxBytes and offline are for sources that are fetched: hf, s3, gs, "
    "https and oci; cache is also for pvc with model.build"
)
_REGION_EXPLANATION = "model.region is for s3://"
_OFFLINE_EXPLANATION = "model.offline needs model.cache: a new pod's own cache is empty"


def _known_uri(uri: str) -> str:
    parse_model_uri(uri)
    return uri


ModelUri = Annotated[
    str,
    AfterValidator(_known_uri),
    Field(
        max_length=model_uri.MAX_LENGTH,
        description="builtin://NAME: a model inside the runtime image. pvc://CLAIM/PATH: a folder of a "
        "PersistentVolumeClaim in this namespace, mounted read-only. configmap://NAME: the files of a ConfigMap in "
        "this namespace. hf://ORG/REPO[@REVISION][?path=FOLDER], s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, "
        "https://HOST/PATH.tar (or .tar.gz, .tgz, .zip), oci://REGISTRY/REPOSITORY[:TAG|@sha256:DIGEST]: fetched by "
        "the pod before it serves.",
        json_schema_extra=cel(
            "self.matches('{}')".format(model_uri.PATTERN.replace("\\", "\\\\")), model_uri.EXPLANATION
        ),
    ),
]


class ModelCache(ApiModel):
    """Where fetched models are kept, by their content."""

    claim_name: SecretName = Field(
        description="A PersistentVolumeClaim of this namespace. Models and replicas may share it: what is there "
        "already is not fetched again."
    )


class ModelSource(ApiModel):
    """Where the model comes from, and what it must be."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "!(self.uri.startsWith('builtin:') || self.uri.startsWith('pvc:') || self.uri.startsWith('configmap:')) || "
            "!(has(self.secretName) || has(self.endpoint) || has(self.region) || has(self.maxBytes) || "
            "(has(self.cache) && !(has(self.build) && self.uri.startsWith('pvc:'))) || "
            "(has(self.offline) && self.offline))",
            _IN_PLACE_EXPLANATION,
            ("!has(self.region) || self.uri.startsWith('s3:')", _REGION_EXPLANATION),
            ("!has(self.offline) || !self.offline || has(self.cache)", _OFFLINE_EXPLANATION),
            (PLACE_RULE, PLACE_EXPLANATION),
        )
    )

    uri: ModelUri
    sha256: Sha256 | None = Field(
        default=None,
        description="What the folder must be: the digest in status.model.digest, over all its files. Another folder is "
        "not served. With build: what the source must be.",
    )
    secret_name: SecretName | None = Field(
        default=None,
        description="A Secret of this namespace with the source's credentials: token (hf, https), AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (s3), GOOGLE_SERVICE_ACCOUNT_JSON (gs), .dockerconfigjson (oci); "
        "ca.crt: a private authority that its server is trusted by. Absent: none.",
    )
    endpoint: Endpoint | None = Field(
        default=None,
        description="URL of the server to ask in place of the URI's, in the same protocol: a mirror of the hub, MinIO, "
        "a registry behind another address. Absent: the source's own.",
    )
    region: Region | None = Field(default=None, description="The bucket's. Absent: us-east-1.")
    cache: ModelCache | None = Field(
        default=None, description="Where what was fetched is kept. Absent: in each pod, for the pod's life."
    )
    max_bytes: Memory | None = Field(
        default=None, description="The largest folder that is fetched; a larger one is refused. Absent: 64Gi."
    )
    offline: StrictBool | None = Field(
        default=None, description="Take what the cache has and send nothing to the network. Absent: false."
    )
    custom_operators: Literal["Forbid", "Allow"] | None = Field(
        default=None,
        description="Allow: libraries in the model's folder (custom_ops_library, *.so) are loaded, which lets whoever "
        "made the folder run code in the pod. Forbid, the default: such a folder is refused.",
    )
    build: Build | None = Field(
        default=None,
        description="The source is a Hugging Face folder (safetensors, config.json and a tokenizer): a model is built "
        "of it, kept in the cache, and served. Absent: the source is served as it is.",
    )

    @model_validator(mode="after")
    def _fields_of_its_source(self) -> Self:
        location = self.location()
        cache = None if self.build is not None and isinstance(location, ClaimModel) else self.cache
        fetched = (self.secret_name, self.endpoint, self.region, cache, self.max_bytes, self.offline or None)
        if not isinstance(location, RemoteModel) and any(each is not None for each in fetched):
            raise ValueError(_IN_PLACE_EXPLANATION)
        if self.region is not None and not self.uri.startswith("s3:"):
            raise ValueError(_REGION_EXPLANATION)
        if self.offline and self.cache is None:
            raise ValueError(_OFFLINE_EXPLANATION)
        if self.build is not None and not (self.cache and isinstance(location, RemoteModel | ClaimModel)):
            raise ValueError(PLACE_EXPLANATION)
        return self

    def location(self) -> ModelLocation:
        """What the URI names."""
        return parse_model_uri(self.uri)

    def max_bytes_value(self) -> int | None:
        """`max_bytes` in bytes; None when absent."""
        return None if self.max_bytes is None else int(parse_quantity(self.max_bytes))
