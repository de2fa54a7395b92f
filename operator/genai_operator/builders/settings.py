"""What builders need to know of this installation. The operator's settings have it; nothing is read here."""

from collections.abc import Mapping
from typing import Protocol


class BuilderSettings(Protocol):
    """Defaults for models that do not say."""

    @property
    def runtime_image(self) -> str: ...

    @property
    def runtime_images(self) -> Mapping[str, str]: ...

    @property
    def builder_image(self) -> str: ...

    @property
    def image_pull_policy(self) -> str: ...

    @property
    def image_pull_secrets(self) -> tuple[str, ...]: ...

    @property
    def image_volumes(self) -> bool: ...

    @property
    def http_proxy(self) -> str: ...

    @property
    def https_proxy(self) -> str: ...

    @property
    def no_proxy(self) -> str: ...

    @property
    def pod_labels(self) -> tuple[str, ...]: ...

    @property
    def pod_annotations(self) -> tuple[str, ...]: ...

    @property
    def env(self) -> tuple[str, ...]: ...

    @property
    def allow_pod_template(self) -> bool: ...

    @property
    def autoscalers(self) -> tuple[str, ...]: ...

    @property
    def prometheus_address(self) -> str: ...
