"""`s3://` and `gs://`: the objects below a prefix. obstore, of the extra `fetch`, is known here alone."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from genai_runtime.authorities import have_authorities
from genai_runtime.errors import InvalidSettings
from genai_runtime.fetch.access import AUTHORITY, AWS_KEYS, GOOGLE_KEY, Access
from genai_runtime.fetch.errors import Passing, SourceChanged, not_found, unauthorized, unavailable
from genai_runtime.fetch.source import CHUNK_BYTES, Body, Listing, RemoteFile
from genai_runtime.fetch.uri import BucketPlace
from genai_runtime.models.limits import DEFAULT

if TYPE_CHECKING:
    from obstore.store import GCSStore, S3Store

_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_STATUS = re.compile(r"status(?: code)?:? ([1-5]\d\d)\b")
_UNAUTHORIZED = (
    "401",
    "403",
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
)
_MISSING = ("404", "NoSuchBucket", "NoSuchKey")
_ELSEWHERE = ("301", "307", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
_REMEDIES = {
    "s3": "put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, if they have one) of somebody who "
    "may s3:ListBucket and s3:GetObject there into spec.model.secretName",
    "gs": f"put a service account's key that has storage.objectViewer there into the key {GOOGLE_KEY} of "
    "spec.model.secretName",
}


class BucketSource:
    """See `Source`. Without credentials requests are not signed, and none are looked for elsewhere."""

    def __init__(self, place: BucketPlace, uri: str, access: Access) -> None:
        """Raises `InvalidSettings`."""
        from obstore.exceptions import BaseError

        self._place = place
        self._uri = uri
        self._prefix = f"{place.prefix}/" if place.prefix else ""
        have_authorities()
        make = _s3 if place.scheme == "s3" else _gs
        try:
            self._store = make(place.bucket, access, _client(access))
        except (BaseError, ValueError) as error:
            # Its words may repeat what it was given.
            keys = "the AWS_ keys" if place.scheme == "s3" else GOOGLE_KEY
            raise InvalidSettings(
                f"{uri} cannot be used with this endpoint, these credentials and this authority "
                f"({type(error).__name__}); correct spec.model.endpoint, {keys} or {AUTHORITY}"
            ) from None

    def listing(self) -> Listing:
        """All objects below the prefix; those that stand for folders are none."""
        import obstore

        try:
            pages = obstore.list(self._store, prefix=self._place.prefix or None)
            found = list(islice((each for page in pages for each in page), 4 * DEFAULT.files))
        except (obstore.exceptions.BaseError, OSError, ValueError) as error:
            raise self._told(error) from None
        files = tuple(
            RemoteFile(each["path"].removeprefix(self._prefix), each["size"], each["e_tag"] or "")
            for each in found
            if each["path"].startswith(self._prefix) and not each["path"].endswith("/")
        )
        if not files:
            raise not_found(
                f"{self._uri}: there are no objects below this prefix; correct the URI, or put the model there"
            )
        return Listing(_revision(files), files)

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[Body]:
        """See `Source`."""
        import obstore

        options: dict[str, Any] = {"range": {"offset": offset}} if offset else {}
        if file.version:
            options["if_match"] = file.version
        try:
            answer = obstore.get(self._store, self._prefix + file.name, options=options)  # type: ignore[arg-type]
            yield Body(offset, (bytes(chunk) for chunk in answer.stream(min_chunk_size=CHUNK_BYTES)))
        except (obstore.exceptions.BaseError, OSError) as error:
            raise self._told(error) from None

    def close(self) -> None:
        """See `Source`; the library keeps its own."""

    def _told(self, error: Exception) -> Exception:
        """The server's code and what helps; nothing else of its answer, which repeats the request's headers."""
        from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

        said = str(error)
        found = _CODE.search(said) or _STATUS.search(said)
        code = found[1] if found else ""
        if isinstance(error, PreconditionError):
            return SourceChanged("an object was replaced while it was fetched")
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or code in _UNAUTHORIZED:
            return unauthorized(
                f"{self._uri}: the server refuses ({code or 'no reason'}); {_REMEDIES[self._place.scheme]}"
            )
        if isinstance(error, FileNotFoundError) or code in _MISSING:
            return not_found(f"{self._uri}: there is no such bucket or object ({code or 404}); correct the URI")
        if code in _ELSEWHERE or "redirect without LOCATION" in said:
            return unavailable(f"{self._uri}: the bucket is in another region; set spec.model.region")
        if "certificate" in said.lower():
            return unavailable(
                f"{self._uri}: the server's certificate is not trusted; put its authority into the key {AUTHORITY} of "
                "the Secret"
            )
        return Passing(f"the server answers {code}" if code else "the server cannot be reached")


def _revision(files: tuple[RemoteFile, ...]) -> str:
    """Buckets have none: a hash of what all objects are now, where each has a version."""
    if not all(each.version for each in files):
        return ""
    named = sorted(f"{each.version} {each.name}\n" for each in files)
    return hashlib.sha256("".join(named).encode()).hexdigest()


def _client(access: Access) -> dict[str, Any]:
    """One try each: when to try again is decided in one place for all sources."""
    options: dict[str, Any] = {
        "allow_http": access.endpoint.startswith("http://"),
        "connect_timeout": "15s",
        "read_timeout": "60s",
        "timeout": "24h",  # of a whole object
    }
    if authority := access.secret(AUTHORITY):
        options["root_certificate"] = authority
    retry = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
    return {"client_options": options, "retry_config": retry}


def _s3(bucket: str, access: Access, client: dict[str, Any]) -> "S3Store":
    from obstore.store import S3Store

    key, secret, session = (access.secret(name) for name in AWS_KEYS)
    if bool(key) != bool(secret):
        missing = AWS_KEYS[1] if key else AWS_KEYS[0]
        raise InvalidSettings(f"the Secret lacks the key {missing}, but has its counterpart: put both there")
    options: dict[str, Any] = {"access_key_id": key, "secret_access_key": secret} if key else {"skip_signature": True}
    if key and session:
        options["session_token"] = session
    if access.endpoint:
        options["endpoint"] = access.endpoint
    return S3Store(bucket, region=access.region or "us-east-1", **options, **client)


def _gs(bucket: str, access: Access, client: dict[str, Any]) -> "GCSStore":
    from obstore.store import GCSStore

    account = access.secret(GOOGLE_KEY)
    options: dict[str, Any] = {"service_account_key": account} if account else {"skip_signature": True}
    if access.endpoint:
        options["base_url"] = access.endpoint
    return GCSStore(bucket, **options, **client)
