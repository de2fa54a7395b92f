"""The chart, rendered without a cluster: what each value does, what is refused, and what the operator may do."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from genai_operator.settings import OperatorSettings
from support.tools import helm_program

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "genai-operator"
Manifest = dict[str, Any]

EVERYTHING = (
    "replicas=2",
    "networkPolicy.enabled=true",
    "serviceMonitor.enabled=true",
    "podMonitor.enabled=true",
    "imagePullSecrets[0].name=registry",
    "runtime.imagePullSecrets[0]=registry",
    "priorityClassName=system-cluster-critical",
    "podLabels.team=inference",
    "autoscaling.keda=true",
    "models.podAnnotations[0]=sidecar.istio.io/*",
)
NAMESPACED = ("watchNamespaces={team-a,team-b}",)


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm_program(), *arguments], capture_output=True, text=True, check=False, timeout=60)


def settings(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def render(*values: str) -> list[Manifest]:
    done = helm("template", "genai-operator", str(CHART), "--namespace", "genai-system", *settings(*values))
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] == kind]


def operator_deployment(*values: str) -> Manifest:
    (found,) = of_kind(render(*values), "Deployment")
    return found


def operator_rules(manifests: list[Manifest]) -> list[Manifest]:
    roles = [each for each in manifests if each["kind"] in ("ClusterRole", "Role")]
    own = [each for each in roles if each["metadata"]["name"] in ("genai-operator", "genai-operator-leader")]
    assert own
    return [rule for role in own for rule in role["rules"]]


def pod_specs(manifests: list[Manifest]) -> list[Manifest]:
    templates = [each["spec"]["template"]["spec"] for each in of_kind(manifests, "Deployment")]
    return templates + [each["spec"] for each in of_kind(manifests, "Pod")]


@pytest.mark.parametrize("values", [(), EVERYTHING, NAMESPACED, ("crds.enabled=false", "rbac.create=false")])
def test_lints_without_a_warning(values: tuple[str, ...]) -> None:
    done = helm("lint", str(CHART), "--strict", *settings(*values))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("replica=2", "replica"),
        ("replicas=two", "replicas"),
        ("replicas=-1", "replicas"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("image.repository=UPPER CASE", "repository"),
        ("image.tag=", "tag"),
        ("runtime.image.digest=sha256:123", "digest"),
        ("watchNamespaces={Not_A_Name}", "watchNamespaces"),
        ("watchNamespaces={a,a}", "watchNamespaces"),
        ("crds.kep=true", "kep"),
        ("logLevel=verbose", "logLevel"),
        ("controlCA.validityDays=1", "validityDays"),
        ("serviceMonitor.interval=often", "interval"),
        ("networkPolicy.apiServerPorts={}", "apiServerPorts"),
        ("test.timeoutSeconds=0", "timeoutSeconds"),
        ("models.env={A B}", "env"),
        ("autoscaling.prometheusAddress=prometheus", "prometheusAddress"),
    ],
)
def test_a_wrong_value_is_refused_by_name(value: str, named: str) -> None:
    done = helm("template", "r", str(CHART), "--set", value)
    assert done.returncode != 0
    assert named in done.stderr


def test_every_default_is_in_the_schema_and_every_object_of_the_schema_is_closed() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
    with_properties = [each for each in _objects(schema) if "properties" in each and "type" in each]
    assert all(each["additionalProperties"] is False for each in with_properties)


def _objects(schema: Any) -> list[Manifest]:
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    found = [each for child in children for each in _objects(child)]
    return [*found, schema] if isinstance(schema, dict) else found


@pytest.mark.parametrize("plural", ["genaimodels", "genaiprofiles"])
def test_the_crds_of_the_chart_are_the_generated_ones(plural: str) -> None:
    generated = ROOT / "crds" / f"genai-operator.io_{plural}.yaml"
    assert (CHART / "crds-source" / f"{plural}.yaml").read_bytes() == generated.read_bytes()
    rendered = {each["spec"]["names"]["plural"]: each for each in of_kind(render(), "CustomResourceDefinition")}
    assert rendered[plural]["spec"] == yaml.safe_load(generated.read_text())["spec"]


def test_the_crds_outlive_the_release_unless_told_otherwise() -> None:
    policy = "helm.sh/resource-policy"
    for kind, count in (("CustomResourceDefinition", 2), ("Secret", 1)):
        kept = of_kind(render(), kind)
        assert [each["metadata"]["annotations"][policy] for each in kept] == ["keep"] * count
        gone = of_kind(render("crds.keep=false"), kind)
        assert not [each for each in gone if policy in each["metadata"].get("annotations", {})]
    assert not of_kind(render("crds.enabled=false"), "CustomResourceDefinition")


@pytest.mark.parametrize("values", [(), EVERYTHING, NAMESPACED])
def test_no_right_is_a_wildcard_and_secrets_can_only_be_written(values: tuple[str, ...]) -> None:
    rules = operator_rules(render(*values))
    assert not [rule for rule in rules if "*" in json.dumps(rule)]
    resources = {resource for rule in rules for resource in rule["resources"]}
    assert not resources & {"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "roles", "rolebindings"}
    assert {verb for rule in rules if "pods/status" in rule["resources"] for verb in rule["verbs"]} == {"patch"}
    on_secrets = {verb for rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]}
    assert on_secrets == {"create", "patch"}
    verbs = {verb for rule in rules for verb in rule["verbs"]}
    assert not verbs & {"escalate", "bind", "impersonate", "deletecollection"}


def test_named_namespaces_get_a_role_each_and_nothing_is_cluster_wide() -> None:
    manifests = render(*NAMESPACED)
    roles = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in of_kind(manifests, "Role")}
    assert {("team-a", "genai-operator"), ("team-b", "genai-operator")} <= roles
    assert not of_kind(manifests, "ClusterRoleBinding")
    assert "genai-operator" not in {each["metadata"]["name"] for each in of_kind(manifests, "ClusterRole")}
    # The test's model has to be where the operator looks.
    (test,) = of_kind(manifests, "Pod")
    assert test["metadata"]["namespace"] == "team-a"


@pytest.mark.parametrize("values", [(), EVERYTHING, NAMESPACED])
def test_every_pod_is_restricted_and_asks_for_memory(values: tuple[str, ...]) -> None:
    specs = pod_specs(render(*values))
    assert len(specs) == 2  # the operator and the test
    for spec in specs:
        assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]["memory"]
            assert container["resources"]["limits"]["memory"]
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume]


def test_only_the_operator_and_the_tests_first_step_have_a_token() -> None:
    manifests = render()
    assert all(each["automountServiceAccountToken"] is False for each in of_kind(manifests, "ServiceAccount"))
    (test,) = of_kind(manifests, "Pod")
    assert test["spec"]["automountServiceAccountToken"] is False
    (chat,) = test["spec"]["containers"]
    assert "volumeMounts" not in chat


def test_the_deployment_speaks_the_operators_settings() -> None:
    (container,) = operator_deployment(*EVERYTHING, *NAMESPACED)["spec"]["template"]["spec"]["containers"]
    names = {each["name"] for each in container["env"]}
    known = {f"GENAI_OPERATOR_{field}".upper() for field in OperatorSettings.model_fields}
    assert names <= known
    by_name = {each["name"]: each.get("value") for each in container["env"]}
    assert by_name["GENAI_OPERATOR_NAMESPACES"] == "team-a,team-b"
    assert by_name["GENAI_OPERATOR_IMAGE_PULL_SECRETS"] == "registry"
    assert by_name["GENAI_OPERATOR_AUTOSCALERS"] == "HPA,KEDA"
    assert by_name["GENAI_OPERATOR_POD_ANNOTATIONS"] == "sidecar.istio.io/*"


def test_what_the_chart_permits_is_what_the_operator_permits_by_itself() -> None:
    (container,) = operator_deployment()["spec"]["template"]["spec"]["containers"]
    by_name = {each["name"].removeprefix("GENAI_OPERATOR_").lower(): each.get("value") for each in container["env"]}
    own = OperatorSettings()
    for name in ("pod_labels", "pod_annotations", "env", "autoscalers"):
        assert tuple(filter(None, by_name[name].split(","))) == getattr(own, name)
    assert by_name["allow_pod_template"] == "false"


@pytest.mark.parametrize(
    ("value", "api", "want"), [("hpa", "autoscaling", True), ("keda", "keda.sh", True), ("hpa", "keda.sh", False)]
)
def test_rights_for_autoscalers_are_given_one_by_one(value: str, api: str, want: bool) -> None:
    others = {"hpa": "autoscaling.keda=false", "keda": "autoscaling.hpa=false"}
    rules = operator_rules(render(f"autoscaling.{value}=true", others[value]))
    assert (api in {group for rule in rules for group in rule["apiGroups"]}) == want


def test_the_lease_in_the_role_is_the_lease_in_the_settings() -> None:
    manifests = render("fullnameOverride=models")
    (deployment,) = of_kind(manifests, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    leases = [
        rule
        for role in of_kind(manifests, "Role")
        for rule in role["rules"]
        if rule["resources"] == ["leases"] and "resourceNames" in rule
    ]
    assert [rule["resourceNames"] for rule in leases] == [[environment["GENAI_OPERATOR_LEASE_NAME"]]]


def test_two_replicas_are_spread_and_protected() -> None:
    manifests = render("replicas=2")
    (budget,) = of_kind(manifests, "PodDisruptionBudget")
    (deployment,) = of_kind(manifests, "Deployment")
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    assert "podAntiAffinity" in deployment["spec"]["template"]["spec"]["affinity"]
    assert not of_kind(render(), "PodDisruptionBudget")


def test_the_tests_pod_is_not_behind_the_operators_service() -> None:
    manifests = render()
    (service,) = of_kind(manifests, "Service")
    (test,) = of_kind(manifests, "Pod")
    selector = service["spec"]["selector"].items()
    assert not selector <= test["metadata"]["labels"].items()
    (deployment,) = of_kind(manifests, "Deployment")
    assert selector <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_a_digest_wins_over_a_tag() -> None:
    digest = "sha256:" + "a" * 64
    (container,) = operator_deployment(f"image.digest={digest}")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"localhost/genai-operator@{digest}"


def test_images_by_provider_reach_the_operator() -> None:
    (container,) = operator_deployment("runtimeImages.cuda=r.example/cuda:1", "runtimeImages.openvino=r.example/ov:2")[
        "spec"
    ]["template"]["spec"]["containers"]
    (told,) = [each["value"] for each in container["env"] if each["name"] == "GENAI_OPERATOR_RUNTIME_IMAGES"]
    images = OperatorSettings(runtime_images=json.loads(told)).runtime_images
    assert images == {"cuda": "r.example/cuda:1", "openvino": "r.example/ov:2"}
    refused = helm("template", "genai-operator", str(CHART), *settings("runtimeImages.tpu=r.example/tpu:1"))
    assert refused.returncode != 0
    assert "tpu" in refused.stderr


def test_a_given_authority_is_used_and_none_is_made() -> None:
    manifests = render("controlCA.existingSecret=mine")
    assert not of_kind(manifests, "Secret")
    (deployment,) = of_kind(manifests, "Deployment")
    volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["control-ca"]["secret"]["secretName"] == "mine"


def test_people_get_roles_that_join_the_built_in_ones() -> None:
    roles = {each["metadata"]["name"]: each for each in of_kind(render(), "ClusterRole")}
    assert roles["genai-operator-view"]["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert roles["genai-operator-edit"]["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    seeing = {verb for rule in roles["genai-operator-view"]["rules"] for verb in rule["verbs"]}
    assert seeing == {"get", "list", "watch"}


def test_the_readme_of_the_chart_names_every_value() -> None:
    readme = (CHART / "README.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    missing = [name for name in _leaves(values) if f"`{name}`" not in readme]
    assert not missing


def _leaves(values: Manifest, prefix: str = "") -> list[str]:
    names = []
    for key, value in values.items():
        whole_section = prefix == "" and key == "resources"
        if isinstance(value, dict) and value and not whole_section:
            names += _leaves(value, f"{prefix}{key}.")
        else:
            names.append(f"{prefix}{key}")
    return names


def test_how_models_are_fetched_is_told_to_the_operator() -> None:
    values = ("models.imageVolumes=true", "models.proxy.https=http://proxy:3128", "models.proxy.except=.svc")
    container = operator_deployment(*values)["spec"]["template"]["spec"]["containers"][0]
    told = {each["name"].removeprefix("GENAI_OPERATOR_").lower(): each.get("value") for each in container["env"]}
    chosen = {name: told[name] for name in ("image_volumes", "http_proxy", "https_proxy", "no_proxy")}
    assert chosen == {"image_volumes": "true", "http_proxy": "", "https_proxy": "http://proxy:3128", "no_proxy": ".svc"}
    assert OperatorSettings.model_validate(chosen).image_volumes


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ((), "localhost/genai-builder:dev"),
        (("builder.image.repository=r.example/builder", "builder.image.tag=v1"), "r.example/builder:v1"),
        (("builder.image.repository=",), ""),
    ],
)
def test_the_builders_image_reaches_the_operator_or_there_is_none(values: tuple[str, ...], image: str) -> None:
    (container,) = operator_deployment(*values)["spec"]["template"]["spec"]["containers"]
    (told,) = [each["value"] for each in container["env"] if each["name"] == "GENAI_OPERATOR_BUILDER_IMAGE"]
    assert told == image
    assert OperatorSettings(builder_image=told).builder_image == image


def test_jobs_that_nobody_asks_for_any_more_may_be_deleted_and_their_pods_asked() -> None:
    manifests = render("networkPolicy.enabled=true")
    rules = operator_rules(manifests)
    (verbs,) = [set(rule["verbs"]) for rule in rules if "jobs" in rule["resources"]]
    assert verbs == {"get", "list", "watch", "create", "delete"}
    (policy,) = of_kind(manifests, "NetworkPolicy")
    peers = policy["spec"]["egress"][0]["to"]
    keys = {each["podSelector"]["matchExpressions"][0]["key"] for each in peers}
    assert keys == {"genai-operator.io/model", "genai-operator.io/build"}
