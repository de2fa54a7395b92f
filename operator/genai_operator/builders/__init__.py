"""Pure: (model, settings) to the manifests of its children. Equal input gives equal output; nothing is read or applied.

The Secret with the pods' control certificate is not here: its key material comes from `services.certificates`.
"""

from dataclasses import dataclass
from typing import Any

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.builders.autoscaling import autoscaler
from genai_operator.builders.deployment import deployment, disruption_budget
from genai_operator.builders.permitted import check_permitted
from genai_operator.builders.services import headless_service, service, service_account
from genai_operator.builders.settings import BuilderSettings


@dataclass(frozen=True, slots=True)
class Children:
    """Everything that a model becomes, but for its Secret."""

    service_account: dict[str, Any] | None
    service: dict[str, Any]
    headless_service: dict[str, Any]
    deployment: dict[str, Any] | None  # None: what it shall serve is not built yet
    pod_disruption_budget: dict[str, Any] | None
    autoscaler: dict[str, Any] | None

    def manifests(self) -> tuple[dict[str, Any], ...]:
        """In the order they are applied: what pods need comes before them."""
        every = (
            self.service_account,
            self.service,
            self.headless_service,
            self.deployment,
            self.pod_disruption_budget,
            self.autoscaler,
        )
        return tuple(each for each in every if each is not None)


def build_children(model: GenAIModel, settings: BuilderSettings) -> Children:
    """The children a model shall have.

    Raises:
        InvalidModel: it asks for what this installation does not permit, or what cannot be put together.
    """
    check_permitted(model, settings)
    made = deployment(model, settings)  # also for what it refuses
    return Children(
        service_account=service_account(model) if model.spec.service_account_name is None else None,
        service=service(model),
        headless_service=headless_service(model),
        deployment=made if model.spec.model.build is None else None,
        pod_disruption_budget=disruption_budget(model),
        autoscaler=autoscaler(model, settings),
    )
