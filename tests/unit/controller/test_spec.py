"""The typed spec: what it reads, what it refuses, and that a refusal names the field and never shows a long value."""

from typing import Any

import pytest

from genai_operator.api.genaimodel import GenAIModel, ObjectMeta
from genai_operator.api.model_uri import BuiltinModel, ClaimModel, ConfigMapModel, RemoteModel, parse_model_uri
from genai_operator.api.quantity import parse_quantity
from genai_operator.api.session_spec import CONFIG_ENTRIES
from genai_operator.errors import InvalidModel
from genai_runtime.session_entries import SETTABLE
from support.models import make_model


def test_a_uri_is_all_that_a_spec_needs() -> None:
    spec = make_model().spec
    assert (spec.provider, spec.replicas, spec.threads.intra_op) == ("cpu", 1, "auto")
    assert spec.resources.requests == {"cpu": "100m", "memory": "256Mi"}


@pytest.mark.parametrize(
    ("uri", "want"),
    [
        ("builtin://hello", BuiltinModel("hello")),
        ("pvc://models/llama", ClaimModel("models", "llama")),
        ("pvc://my.models/a_b/int4.v1@2", ClaimModel("my.models", "a_b/int4.v1@2")),
        ("configmap://tiny.v1", ConfigMapModel("tiny.v1")),
        ("hf://org/name", RemoteModel("hf", "org/name")),
        ("hf://Org-1/Na_me.v2@refs/pr/1?path=cpu/int4", RemoteModel("hf", "Org-1/Na_me.v2@refs/pr/1?path=cpu/int4")),
        ("s3://bucket/a/b", RemoteModel("s3", "bucket/a/b")),
        ("gs://buc_ket/a", RemoteModel("gs", "buc_ket/a")),
        ("https://models.example:8443/a/b.tar.gz", RemoteModel("https", "models.example:8443/a/b.tar.gz")),
        ("oci://registry.example:5000/team/model", RemoteModel("oci", "registry.example:5000/team/model")),
        ("oci://r.example/m:v1.2", RemoteModel("oci", "r.example/m:v1.2")),
        ("oci://r.example/m@sha256:" + "0a" * 32, RemoteModel("oci", "r.example/m@sha256:" + "0a" * 32)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_uri_names_a_model(uri: str, want: object) -> None:
    assert parse_model_uri(uri) == want


BAD_URIS = {
    "nothing": "",
    "no scheme": "hello",
    "another scheme": "http://example.com/x",
    "no name": "builtin://",
    "upper case": "builtin://Hello",
    "a name that climbs": "builtin://../etc",
    "a claim alone": "pvc://models",
    "an empty path": "pvc://models/",
    "an empty segment": "pvc://models//x",
    "a path that climbs": "pvc://models/../x",
    "a hidden folder": "pvc://models/.git",
    "a claim that no claim is called": "pvc://a..b/x",
    "a blank": "pvc://models/a b",
    "a line break at the end": "builtin://hello\n",
    "a null byte": "builtin://hello\0",
    "an emoji": "builtin://🦙",
    "too long": "pvc://models/" + "a" * 600,
    "a hub's name alone": "hf://name",
    "a revision that climbs": "hf://org/name@../x",
    "a hidden folder of a hub": "hf://org/name?path=.git",
    "another question to a hub": "hf://org/name?token=x",
    "a bucket alone": "s3://bucket",
    "a prefix that climbs": "gs://bucket/../x",
    "a page": "https://models.example/index.html",
    "an archive at no place": "https://models.example/.tar",
    "an archive for a user": "https://me:secret@models.example/a.tar",
    "an archive without TLS": "http://models.example/a.tar",
    "an archive with a question": "https://models.example/a.tar?x=.tar",
    "an image in capitals": "oci://registry.example/Team/Model",
    "half a digest": "oci://registry.example/model@sha256:0a",
    "a file of a ConfigMap": "configmap://tiny/model.onnx",
}


@pytest.mark.parametrize("uri", BAD_URIS.values(), ids=BAD_URIS.keys())
def test_a_uri_without_a_form_is_refused(uri: str) -> None:
    with pytest.raises(InvalidModel, match=r"spec\.model\.uri") as refused:
        make_model(model={"uri": uri})
    assert refused.value.reason == "InvalidSpec"
    assert len(str(refused.value)) < 300


BAD_SPECS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({"autoscaling": {}}, "spec.autoscaling"),
    "credentials for what is there": (
        {"model": {"uri": "builtin://hello", "secretName": "keys"}},
        "are for sources that are fetched",
    ),
    "offline for what is there": ({"model": {"uri": "pvc://a/b", "offline": True}}, "are for sources that are fetched"),
    "a region of no bucket": ({"model": {"uri": "gs://bucket/a", "region": "us-east-1"}}, "model.region is for s3"),
    "an endpoint for a user": (
        {"model": {"uri": "hf://a/b", "endpoint": "https://me@b"}},
        "spec.model.endpoint",
    ),
    "offline without a cache": ({"model": {"uri": "hf://a/b", "offline": True}}, "model.offline needs model.cache"),
    "half a digest": ({"model": {"uri": "builtin://hello", "sha256": "0a"}}, "spec.model.sha256"),
    "a folder of half a byte": ({"model": {"uri": "hf://a/b", "maxBytes": "2000000.5"}}, "spec.model.maxBytes"),
    "an adapter outside its folder": ({"adapters": [{"name": "a", "path": "../b"}]}, "spec.adapters.0.path"),
    "two adapters of one name": (
        {"adapters": [{"name": "a", "path": "b"}, {"name": "a", "path": "c"}]},
        "adapters must differ in name",
    ),
    "an adapter of another engine": (
        {"adapters": [{"name": "a", "path": "b"}], "engine": {"mode": "single"}},
        "adapters need the engine batch",
    ),
    "threads beyond reason": ({"threads": {"intraOp": 1025}}, "spec.threads.intraOp"),
    "spinning as a truth": ({"threads": {"spinning": True}}, "spec.threads.spinning"),
    "threads of operators one after the other": ({"threads": {"interOp": 2}}, "threads.interOp needs"),
    "a plan of operators at the same time": (
        {"session": {"executionMode": "parallel", "memoryPattern": True}},
        "session.memoryPattern needs",
    ),
    "an entry that nothing reads": ({"session": {"configEntries": {"session.made_up": "1"}}}, "takes these keys"),
    "an entry of another kind": (
        {"session": {"configEntries": {"session.set_denormal_as_zero": "1\n"}}},
        "a value of session.configEntries must be",
    ),
    "threads as a truth": ({"threads": {"intraOp": True}}, "spec.threads.intraOp"),
    "a default above the limit": ({"generation": {"maxTokens": 2, "maxTokensLimit": 1}}, "maxTokensLimit"),
    "requests above limits": (
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "2G"}}},
        "spec.resources",
    ),
    "a quantity that is a truth": ({"resources": {"limits": {"cpu": True}}}, "spec.resources.limits.cpu"),
    "a toleration of any value": ({"tolerations": [{"operator": "Exists", "value": "x"}]}, "spec.tolerations"),
    "a toleration of any key": ({"tolerations": [{"value": "x"}]}, "without a key"),
    "a toleration that ends and never evicts": (
        {"tolerations": [{"key": "a", "tolerationSeconds": 5}]},
        "NoExecute",
    ),
    "a window of half a byte": (
        {"runtimeOptions": {"profilingLimits": {"maxBytes": "65536.5"}}},
        "spec.runtimeOptions.profilingLimits.maxBytes",
    ),
    "an option of another engine": ({"engine": {"mode": "single", "kvCache": "1Gi"}}, "engine.mode single has no"),
    "a batch on a GPU": ({"engine": {"mode": "batch"}, "provider": "cuda"}, "engine.mode batch needs"),
    "a KV cache as large as the pod": ({"engine": {"kvCache": "2Gi"}}, "less than resources.limits.memory"),
    "a KV cache of half a byte": ({"engine": {"kvCache": "1048576.5"}}, "spec.engine.kvCache"),
    "kept prefixes larger than what they are kept in": (
        {"engine": {"kvCache": "16Mi", "prefixCaching": {"maxBytes": "17Mi"}}},
        "must not exceed engine.kvCache",
    ),
    "a size of nothing": (
        {"engine": {"prefixCaching": {"enabled": False, "maxBytes": "1Mi"}}},
        "spec.engine.prefixCaching",
    ),
    "a Secret with a name that none has": ({"server": {"tls": {"secretName": "../x"}}}, "spec.server.tls.secretName"),
    "a client authority without a certificate": (
        {"server": {"tls": {"clientCASecretName": "clients"}}},
        "spec.server.tls.secretName",
    ),
    "a label that is a word for on": ({"runtimeOptions": {"enableProfiling": "on"}}, "spec.runtimeOptions"),
}


@pytest.mark.parametrize(("spec", "named"), BAD_SPECS.values(), ids=BAD_SPECS.keys())
def test_a_bad_spec_names_its_field(spec: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidModel) as refused:
        make_model(**spec)
    assert named in str(refused.value)


def test_a_name_that_no_service_can_have_is_refused() -> None:
    body = {"metadata": {"name": "x" * 53, "namespace": "a"}, "spec": {"model": {"uri": "builtin://hello"}}}
    with pytest.raises(InvalidModel, match=r"metadata\.name"):
        GenAIModel.from_body(body)


def test_many_problems_are_told_in_a_bounded_message() -> None:
    with pytest.raises(InvalidModel, match="and 95 more") as refused:
        make_model(**dict.fromkeys([f"field{number}" for number in range(100)]))
    assert len(str(refused.value)) < 1000


def test_metadata_can_be_read_of_an_object_whose_spec_is_nonsense() -> None:
    metadata = ObjectMeta.from_body({"metadata": {"name": "x", "namespace": "y", "annotations": None}, "spec": 5})
    assert metadata.key == "y/x"


@pytest.mark.parametrize(
    ("text", "want"),
    [("100m", "0.1"), ("2", "2"), ("1.5", "1.5"), ("64Mi", str(64 * 1024**2)), ("1e3", "1000"), ("1E", str(10**18))],
)
def test_a_quantity_has_a_value(text: str, want: str) -> None:
    assert str(parse_quantity(text).normalize().to_eng_string()) == str(
        parse_quantity(want).normalize().to_eng_string()
    )


@pytest.mark.parametrize("text", ["", "-1", "1 Gi", "Gi", "1KB", "1" * 40, "1\n", "١"])
def test_other_texts_are_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


def test_the_runtime_takes_the_same_session_entries() -> None:
    assert CONFIG_ENTRIES == SETTABLE
