"""Whom a bucket's TLS certificate must be signed by, where the system knows no authority: the image has none.

The S3 library reads the system's authorities when a client is made, also for plain HTTP, and fails without any.
"""

import os
import ssl
from importlib.resources import files


def have_authorities() -> None:
    """Names gRPC's list of public authorities to the process, unless the system or SSL_CERT_FILE has one."""
    system = ssl.get_default_verify_paths()
    if system.cafile is None and system.capath is None:
        os.environ["SSL_CERT_FILE"] = str(files("grpc").joinpath("_cython", "_credentials", "roots.pem"))
