"""Where the model runs: what the status shows, and when a GPU that was asked for is not used."""

from dataclasses import replace

import pytest

from genai_operator.api.status_model import ProviderPlacement
from genai_operator.status import summarise
from genai_operator.status.placement import fallen_back, placement
from support.models import SERVED, answers, make_model, observe, ready_pod

GPU, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def placed(gpu: float) -> tuple[ProviderPlacement, ...]:
    """`gpu` percent there, the rest on the CPU."""
    shares = {GPU: (gpu, ("MatMulNBits",)), CPU: (100 - gpu, ("GroupQueryAttention", "Add"))}
    return tuple(
        ProviderPlacement(provider=name, share_percent=share, operators=operators)
        for name, (share, operators) in shares.items()
        if share
    )


@pytest.mark.parametrize(
    ("provider", "limit", "gpu", "bad"),
    [
        ("cuda", 95, 94.9, True),
        ("cuda", 95, 95.0, False),
        ("cuda", 95, 0.0, True),
        ("cuda", 0, 0.0, False),
        ("cpu", 95, 0.0, False),
    ],
)
def test_a_gpu_that_was_asked_for_must_do_its_share(provider: str, limit: int, gpu: float, bad: bool) -> None:
    model = make_model(provider=provider, providerLimits={"minSharePercent": limit})
    assert bool(fallen_back(model, placed(gpu))) is bad


def test_the_message_names_what_runs_elsewhere() -> None:
    said = fallen_back(make_model(provider="cuda"), placed(40.0))
    assert said.startswith("40.0 % of the operators' time is spent on cuda, and providerLimits.minSharePercent is 95: ")
    assert "GroupQueryAttention, Add run on CPUExecutionProvider" in said


def test_what_is_not_measured_is_no_fault() -> None:
    assert fallen_back(make_model(provider="cuda"), ()) == ""


def test_the_status_tells_of_the_pod_that_uses_its_gpu_least() -> None:
    model, good, bad = make_model(provider="cuda"), ready_pod(1), ready_pod(2)
    said = answers(model, good, served=replace(SERVED, placement=placed(99.0)))
    said |= answers(model, bad, served=replace(SERVED, placement=placed(10.0)))
    status = summarise(model, observe(good, bad, answers=said))
    assert status["placement"][0] == {"provider": GPU, "sharePercent": 10.0, "operators": ["MatMulNBits"]}
    degraded = next(each for each in status["conditions"] if each["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "ProviderDegraded")
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert ready["status"] == "True"  # slow is not down


def test_a_restarted_operator_keeps_what_was_known_until_pods_answer() -> None:
    model, pod = make_model(), ready_pod()
    before = summarise(model, observe(pod, answers=answers(model, pod, served=replace(SERVED, placement=placed(0.0)))))
    model = make_model(status=before)
    assert placement(model, observe(pod)) == placed(0.0)
    assert placement(model, observe()) == ()
