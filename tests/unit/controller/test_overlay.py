"""What spec.podTemplate may add to a pod, and that it can change and remove nothing."""

from typing import Any

import pytest

from genai_operator.builders import build_children
from genai_operator.errors import InvalidModel
from genai_operator.settings import OperatorSettings
from support.models import make_model

Object = dict[str, Any]
SETTINGS = OperatorSettings(allow_pod_template=True)


def template(overlay: Object | None = None) -> Object:
    more = {} if overlay is None else {"podTemplate": overlay}
    made: Object = build_children(make_model(**more), SETTINGS).deployment["spec"]["template"]
    return made


def container(pod: Object) -> Object:
    return dict(pod["spec"]["containers"][0])


def test_it_adds_at_every_depth() -> None:
    sidecar = {"name": "sidecar", "image": "sidecar:1"}
    overlay = {
        "metadata": {"labels": {"team": "a"}, "annotations": {"b": "c"}},
        "spec": {
            "dnsPolicy": "Default",
            "volumes": [{"name": "more", "emptyDir": {}}],
            "containers": [
                {
                    "name": "model",
                    "env": [{"name": "MINE", "value": "1"}],
                    "volumeMounts": [{"name": "more", "mountPath": "/more"}],
                },
                sidecar,
            ],
        },
    }
    before, after = template(), template(overlay)
    assert after["metadata"]["labels"] == {**before["metadata"]["labels"], "team": "a"}
    assert after["metadata"]["annotations"] == {"b": "c"}
    assert after["spec"]["dnsPolicy"] == "Default"
    assert after["spec"]["volumes"] == [*before["spec"]["volumes"], {"name": "more", "emptyDir": {}}]
    assert after["spec"]["containers"][1:] == [sidecar]
    ours = container(after)
    assert ours["env"] == [*container(before)["env"], {"name": "MINE", "value": "1"}]
    assert ours["volumeMounts"][-1] == {"name": "more", "mountPath": "/more"}
    changed = {name for name in ours if ours[name] != container(before)[name]}
    assert changed == {"env", "volumeMounts"}


def test_an_overlay_of_nothing_changes_nothing() -> None:
    assert template({}) == template({"spec": {}}) == template({"metadata": {}}) == template()


def test_what_is_said_again_is_no_change() -> None:
    assert template({"spec": {"enableServiceLinks": False}}) == template()


def own(**fields: Any) -> Object:
    return {"spec": {"containers": [{"name": "model", **fields}]}}


REFUSED: dict[str, tuple[Object, str]] = {
    "another image": (own(image="other:1"), "spec.containers[model].image"),
    "a command": (own(command=["sh"]), "spec.containers[model].command"),
    "arguments": (own(args=["serve", "/etc"]), "spec.containers[model].args"),
    "a probe": (own(livenessProbe={"exec": {"command": ["true"]}}), "spec.containers[model].livenessProbe"),
    "privileges": (own(securityContext={"privileged": True}), "spec.containers[model].securityContext"),
    "other resources": (own(resources={"limits": {"cpu": "9"}}), "spec.containers[model].resources"),
    "variables from elsewhere": (own(envFrom=[{"secretRef": {"name": "a"}}]), "spec.containers[model].envFrom"),
    "the operator's variable": (own(env=[{"name": "GENAI_SETTINGS", "value": "{}"}]), "env[GENAI_SETTINGS]"),
    "another of the operator's": (own(env=[{"name": "GENAI_HOST", "value": "::"}]), "env[GENAI_HOST]"),
    "another volume at our place": (
        own(volumeMounts=[{"name": "tmp", "mountPath": "/run/genai"}]),
        "spec.containers[model].volumeMounts[/run/genai]",
    ),
    "a volume of ours made another": (
        {"spec": {"volumes": [{"name": "tmp", "hostPath": {"path": "/"}}]}},
        "spec.volumes[tmp]",
    ),
    "the node's network": ({"spec": {"hostNetwork": True}}, "spec.hostNetwork"),
    "another user": ({"spec": {"securityContext": {"runAsUser": 0}}}, "spec.securityContext"),
    "a token": ({"spec": {"automountServiceAccountToken": True}}, "spec.automountServiceAccountToken"),
    "a shorter grace": ({"spec": {"terminationGracePeriodSeconds": 1}}, "spec.terminationGracePeriodSeconds"),
    "the label that selects pods": (
        {"metadata": {"labels": {"genai-operator.io/model": "other"}}},
        "metadata.labels.genai-operator.io/model",
    ),
    "another name": ({"metadata": {"name": "other"}}, "metadata.name"),
    "a removal": ({"spec": {"dnsConfig": None}}, "spec.dnsConfig"),
    "a container without a name": ({"spec": {"containers": [{"image": "a"}]}}, "spec.containers"),
    "containers that are none": ({"spec": {"containers": "model"}}, "spec.containers"),
    "something beside a template": ({"status": {}}, "status"),
}


@pytest.mark.parametrize(("overlay", "path"), REFUSED.values(), ids=REFUSED.keys())
def test_what_would_change_the_server_is_refused_by_its_path(overlay: Object, path: str) -> None:
    with pytest.raises(InvalidModel) as refused:
        template(overlay)
    assert refused.value.reason == "InvalidSpec"
    assert str(refused.value).startswith("spec.podTemplate.")
    assert path in str(refused.value)


def test_without_leave_none_is_used() -> None:
    with pytest.raises(InvalidModel, match=r"models\.allowPodTemplate"):
        build_children(make_model(podTemplate={}), OperatorSettings())
