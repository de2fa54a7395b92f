"""What a command runs with: the connection, made when it is first needed, and how results are printed."""

from dataclasses import dataclass
from functools import cached_property

from genai_kubectl.clients.kube import Kube
from genai_kubectl.decisions.quantities import parse_duration
from genai_kubectl.errors import WrongUsage
from genai_kubectl.options import Common, Format


@dataclass
class Session:
    """One run of the program."""

    common: Common

    @cached_property
    def kube(self) -> Kube:
        """The namespace that was named, else the context's. Raises `CommandFailed`."""
        return Kube.connect(self.common.kubeconfig, self.common.context, self.common.namespace)

    @property
    def output(self) -> Format:
        """How the result is printed."""
        return self.common.output


def seconds(text: str, option: str) -> float:
    """A duration that was given as an option. Raises `WrongUsage`."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise WrongUsage(f"{option}: {error}") from None
