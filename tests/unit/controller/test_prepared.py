"""What is kept between passes follows every change of its input, and is bounded."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genai_operator.errors import InvalidModel
from genai_operator.services.certificates import PERIOD, ControlAuthority
from genai_operator.services.prepared import Preparer
from genai_operator.settings import OperatorSettings
from support.control_ca import make_ca

Object = dict[str, Any]
CA = make_ca()
KEY = "team/hello"


def body(version: int = 1, generation: int = 1, **rest: Any) -> Object:
    metadata = {
        "name": "hello",
        "namespace": "team",
        "uid": "uid-1",
        "generation": generation,
        "resourceVersion": str(version),
        "annotations": {},
        **rest.pop("metadata", {}),
    }
    return {"metadata": metadata, "spec": {"model": {"uri": "builtin://hello"}, **rest.pop("spec", {})}, **rest}


def make(now: datetime = datetime(2026, 11, 21, tzinfo=UTC)) -> Preparer:
    return Preparer(ControlAuthority(*CA, clock=lambda: now), OperatorSettings())


def test_a_new_version_without_a_new_spec_is_not_built_again_and_has_its_own_status() -> None:
    preparer = make()
    first = preparer.prepare(KEY, body(1, status={"replicas": 1}))
    second = preparer.prepare(KEY, body(2, status={"replicas": 2}))
    assert second.wanted is first.wanted
    assert (first.model.status, second.model.status) == ({"replicas": 1}, {"replicas": 2})
    assert second.model.spec is first.model.spec


@pytest.mark.parametrize(
    "changed",
    [
        body(2, 2, spec={"replicas": 7}),
        body(2, metadata={"uid": "uid-2"}),
        body(2, metadata={"annotations": {"genai-operator.io/enable-profiling": "1"}}),
    ],
    ids=["spec", "another model of the same name", "annotations"],
)
def test_a_change_is_seen(changed: Object) -> None:
    preparer = make()
    before = preparer.prepare(KEY, body())
    after = preparer.prepare(KEY, changed)
    fresh = make().prepare(KEY, changed)
    assert after.wanted is not before.wanted
    assert (after.model, after.wanted) == (fresh.model, fresh.wanted)


def test_a_new_period_makes_a_new_certificate() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    preparer = Preparer(ControlAuthority(*CA, clock=lambda: now), OperatorSettings())
    before = preparer.prepare(KEY, body())
    now += PERIOD + timedelta(seconds=1)
    after = preparer.prepare(KEY, body())
    differing = {new.id.kind for new, old in zip(after.wanted, before.wanted, strict=True) if new.digest != old.digest}
    assert differing == {"Secret"}


def test_an_unusable_spec_is_refused_every_time_and_the_last_good_one_is_not_taken_for_it() -> None:
    preparer = make()
    preparer.prepare(KEY, body())
    for _ in range(2):
        with pytest.raises(InvalidModel):
            preparer.prepare(KEY, body(2, 2, spec={"replicas": "many"}))


def test_few_models_are_kept() -> None:
    preparer = make()
    names = [f"hello-{number}" for number in range(100)]
    for name in names:
        preparer.prepare(f"team/{name}", body(metadata={"name": name, "uid": name}))
    assert len(preparer._kept) == 32
    preparer.forget("team/hello-99")
    assert "team/hello-99" not in preparer._kept
