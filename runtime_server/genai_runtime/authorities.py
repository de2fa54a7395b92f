"""Whom a server's TLS certificate must be signed by, where the system knows no authority: the image has none.

The S3 library reads the system's authorities when a client is made, also for plain HTTP, and fails without any.
"""

import os
import ssl
from importlib.resources import files
from pathlib import Path


def have_authorities() -> None:
    """Names gRPC's list of public authorities to the process, unless the system or SSL_CERT_FILE has one."""
    public = public_authorities()
    if public is not None:
        os.environ["SSL_CERT_FILE"] = public


def public_authorities() -> str | None:
    """gRPC's list, a file; None where the system or SSL_CERT_FILE has one, which counts then."""
    return None if _system_has_some() else str(files("grpc").joinpath("_cython", "_credentials", "roots.pem"))


def _system_has_some() -> bool:
    """A file of authorities, or a folder that is not empty: a slim image has the folder alone."""
    system = ssl.get_default_verify_paths()
    return system.cafile is not None or (system.capath is not None and any(Path(system.capath).iterdir()))
