"""What follows from a model's spec alone, kept for the models that are being worked on.

One change of a model brings several passes, most of them for what the Deployment's controller or pods report; reading
the spec and building the manifests again would be most of their work. Few are kept: a thousand models' manifests would
be most of the process.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from genai_operator.api.built import served_build, with_built
from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.names import deployment_name
from genai_operator.api.recommendation import with_recommended
from genai_operator.builders import build_children
from genai_operator.builders.settings import BuilderSettings
from genai_operator.clients.kube import DEPLOYMENT, SECRET
from genai_operator.services.cache import ChildId
from genai_operator.services.certificates import ControlAuthority, control_secret
from genai_operator.services.children import Wanted

_KEPT = 32


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model as read, and the children it shall have, in the order to apply them; `left` stay as they are."""

    model: GenAIModel
    wanted: tuple[Wanted, ...]
    left: tuple[ChildId, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kept:
    metadata: Mapping[str, Any]
    period: int
    prepared: Prepared


class Preparer:
    """Reads models and builds their children, or remembers them."""

    def __init__(self, authority: ControlAuthority, settings: BuilderSettings) -> None:
        self._authority = authority
        self._settings = settings
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def prepare(self, key: str, body: Mapping[str, Any]) -> Prepared:
        """The model with its present status, and its children.

        Raises:
            InvalidModel: its spec cannot be used.
        """
        metadata = {name: value for name, value in body["metadata"].items() if name != "resourceVersion"}
        kept = self._kept.get(key)
        status = body.get("status") or {}
        metadata["recommended"] = status.get("recommended")  # children may follow from it
        metadata["built"] = served_build(status)
        # The generation counts the changes of the spec.
        if kept and kept.metadata == metadata and not self._authority.renewal_due(metadata["uid"], kept.period):
            self._kept.move_to_end(key)
            model = kept.prepared.model.model_copy(update={"status": body.get("status") or {}})
            return Prepared(model, kept.prepared.wanted, kept.prepared.left)
        model = GenAIModel.from_body(body)
        same = kept is not None and kept.metadata["uid"] == metadata["uid"]
        wanted, period = self._build(model, kept if same else None)
        prepared = Prepared(model, wanted, _left(model))
        bare = replace(prepared, model=model.model_copy(update={"status": {}}))
        self._kept[key] = _Kept(metadata, period, bare)
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return prepared

    def forget(self, key: str) -> None:
        """Drops what is kept of a model that is gone."""
        self._kept.pop(key, None)

    def _build(self, model: GenAIModel, kept: _Kept | None) -> tuple[tuple[Wanted, ...], int]:
        rendered = with_built(with_recommended(model))
        others = [Wanted.of(each) for each in build_children(rendered, self._settings).manifests()]
        secret, period = self._secret(model, kept)
        # Pods do not start without the Secret, so it comes before the Deployment.
        others.insert(1, secret)
        return tuple(others), period

    def _secret(self, model: GenAIModel, kept: _Kept | None) -> tuple[Wanted, int]:
        """The Secret and the period of its certificate: no change of the spec changes them."""
        metadata = model.metadata
        if kept and not self._authority.renewal_due(metadata.uid, kept.period):
            return next(each for each in kept.prepared.wanted if each.id.kind == SECRET.kind), kept.period
        certificate = self._authority.server_certificate(metadata.name, metadata.namespace, metadata.uid)
        return Wanted.of(control_secret(model, certificate)), certificate.period


def _left(model: GenAIModel) -> tuple[ChildId, ...]:
    """The Deployment of a model that nothing was built for yet: it may serve what the spec named before."""
    if with_built(model).spec.model.build is None or model.spec.suspend:
        return ()
    metadata = model.metadata
    return (ChildId(DEPLOYMENT.kind, metadata.namespace, deployment_name(metadata.name)),)
