"""How kopf is set up, and its credentials. Nothing of ours is configured here: that is `settings.py`."""

import kopf
from kopf._cogs.structs.bodies import RawBody
from kopf._cogs.structs.ephemera import AnyMemo
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory
from kubernetes.aio.client.configuration import Configuration

from genai_operator.constants import KOPF_PREFIX
from genai_operator.handlers.storage import NoDiffBase, NoProgress
from genai_operator.services.resync import WATCHED

# Bookmarks come every 60 s: a stream that is silent for longer is dead.
_INACTIVITY_SECONDS = 70.0
_SERVER_TIMEOUT_SECONDS = 300
_CLIENT_TIMEOUT_SECONDS = 310
_REQUEST_TIMEOUT_SECONDS = 30
_CONNECT_TIMEOUT_SECONDS = 10
_PAGE = 250
_KOPF_WORKERS = 64


def build_kopf_settings() -> kopf.OperatorSettings:
    """kopf as the watch and nothing else: no peering, no Events, nothing written, no discovery of kinds."""
    settings = kopf.OperatorSettings()
    # Not used, as there are no stateful handlers; if one slips in, it must not touch the users' prefix.
    settings.persistence.finalizer = f"{KOPF_PREFIX}/finalizer"
    settings.persistence.progress_storage = NoProgress()
    settings.persistence.diffbase_storage = NoDiffBase()
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
    # Workers per object are short-lived: our handlers only put keys on a queue.
    settings.queueing.idle_timeout = 0.1
    settings.queueing.worker_limit = _KOPF_WORKERS
    settings.process.ultimate_exiting_timeout = 10.0
    for resource, label in WATCHED.items():
        group, _, version = resource.api_version.rpartition("/")
        if label:
            settings.watching.label_selectors[group, version, resource.plural] = label
    return settings


class NoMemories(ResourceMemories):
    """kopf without its notes about every object it saw: only stateful handlers read them, and there are none.

    At a thousand models, which are five thousand watched objects, they would be a tenth of the process.
    """

    async def recall(
        self,
        raw_body: RawBody,
        *,
        noticed_by_listing: bool = False,
        memobase: AnyMemo | None = None,
        ephemeral: bool = False,
    ) -> ResourceMemory:
        """Fresh notes for this one event."""
        del ephemeral  # always
        return await super().recall(raw_body, noticed_by_listing=noticed_by_listing, memobase=memobase, ephemeral=True)


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
