"""The parts of the local cluster that need no cluster: keys of the cache, Go's version, certificates, processes, the
choice of a cluster."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from localkube import binaries, node, packages, pause_image, pki, places, process, toolchain
from localkube.cluster import Cluster
from localkube.errors import LocalKubeError
from localkube.local import tags


def test_a_changed_source_changes_the_key(tmp_path: Path) -> None:
    copy = tmp_path / "go"
    shutil.copytree(binaries.SOURCES, copy)
    before = binaries.key(binaries.LOCALKUBE, copy)
    assert before == binaries.key(binaries.LOCALKUBE)
    (copy / "main.go").write_text("package main")
    assert binaries.key(binaries.LOCALKUBE, copy) != before


def test_a_program_by_version_does_not_depend_on_our_sources(tmp_path: Path) -> None:
    assert binaries.key(binaries.HELM, tmp_path) == binaries.key(binaries.HELM)
    assert len({binaries.key(program) for program in binaries.LOCAL}) == len(binaries.LOCAL)


def test_every_staging_module_has_the_version_that_is_stamped() -> None:
    lines = (binaries.SOURCES / "go.mod").read_text().splitlines()
    replaced = [line.split()[-1] for line in lines if line.strip().startswith("k8s.io/") and "=>" in line]
    assert len(replaced) > 20
    assert {version.replace("v0.", "v1.") for version in replaced} == {binaries.KUBERNETES}


def test_the_cache_is_where_the_variables_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("GENAI_DEV_CACHE", raising=False)
    assert places.cache_dir() == tmp_path / "genai-operator"
    monkeypatch.setenv("GENAI_DEV_CACHE", str(tmp_path / "own"))
    assert places.cache_dir() == tmp_path / "own"
    assert binaries.folder().is_relative_to(tmp_path / "own")


@pytest.mark.parametrize(
    ("said", "parsed"),
    [("go1.26.8", (1, 26)), ("go1.27rc1", (1, 27)), ("go1.9", (1, 9)), ("devel +abc", (0, 0)), ("", (0, 0))],
)
def test_go_versions(said: str, parsed: tuple[int, int]) -> None:
    assert toolchain.parse(said) == parsed


def test_missing_packages_are_named_once() -> None:
    wanted = {"sh": "dash", "no-such-program": "b", "/no/such/file": "a", "another-one-missing": "b"}
    assert packages.missing(wanted) == ["a", "b"]


def test_certificates_are_signed_and_name_the_api_servers_addresses(tmp_path: Path) -> None:
    pki.create(tmp_path)
    authority = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    for identity in pki.IDENTITIES:
        x509.load_pem_x509_certificate((tmp_path / f"{identity.file}.crt").read_bytes()).verify_directly_issued_by(
            authority
        )
    server = x509.load_pem_x509_certificate((tmp_path / "apiserver.crt").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(one) for one in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", places.NODE_ADDRESS, places.FIRST_SERVICE_ADDRESS}
    assert isinstance(server.public_key(), ec.EllipticCurvePublicKey)
    admin = x509.load_pem_x509_certificate((tmp_path / "admin.crt").read_bytes())
    groups = admin.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [group.value for group in groups] == ["system:masters"]
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_a_kubeconfig_needs_no_other_file(tmp_path: Path) -> None:
    pki.create(tmp_path)
    text = pki.kubeconfig(tmp_path, "admin")
    assert json.loads(text)["clusters"][0]["cluster"]["server"] == places.API_URL
    assert str(tmp_path) not in text


def test_the_pause_image_is_reproducible_and_tagged(tmp_path: Path) -> None:
    for name in ("one.tar", "two.tar"):
        pause_image.write(Path("/bin/true"), tmp_path / name, "localhost/pause:1")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert tags(tmp_path / "one.tar") == ["localhost/pause:1"]


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("no archive")
    with pytest.raises(LocalKubeError, match="is not a docker-archive"):
        tags(tmp_path / "x.tar")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as running:
        yield running
        running.kill()


def test_a_process_is_ended_only_when_it_is_the_one_recorded(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    recorded = process.Process.of(sleeper.pid)
    another = process.Process(sleeper.pid, recorded.started - 1, recorded.boot)
    before_reboot = process.Process(sleeper.pid, recorded.started, "another boot")
    assert recorded.alive()
    for stranger in (another, before_reboot):
        assert not stranger.alive()
        stranger.send(signal.SIGKILL)
    assert sleeper.poll() is None
    process.save(tmp_path / "processes.json", {"sleeper": recorded})
    process.load(tmp_path / "processes.json")["sleeper"].send(signal.SIGKILL)
    assert recorded.wait_gone(30)


def test_half_written_records_are_no_records(tmp_path: Path) -> None:
    (tmp_path / "processes.json").write_text('{"etcd": {"pid": 1')
    assert process.load(tmp_path / "processes.json") == {}
    assert process.load(tmp_path / "absent.json") == {}


def test_a_process_that_only_resembles_a_node_is_not_one(sleeper: subprocess.Popen[bytes]) -> None:
    assert sleeper.pid not in node.first_processes()
    assert os.getpid() not in node.first_processes()


def test_an_unknown_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "minikube")
    with pytest.raises(LocalKubeError, match="is not one of auto, current, kind, local"):
        Cluster.select()


def test_your_own_cluster_is_only_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLUSTER", "current")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    cluster = Cluster.select()
    with pytest.raises(LocalKubeError, match="no kubeconfig at"):
        cluster.up()
    with pytest.raises(LocalKubeError, match="not stopped from here"):
        cluster.down()
    with pytest.raises(LocalKubeError, match="push the image to a registry"):
        cluster.load_image(tmp_path / "x.tar")
