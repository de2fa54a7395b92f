"""URIs of sources, taken apart or refused."""

import pytest

from genai_runtime.errors import InvalidSettings
from genai_runtime.fetch.uri import (
    ArchivePlace,
    ArtifactPlace,
    BucketPlace,
    HubPlace,
    Place,
    parse_endpoint,
    parse_uri,
)

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("hf://org/repo", HubPlace("org/repo", "main", "")),
        ("hf://Org.1/re_po-2@refs/pr/3?path=cpu/int4", HubPlace("Org.1/re_po-2", "refs/pr/3", "cpu/int4")),
        ("s3://bucket/a/b", BucketPlace("s3", "bucket", "a/b")),
        ("gs://my_bucket/a", BucketPlace("gs", "my_bucket", "a")),
        ("https://host:8443/a/model-1.0.tar.gz", ArchivePlace("host:8443", "a/model-1.0.tar.gz", "tar")),
        ("https://host/m.zip", ArchivePlace("host", "m.zip", "zip")),
        ("oci://registry:5000/team/model", ArtifactPlace("registry:5000", "team/model", "latest")),
        ("oci://ghcr.io/team/model:v1.2", ArtifactPlace("ghcr.io", "team/model", "v1.2")),
        (f"oci://ghcr.io/team/model@{DIGEST}", ArtifactPlace("ghcr.io", "team/model", DIGEST)),
    ],
)
def test_forms(uri: str, place: Place) -> None:
    assert parse_uri(uri) == place


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "builtin://hello",
        "pvc://claim/a",
        "hf://repo",
        "hf://org/repo@",
        "hf://org/repo?path=../a",
        "hf://org/repo?path=/a",
        "s3://bucket/../a",
        "s3://bucket/.hidden",
        "https://user:password@host/m.zip",
        "https://host/m.zip?token=1",
        "https://host/m.7z",
        "http://host/m.zip",
        "oci://host/Upper",
        "oci://host/m@sha256:00",
        "file:///etc/passwd.zip",
        "hf://org/repo\n",
        "https://host/" + "a" * 600 + ".zip",
    ],
)
def test_what_is_no_source(uri: str) -> None:
    with pytest.raises(InvalidSettings, match="nothing that can be fetched"):
        parse_uri(uri)


def test_endpoints() -> None:
    assert parse_endpoint("") == ""
    assert parse_endpoint("http://minio:9000/") == "http://minio:9000"
    for wrong in (
        "minio",
        "ftp://minio",
        "https://",
        "http://user:hunter2@minio",
        "http://minio/?a=1",
        "http://a:99999",
    ):
        with pytest.raises(InvalidSettings) as caught:
            parse_endpoint(wrong)
        assert "hunter2" not in caught.value.message
