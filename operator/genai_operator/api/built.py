"""What `spec.model.build` asks to be built, and what the pods of a model are told once it is there. Pure.

Level-triggered, as with recommendations: what is rendered follows from the spec and `status.build` alone. Until another
wish is built, pods are told of the build before it, so that they go on serving, and can be scaled and moved.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from genai_operator.api.build_status import BuildStatus, BuiltModel
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.model_source import ModelCache

# How something is fetched or computed, rather than what.
_BESIDES_OF_MODEL = ("secretName", "endpoint", "region", "maxBytes", "offline", "customOperators")
_BESIDES_OF_BUILD = ("resources", "request")


def build_revision(model: GenAIModel) -> str:
    """Names what is to be built: equal where the same would be; empty without `spec.model.build`.

    Fields at their defaults do not count, so that an operator that knows more fields builds nothing anew.
    """
    if model.spec.model.build is None:
        return ""
    source = model.spec.model.model_dump(by_alias=True, mode="json", exclude_defaults=True)
    parts = {name: value for name, value in source.items() if name not in _BESIDES_OF_MODEL}
    parts["build"] = {name: value for name, value in source["build"].items() if name not in _BESIDES_OF_BUILD}
    return _digest([parts, model.spec.provider, model.spec.precision])


def build_wish(model: GenAIModel) -> str:
    """Names one Job: the revision, and the request for it."""
    build = model.spec.model.build
    return _digest([build_revision(model), build.request if build else None])


def known_build(status: Mapping[str, Any]) -> BuildStatus | None:
    """What the status in the cluster says; None when there is nothing, or another version wrote it."""
    found = status.get("build")
    try:
        return BuildStatus.model_validate(found) if found else None
    except ValidationError:
        return None


def served_build(status: Mapping[str, Any]) -> tuple[str, BuiltModel] | None:
    """Digest and description of what was built last and can be served."""
    known = known_build(status)
    return (known.digest, known.served) if known and known.digest and known.served else None


def is_current(model: GenAIModel) -> bool:
    """Whether what pods are told of is what the spec asks for; also where nothing is to be built."""
    if model.spec.model.build is None:
        return True
    found = served_build(model.status)
    return found is not None and found[1].revision == build_revision(model)


def with_built(model: GenAIModel) -> GenAIModel:
    """The model to render: one that is in the cache by its digest, and none that is to be built.

    As it is, `build` included, while nothing has been built for it yet.
    """
    found = served_build(model.status)
    if model.spec.model.build is None or found is None:
        return model
    digest, built = found
    source = model.spec.model.model_copy(
        update={
            "uri": built.uri,
            "sha256": digest,
            "cache": ModelCache(claim_name=built.claim_name),
            "offline": True,
            "build": None,
            **dict.fromkeys(("secret_name", "endpoint", "region", "max_bytes")),
        }
    )
    changed = {"model": source, "provider": built.provider, "precision": built.precision}
    return model.model_copy(update={"spec": model.spec.model_copy(update=changed)})


def as_built(model: GenAIModel) -> BuiltModel:
    """What is to be remembered of a model that was built as its spec says. Its spec has `build`."""
    spec = model.spec
    if spec.model.build is None or spec.model.cache is None or spec.precision is None:
        raise ValueError("nobody asked for it")
    return BuiltModel(
        revision=build_revision(model),
        request=spec.model.build.request,
        uri=spec.model.uri,
        provider=spec.provider,
        precision=spec.precision,
        claim_name=spec.model.cache.claim_name,
    )


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
