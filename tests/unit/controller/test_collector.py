"""The collector's Job and certificate: what they hold, and that they reach nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from genai_operator.api.genaimodel import GenAIModel
from genai_operator.api.genaiprofile import GenAIProfile
from genai_operator.builders.collector import TraceSource, collector_job, collector_secret
from genai_operator.services.certificates import ControlAuthority
from genai_operator.settings import OperatorSettings
from support.control_ca import make_ca

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CA = make_ca()
SERVER = "hello.team.control.genai-operator.io"
S3 = {"uri": "s3://traces/a", "endpoint": "http://minio:9000", "region": "eu-1", "secretName": "keys"}


def job(output: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "slow", "namespace": "team", "uid": "u-1"}
    profile = GenAIProfile.from_body({"metadata": metadata, "spec": {"model": "hello", "output": output}})
    model = GenAIModel.from_body(
        {
            "metadata": {"name": "hello", "namespace": "team"},
            "spec": {"model": {"uri": "builtin://hello"}, "imagePullSecrets": [{"name": "registry"}]},
        }
    )
    sources = [TraceSource("hello-1", "10.0.0.1:9443", "slow-1"), TraceSource("hello-2", "[fd00::1]:9443", "slow-2")]
    return collector_job(profile, model, sources, SERVER, OperatorSettings(runtime_image="runtime:1"))


def pod(output: dict[str, Any]) -> dict[str, Any]:
    return dict(job(output)["spec"]["template"]["spec"])


def test_into_a_claim() -> None:
    made = pod({"type": "PersistentVolumeClaim", "persistentVolumeClaim": {"claimName": "traces", "path": "a/b"}})
    (container,) = made["containers"]
    assert container["args"] == [
        *("collect", "--profile", "slow", "--tls-dir", "/etc/genai/collector-tls", "--server-name", SERVER),
        *("--output", "file:///output/a/b"),
        *("--pod", "hello-1=10.0.0.1:9443=slow-1", "--pod", "hello-2=[fd00::1]:9443=slow-2"),
    ]
    assert {"name": "output", "persistentVolumeClaim": {"claimName": "traces"}} in made["volumes"]
    assert container["env"] == []


def test_into_a_bucket() -> None:
    made = pod({"type": "S3", "s3": S3})
    (container,) = made["containers"]
    arguments = container["args"]
    for flag, value in (("--output", "s3://traces/a"), ("--endpoint", "http://minio:9000"), ("--region", "eu-1")):
        assert arguments[arguments.index(flag) + 1] == value
    keys = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container["env"]}
    assert {name: ref["name"] for name, ref in keys.items()} == dict.fromkeys(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "keys"
    )
    assert "optional" not in keys["AWS_ACCESS_KEY_ID"]
    assert not [volume for volume in made["volumes"] if "persistentVolumeClaim" in volume]


def test_it_may_nothing() -> None:
    body = job({"type": "S3", "s3": {"uri": "s3://traces/a"}})
    made = body["spec"]["template"]["spec"]
    (container,) = made["containers"]
    assert made["automountServiceAccountToken"] is False
    assert made["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"]["memory"]
    assert (container["image"], made["imagePullSecrets"]) == ("runtime:1", [{"name": "registry"}])
    assert container["env"] == []
    assert body["spec"]["activeDeadlineSeconds"] > 0
    # It is no pod of the model: no Service, budget or watch of ours must take it for one.
    assert "genai-operator.io/model" not in body["spec"]["template"]["metadata"]["labels"]
    assert body["metadata"]["ownerReferences"][0]["kind"] == "GenAIProfile"


def authority(now: datetime = NOON) -> ControlAuthority:
    return ControlAuthority(*CA, clock=lambda: now)


def test_its_certificate_is_the_same_for_a_day_short_lived_and_no_servers() -> None:
    made = authority().collector_certificate(SERVER, "u-1")
    assert made == authority(NOON + timedelta(hours=11)).collector_certificate(SERVER, "u-1")
    assert made.certificate != authority(NOON + timedelta(days=1)).collector_certificate(SERVER, "u-1").certificate
    assert made.key != authority().collector_certificate(SERVER, "u-2").key
    certificate = x509.load_pem_x509_certificate(made.certificate)
    certificate.verify_directly_issued_by(CA[0])
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "genai-collector"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"collector.{SERVER}"]
    assert certificate.not_valid_after_utc - NOON < timedelta(days=2)


def test_the_secret_belongs_to_the_profile() -> None:
    metadata = {"name": "slow", "namespace": "team", "uid": "u-1"}
    profile = GenAIProfile.from_body({"metadata": metadata, "spec": {"model": "hello"}})
    secret = collector_secret(profile, {"tls.crt": "YQ=="})
    assert (secret["metadata"]["name"], secret["type"]) == ("slow-collector-tls", "kubernetes.io/tls")
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "u-1"
