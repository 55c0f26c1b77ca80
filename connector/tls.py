"""TLS in both directions: the trusted authorities, and the connector's own certificates."""

import ssl
from collections.abc import Mapping
from typing import Any

from connector.config import Config


def outward(config: Config) -> ssl.SSLContext | bool:
    """For requests to the hub, with the connector's client certificate if it has one."""
    if not (config.hub_ca or config.client_cert):
        return True
    context = ssl.create_default_context(cafile=config.hub_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.client_cert:
        context.load_cert_chain(config.client_cert, config.client_key or None)
    return context


def inward(config: Config) -> ssl.SSLContext | None:
    """For requests from the hub. With `inbound_client_ca`, a caller must present a certificate of that authority.

    `names_of` returns the names in the certificate.
    """
    if not config.inbound_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.inbound_client_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.inbound_cert, config.inbound_key or None)
    if config.inbound_client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def names_of(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The names in a verified client certificate: its DNS names, or its common name if it has none.

    `certificate` is the result of ssl.SSLSocket.getpeercert.
    """
    if not certificate:
        return frozenset()
    hosts = frozenset(str(name) for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS")
    if hosts:
        return hosts
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    return frozenset(str(name) for kind, name in subject if kind == "commonName")
