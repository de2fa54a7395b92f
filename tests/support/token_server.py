"""The server that a registry sends its clients to for tokens: signs what the registry believes, for those it knows."""

import base64
import json
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from support.file_server import Answer, FileServer

SERVICE, ISSUER, KEY_ID = "tests", "tests", "tests-key"


class TokenServer(FileServer):
    """`known`: the Basic credential that may pull from `repository`."""

    def __init__(self, repository: str, known: str) -> None:
        super().__init__()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._repository = repository
        self._known = f"Basic {known}"

    def answer(self, path: str, authorization: str) -> Answer:
        """See `FileServer`."""
        if path != "/token" or authorization != self._known:
            return Answer(status=401)
        return Answer(json.dumps({"token": self.sign(self._repository, "pull"), "expires_in": 3600}).encode())

    def configuration(self, folder: Path) -> dict[str, Any]:
        """The registry's, and the files that it names."""
        folder.mkdir(parents=True, exist_ok=True)
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID}
        key |= {"x": _encoded(numbers.x.to_bytes(32)), "y": _encoded(numbers.y.to_bytes(32))}
        (folder / "jwks.json").write_text(json.dumps({"keys": [key]}))
        return {
            "token": {
                "realm": f"{self.url}/token",
                "service": SERVICE,
                "issuer": ISSUER,
                "jwks": str(folder / "jwks.json"),
                "signingalgorithms": ["ES256"],
            }
        }

    def sign(self, repository: str, *actions: str) -> str:
        """For these actions on one repository."""
        now = int(time.time())
        head = {"typ": "JWT", "alg": "ES256", "kid": KEY_ID}
        claims: dict[str, Any] = {"iss": ISSUER, "sub": "tests", "aud": SERVICE, "jti": "1"}
        claims |= {"exp": now + 3600, "nbf": now - 3600, "iat": now}
        claims["access"] = [{"type": "repository", "name": repository, "actions": list(actions)}]
        signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(r.to_bytes(32) + s.to_bytes(32))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
