"""`spec.server`, `spec.generation` and `spec.warmup`: what a pod takes on, for whom, and what a request gets.

How much is generated at once is `engine_spec.py`'s.
"""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StrictBool, StrictInt, model_validator

from genai_operator.api.base import ApiModel, cel

_SECRET_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
SecretName = Annotated[str, Field(min_length=1, max_length=253, pattern=_SECRET_NAME)]


class Generation(ApiModel):
    """Defaults of a request's options, and the limits no request can exceed. What is absent is the model's own."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "self.maxTokens <= self.maxTokensLimit", "generation.maxTokens must not exceed generation.maxTokensLimit"
        )
    )

    max_tokens: int = Field(default=256, ge=1, le=1_048_576, description="New tokens when a request does not say.")
    max_tokens_limit: int = Field(
        default=4096, ge=1, le=1_048_576, description="New tokens at most; a request for more is refused."
    )
    prompt_tokens_limit: int | None = Field(
        default=None, ge=1, le=1_048_576, description="A longer prompt is refused. Absent: what fits the sequence."
    )
    choices_limit: int = Field(default=8, ge=1, le=128, description="Answers of one request (n) at most.")
    guidance_bytes_limit: StrictInt | None = Field(
        default=None,
        ge=0,
        le=65_536,
        description="A larger schema, expression or grammar that an answer is to match is refused. 0: all are. Absent: "
        "64 KiB of a schema, 16 KiB of a Lark grammar, 4 KiB of an expression, which hold in any case.",
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="0 is greedy.")
    top_k: int | None = Field(default=None, ge=0, le=1_048_576, description="0 is off.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="1 is off.")
    repetition_penalty: float | None = Field(default=None, gt=0, le=2, description="1 is off.")

    @model_validator(mode="after")
    def _default_within_limit(self) -> Self:
        if self.max_tokens > self.max_tokens_limit:
            raise ValueError("generation.maxTokens must not exceed generation.maxTokensLimit")
        return self


class Warmup(ApiModel):
    """What a pod generates before it is Ready."""

    prompts: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] | None = Field(
        default=None, max_length=16, description="Absent: one short prompt of the runtime's own. Empty: no warm-up."
    )
    max_tokens: int = Field(default=16, ge=1, le=1024, description="New tokens for each prompt.")


class Protocols(ApiModel):
    """What is spoken besides gRPC, which is always there: the operator's and the kubelet's view of a pod is gRPC."""

    http: StrictBool = Field(default=True, description="OpenAI's and the other HTTP routes, on port 8080.")


class ServerTls(ApiModel):
    """TLS on the data ports, gRPC and HTTP. A Secret that changes is read again without a restart."""

    secret_name: SecretName = Field(
        description="A Secret of this namespace with tls.crt and tls.key, as of type kubernetes.io/tls."
    )
    client_ca_secret_name: SecretName | None = Field(
        default=None,
        alias="clientCASecretName",
        description="A Secret with ca.crt: clients must show a certificate of that authority.",
    )


class ApiKeys(ApiModel):
    """Who may generate: callers send one of these keys as a bearer token. Read again without a restart."""

    secret_name: SecretName = Field(
        description="A Secret of this namespace; each entry is one key, its name says whose it is."
    )


class Server(ApiModel):
    """Protocols, credentials, the queue, deadlines and drain of one pod."""

    protocols: Protocols = Protocols()
    tls: ServerTls | None = Field(default=None, description="TLS on the data ports, gRPC and HTTP. Absent: plain text.")
    api_keys: ApiKeys | None = Field(default=None, description="Who may generate. Absent: everybody who reaches a pod.")
    max_queue_length: int = Field(default=64, ge=0, le=65_536, description="Requests that wait; more are refused.")
    max_queue_seconds: int = Field(default=30, ge=1, le=3600, description="How long a request waits at most.")
    max_request_seconds: int = Field(default=600, ge=1, le=86_400, description="How long a request runs at most.")
    drain_seconds: int = Field(
        default=30, ge=0, le=3600, description="How long a pod that is going away finishes its streams."
    )
