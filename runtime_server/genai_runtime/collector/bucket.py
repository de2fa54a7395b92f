"""Files into a bucket of S3, or of a server that speaks its protocol.

obstore, of the extra `collector`, is known here alone.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from genai_runtime.authorities import have_authorities
from genai_runtime.collector.errors import CollectionFailed

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_STATUS = re.compile(r"status code: ([1-5]\d\d)\b")
_REDIRECT = "redirect without LOCATION"
_REMEDIES = {
    "NoSuchBucket": "there is no such bucket: make it, or correct the URL",
    "AccessDenied": "the credentials may not write there: allow s3:PutObject on this key",
    "InvalidAccessKeyId": "the server does not know AWS_ACCESS_KEY_ID: correct the Secret",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID: correct the Secret",
    "ExpiredToken": "AWS_SESSION_TOKEN has expired: put a new one into the Secret",
    "InvalidToken": "AWS_SESSION_TOKEN is not valid: put a new one into the Secret",
    "PermanentRedirect": "the bucket is in another region: give its region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: give its region",
    "401": "the server wants credentials: give a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "403": "the credentials may not write there: allow s3:PutObject on this key",
    "404": "there is no such bucket: make it, or correct the URL",
}


class BucketOutput:
    """A prefix in a bucket. Without credentials in the environment requests are not signed, and none are looked for."""

    def __init__(self, bucket: str, prefix: str, endpoint: str, region: str, environment: Mapping[str, str]) -> None:
        """Raises `CollectionFailed`."""
        try:
            from obstore.exceptions import BaseError
            from obstore.store import S3Store
        except ImportError as error:
            raise CollectionFailed("writing to S3 needs obstore: install genai-operator[runtime,collector]") from error
        key, secret, token = (environment.get(name, "") for name in _KEYS)
        if bool(key) != bool(secret):
            missing = _KEYS[1] if key else _KEYS[0]
            raise CollectionFailed(f"{missing} is not set, but its counterpart is: put both into the Secret")
        self._bucket = bucket
        self._prefix = "" if prefix == "." else f"{prefix}/"
        self._endpoint = endpoint
        credentials: dict[str, Any] = (
            {"access_key_id": key, "secret_access_key": secret} if key else {"skip_signature": True}
        )
        if key and token:
            credentials["session_token"] = token
        if endpoint:
            credentials["endpoint"] = endpoint
        have_authorities()
        try:
            self._store = S3Store(
                bucket,
                region=region or "us-east-1",
                client_options={
                    "allow_http": endpoint.startswith("http://"),
                    "connect_timeout": "5s",
                    "timeout": "120s",
                },
                retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=60)},
                **credentials,
            )
        except BaseError as error:
            said = str(error).partition("\n")[0]
            raise CollectionFailed(f"s3://{bucket} cannot be used: {said}; check the endpoint") from None

    def write(self, source: Path, name: str, content_type: str) -> str:
        """See `Output`; an object is replaced whole."""
        import obstore

        key = self._prefix + name
        try:
            obstore.put(self._store, key, source, attributes={"Content-Type": content_type})
        except (obstore.exceptions.BaseError, OSError) as error:
            raise CollectionFailed(self._told(key, str(error))) from None  # the cause holds what was signed
        return f"s3://{self._bucket}/{key}"

    def _told(self, key: str, said: str) -> str:
        """The server's code with what helps; nothing else of its answer, which repeats the request's headers."""
        where = f"s3://{self._bucket}/{key}" + (f" at {self._endpoint}" if self._endpoint else "")
        if _REDIRECT in said:
            return f"{where} cannot be written: {_REMEDIES['PermanentRedirect']}"
        found = _CODE.search(said) or _STATUS.search(said)
        if found is None:
            return f"{where} cannot be written: the server does not answer; check the endpoint and the network policies"
        if found[1] in _REMEDIES:
            return f"{where} cannot be written ({found[1]}): {_REMEDIES[found[1]]}"
        return f"{where} cannot be written: the server answers {found[1]}"
