"""The gate's decisions: who is compared with whom, what a comparison means, what the model says."""

from typing import Any

import pytest

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.rollout_spec import Gate
from genai_operator.builders import build_children
from genai_operator.builders.settings import BuilderSettings
from genai_operator.constants import CONDITION_MEASURED
from genai_operator.settings import OperatorSettings
from genai_operator.status import summarise
from genai_operator.status.observed import ObservedPod
from genai_operator.status.rollout_gate import (
    GatePlan,
    Measured,
    PodVerdict,
    blocked,
    gate_id,
    judge,
    no_comparison,
    plan_gate,
)
from support.models import make_model, observe, ready_pod

PROMPTS = ("Hello",)
GATE = Gate(prompts=PROMPTS)
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def gated_model(**gate: Any) -> GenAIModel:
    return make_model(rollout={"gate": {"prompts": list(PROMPTS), **gate}})


def old_pod(number: int = 1, **changes: Any) -> ObservedPod:
    return ready_pod(number, template="old", containers_ready=True, gated=True, measured="True", **changes)


def new_pod(number: int = 5, template: str = "new", **changes: Any) -> ObservedPod:
    """It has loaded the model and has no verdict yet."""
    return ready_pod(
        number, **{"ready": False, "template": template, "containers_ready": True, "gated": True, **changes}
    )


def judged(pod: PodVerdict, gate: Gate = GATE) -> dict[str, str]:
    """The fields of a pod with this verdict."""
    assert pod.message.endswith(gate_id(gate))
    return {"measured": "True" if pod.passed else "False", "measured_message": pod.message}


SLOWER = judge(GATE, Measured(310.0, 0.1), Measured(254.0, 0.1))


def test_a_new_pod_is_compared_with_a_ready_pod_of_the_old_template() -> None:
    old, new = old_pod(), new_pod()
    assert plan_gate(gated_model(), observe(old, new)) == GatePlan((), (old, new))


def test_one_new_pod_at_a_time() -> None:
    old, first, second = old_pod(), new_pod(5), new_pod(6)
    assert plan_gate(gated_model(), observe(old, first, second)).compare == (old, first)


def test_of_several_templates_the_oldest_is_the_measure() -> None:
    oldest, middle, new = old_pod(1), old_pod(2), new_pod(5)
    assert plan_gate(gated_model(), observe(new, middle, oldest)).compare == (oldest, new)


@pytest.mark.parametrize(
    "others",
    [
        (),
        (old_pod(ready=False),),
        (old_pod(deleting=True),),
        (new_pod(6, ready=True, measured="True"),),
        (old_pod(9),),  # made later: what is rolled back from
    ],
    ids=["the first pod", "old not ready", "old being deleted", "the same template", "a younger template"],
)
def test_without_an_older_pod_that_serves_there_is_nothing_to_compare(others: tuple[ObservedPod, ...]) -> None:
    new = new_pod()
    assert plan_gate(gated_model(), observe(new, *others)) == GatePlan((new,), None)


@pytest.mark.parametrize(
    "pod",
    [
        new_pod(containers_ready=False),
        new_pod(gated=False),
        new_pod(measured="True"),
        new_pod(**judged(SLOWER)),
        new_pod(deleting=True),
    ],
    ids=["still loading", "no gate", "let through", "held back", "being deleted"],
)
def test_pods_that_need_no_verdict(pod: ObservedPod) -> None:
    assert plan_gate(gated_model(), observe(old_pod(), pod)) == GatePlan()


def test_another_gate_judges_again() -> None:
    old, new = old_pod(), new_pod(**judged(SLOWER))
    assert plan_gate(gated_model(maxRegressionPercent=30), observe(old, new)).compare == (old, new)
    assert plan_gate(make_model(), observe(old, new)).let_through == (new,)


def test_a_loss_up_to_the_limit_passes() -> None:
    verdict = judge(GATE, Measured(100.0, 0.1), Measured(85.0, 0.1))
    assert (verdict.passed, verdict.reason) == (True, "Measured")
    assert not judge(GATE, Measured(100.0, 0.1), Measured(84.9, 0.1)).passed
    assert judge(GATE, Measured(100.0, 0.1), Measured(400.0, 0.1)).passed


@pytest.mark.parametrize(
    ("before", "now", "passed"),
    [(0.1, 0.117, True), (0.1, 0.13, False), (0.001, 0.02, True), (0.1, 0.05, True), (0.0, 0.0, True)],
    ids=["within the limit", "beyond it", "milliseconds are noise", "sooner", "not measured"],
)
def test_a_first_token_that_comes_later_is_a_regression(before: float, now: float, passed: bool) -> None:
    verdict = judge(GATE, Measured(100.0, before), Measured(100.0, now))
    assert verdict.passed is passed
    if not passed:
        assert verdict.message.startswith(
            "regression 23% (old 100 tok/s, new 100 tok/s; first token 100 to 130 ms; the limit is 15%)"
        )


def test_the_worse_of_both_is_told() -> None:
    said = judge(GATE, Measured(100.0, 0.1), Measured(20.0, 0.2)).message
    assert said.startswith("regression 80% (old 100 tok/s, new 20 tok/s; first token 100 to 200 ms; ")


def test_a_regression_names_the_operator_that_grew_most() -> None:
    old = Measured(310.0, 0.1, (("MatMulNBits", CUDA, 800.0), ("Add", CUDA, 10.0), ("Gather", CPU, 5.0)))
    new = Measured(254.0, 0.1, (("MatMulNBits", CPU, 1100.0), ("Add", CUDA, 40.0)))
    said = judge(GATE, old, new).message
    assert said.startswith(
        "regression 18% in MatMulNBits (old 310 tok/s, new 254 tok/s; MatMulNBits 800 to 1100 us a run"
    )


def test_a_regression_outside_the_operators_names_none() -> None:
    same = (("MatMul", CPU, 800.0),)
    said = judge(GATE, Measured(310.0, 0.1, same), Measured(254.0, 0.1, same)).message
    assert said.startswith("regression 18% (old 310 tok/s, new 254 tok/s; the limit is 15%)")


def test_a_pod_that_is_held_back_blocks_the_roll_out_and_the_old_ones_serve() -> None:
    model = gated_model()
    seen = observe(old_pod(), new_pod(**judged(SLOWER)))
    said = {each["type"]: each for each in summarise(model, seen)["conditions"]}
    progressing, ready = said["Progressing"], said["Ready"]
    assert (progressing["status"], progressing["reason"]) == ("False", "RolloutBlocked")
    assert progressing["message"].startswith(
        "regression 18% (old 310 tok/s, new 254 tok/s; the limit is 15%): pod hello-5 "
    )

    assert "raise rollout.gate.maxRegressionPercent" in progressing["message"]
    assert (said["Degraded"]["status"], said["Degraded"]["reason"]) == ("True", "RolloutBlocked")
    assert (ready["status"], said["WorkloadAvailable"]["status"]) == ("True", "True")


def test_no_verdict_blocks_nothing() -> None:
    passed = new_pod(**judged(no_comparison(GATE)))
    assert blocked(gated_model(), observe(old_pod(), passed)) == ""
    assert blocked(gated_model(), observe(old_pod(), new_pod())) == ""
    assert blocked(make_model(), observe(old_pod(), new_pod(**judged(SLOWER)))) == ""


def test_what_a_measurement_waits_for_is_told() -> None:
    seen = observe(old_pod(), new_pod(), gate="pod hello-5 is being measured against hello-1")
    said = {each["type"]: each for each in summarise(gated_model(), seen)["conditions"]}["Progressing"]
    assert (said["status"], said["reason"]) == ("True", "RollingOut")
    assert said["message"].endswith("; pod hello-5 is being measured against hello-1")


def test_only_a_gate_gives_pods_a_readiness_gate() -> None:
    settings: BuilderSettings = OperatorSettings()

    def pod(model: GenAIModel) -> dict[str, Any]:
        spec: dict[str, Any] = build_children(model, settings).deployment["spec"]["template"]["spec"]
        return spec

    assert pod(gated_model())["readinessGates"] == [{"conditionType": CONDITION_MEASURED}]
    assert "readinessGates" not in pod(make_model())
    # Another limit or other prompts must not replace pods.
    assert pod(gated_model()) == pod(gated_model(maxRegressionPercent=30, maxTokens=8))
