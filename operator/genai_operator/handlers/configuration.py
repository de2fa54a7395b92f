"""How kopf is set up, and its credentials. Nothing of ours is configured here: that is `settings.py`."""

import kopf
from kubernetes.aio.client.configuration import Configuration

from genai_operator.constants import GROUP, KOPF_PREFIX, LABEL_MODEL
from genai_operator.services.resync import WATCHED

# Bookmarks come every 60 s: a stream that is silent for longer is dead.
_INACTIVITY_SECONDS = 70.0
_SERVER_TIMEOUT_SECONDS = 300
_CLIENT_TIMEOUT_SECONDS = 310
_REQUEST_TIMEOUT_SECONDS = 30
_CONNECT_TIMEOUT_SECONDS = 10
_PAGE = 250


def build_kopf_settings() -> kopf.OperatorSettings:
    """kopf as the watch and nothing else: no peering, no Events, nothing written, no discovery of kinds."""
    settings = kopf.OperatorSettings()
    # Not used, as there are no stateful handlers; if one slips in, it must not touch the users' prefix.
    settings.persistence.finalizer = f"{KOPF_PREFIX}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=KOPF_PREFIX)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=KOPF_PREFIX)
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.inactivity_timeout = _INACTIVITY_SECONDS
    settings.watching.server_timeout = _SERVER_TIMEOUT_SECONDS
    settings.watching.client_timeout = _CLIENT_TIMEOUT_SECONDS
    settings.watching.connect_timeout = _CONNECT_TIMEOUT_SECONDS
    settings.watching.chunk_size = _PAGE
    settings.networking.request_timeout = _REQUEST_TIMEOUT_SECONDS
    settings.networking.connect_timeout = _CONNECT_TIMEOUT_SECONDS
    settings.queueing.idle_timeout = 1.0
    settings.process.ultimate_exiting_timeout = 10.0
    for resource in WATCHED:
        group, _, version = resource.api_version.rpartition("/")
        if group != GROUP:
            settings.watching.label_selectors[group, version, resource.plural] = LABEL_MODEL
    return settings


async def connection_info(configuration: Configuration) -> kopf.ConnectionInfo:
    """The same credentials that our own requests use; asked for again by kopf when the server refuses them."""
    scheme, token = None, None
    header = await configuration.get_api_key_with_prefix("BearerToken")
    if header:
        scheme, _, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme.capitalize() if scheme else None,
        token=token,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
