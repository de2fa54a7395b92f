"""`spec.adapters`: LoRA adapters, in the model's folder or fetched by the pods that serve. Rules with the rest of the
spec are `spec.py`'s; fields and forms that they share with models are `source_fields.py`'s and `model_uri.py`'s.
"""

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from genai_operator.api import model_uri
from genai_operator.api.base import ApiModel, cel
from genai_operator.api.engine_spec import Memory
from genai_operator.api.quantity import parse_quantity
from genai_operator.api.server_spec import SecretName
from genai_operator.api.source_fields import Endpoint, Region, Sha256

_PLACE_EXPLANATION = "an adapter needs path, in the model's folder, or uri"
_FETCHED_EXPLANATION = "adapters[].sha256, secretName, endpoint, region and maxBytes are for adapters with uri"
_REGION_EXPLANATION = "adapters[].region is for s3://"


def _fetched(uri: str) -> str:
    if not isinstance(model_uri.parse_model_uri(uri), model_uri.RemoteModel):
        raise ValueError(model_uri.REMOTE_EXPLANATION)  # noqa: TRY004 - a value that is not allowed, of the right type
    return uri


AdapterUri = Annotated[
    str,
    AfterValidator(_fetched),
    Field(
        max_length=model_uri.MAX_LENGTH,
        description="Fetched by each pod that serves, into a cache of its own: hf://, s3://, gs://, https://, oci://, "
        "as for model.uri; of its files the *.onnx_adapter. What a pod mounts cannot come while it serves: pvc:// and "
        "configmap:// are for the model's folder, and path.",
        json_schema_extra=cel(
            "self.matches('{}')".format(model_uri.REMOTE_PATTERN.replace("\\", "\\\\")), model_uri.REMOTE_EXPLANATION
        ),
    ),
]


class Adapter(ApiModel):
    """A LoRA adapter, in the model's folder or fetched."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "has(self.path) || has(self.uri)",
            _PLACE_EXPLANATION,
            (
                "has(self.uri) || !(has(self.sha256) || has(self.secretName) || has(self.endpoint) || "
                "has(self.region) || has(self.maxBytes))",
                _FETCHED_EXPLANATION,
            ),
            ("!has(self.region) || !has(self.uri) || self.uri.startsWith('s3:')", _REGION_EXPLANATION),
        )
    )

    name: str = Field(
        min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="What requests call it."
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        pattern=model_uri.RELATIVE_PATTERN,
        description="Its .onnx_adapter file, or a folder that holds one, relative to the model's folder; with uri, to "
        "what is fetched. Absent with uri: the only one there.",
    )
    uri: AdapterUri | None = Field(default=None, description="Where it is fetched from. Absent: nothing is fetched.")
    sha256: Sha256 | None = Field(
        default=None, description="The digest that what is fetched must have, as genai-runtime digest prints it."
    )
    secret_name: SecretName | None = Field(
        default=None,
        description="A Secret with the source's credentials, as for model.secretName. It is mounted into the pods that "
        "serve: the first adapter that names it replaces them. Absent: none.",
    )
    endpoint: Endpoint | None = Field(
        default=None, description="URL of the server to ask in place of the URI's, as for model.endpoint."
    )
    region: Region | None = Field(default=None, description="The bucket's. Absent: us-east-1.")
    max_bytes: Memory | None = Field(
        default=None, description="The most that is fetched. Absent: what a pod has for all adapters, 8Gi."
    )

    @model_validator(mode="after")
    def _fields_of_its_source(self) -> Self:
        fetched = (self.sha256, self.secret_name, self.endpoint, self.region, self.max_bytes)
        if self.path is None and self.uri is None:
            raise ValueError(_PLACE_EXPLANATION)
        if self.uri is None and any(each is not None for each in fetched):
            raise ValueError(_FETCHED_EXPLANATION)
        if self.region is not None and self.uri is not None and not self.uri.startswith("s3:"):
            raise ValueError(_REGION_EXPLANATION)
        return self

    def max_bytes_value(self) -> int:
        """`max_bytes` in bytes; 0 when absent."""
        return 0 if self.max_bytes is None else int(parse_quantity(self.max_bytes))
