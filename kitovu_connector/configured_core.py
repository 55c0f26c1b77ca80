"""Chooses the API by which the connector calls the core: the connector's own backend API, or the backend API of
Mojaloop's SDK."""

from kitovu_connector.backend import HttpBackend
from kitovu_connector.config import Config
from kitovu_connector.reference_api.backend import ReferenceBackend


def core_of(config: Config) -> HttpBackend | ReferenceBackend:
    """Returns the core at `backend_url`. The caller must use the core as a context manager."""
    kind = ReferenceBackend if config.backend_api == "reference" else HttpBackend
    return kind(config.backend_url, timeout_s=config.request_s, connections=config.connections)
