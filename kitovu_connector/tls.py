"""The TLS settings for both directions: the trusted authorities, and the connector's own certificates."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kitovu_connector.config import Config, ConfigError


def outward(config: Config) -> ssl.SSLContext | bool:
    """Returns the TLS settings for requests to the hub. The settings include the connector's client certificate, if the
    connector has one."""
    if not (config.hub_ca or config.client_cert):
        return True
    with _naming("hub_ca"):
        context = ssl.create_default_context(cafile=config.hub_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    use_client_certificate(context, config)
    return context


def use_client_certificate(context: ssl.SSLContext, config: Config) -> None:
    """Loads client_cert again, so that new connections to the hub use its current content."""
    if config.client_cert:
        _load(context, "client_cert and client_key", config.client_cert, config.client_key)


def use_server_certificate(context: ssl.SSLContext, config: Config) -> None:
    """Loads inbound_cert again, so that new connections from the hub use its current content."""
    _load(context, "inbound_cert and inbound_key", config.inbound_cert, config.inbound_key)


def use_certificate_for_core(context: ssl.SSLContext, config: Config) -> None:
    """Loads outbound_cert again, so that new connections from the core use its current content."""
    _load(context, "outbound_cert and outbound_key", config.outbound_cert, config.outbound_key)


def _load(context: ssl.SSLContext, settings: str, certificate: str, key: str) -> None:
    with _naming(settings):
        # The function first loads the files into another context, because a certificate without its key would make the
        # context unusable.
        for each in (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), context):
            each.load_cert_chain(certificate, key or None, _no_password)


def inward(config: Config) -> ssl.SSLContext | None:
    """Returns the TLS settings for requests from the hub.

    If `inbound_client_ca` is set, a caller must present a certificate that this authority has issued.

    The function `names_of` returns the names in such a certificate.
    """
    if not config.inbound_cert:
        return None
    with _naming("inbound_client_ca"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.inbound_client_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    use_server_certificate(context, config)
    if config.inbound_client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def for_core(config: Config) -> ssl.SSLContext | None:
    """Returns the TLS settings for requests from the core.

    If `outbound_client_ca` is set, the connector verifies every client certificate that a caller presents. A caller
    without a certificate can also connect, because programs that only check the connector's health have no certificate.
    """
    if not config.outbound_cert:
        return None
    with _naming("outbound_client_ca"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.outbound_client_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    use_certificate_for_core(context, config)
    if config.outbound_client_ca:
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def of_command_line(config: Config) -> ssl.SSLContext | bool:
    """Returns the TLS settings for the command line's requests to its own connector.

    The command line has the file outbound_cert. So it trusts only this certificate, and does not check the host name.
    """
    if not config.outbound_cert:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    with _naming("outbound_cert"):
        try:
            certificate = x509.load_pem_x509_certificates(Path(config.outbound_cert).read_bytes())[0]
        except ValueError:
            raise ConfigError(f"outbound_cert: {config.outbound_cert} has no certificate in PEM") from None
        context.load_verify_locations(cadata=certificate.public_bytes(Encoding.PEM).decode())
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if config.command_cert:
        _load(context, "command_cert and command_key", config.command_cert, config.command_key)
    return context


@contextmanager
def _naming(settings: str) -> Iterator[None]:
    """Raises ConfigError with the names of the settings, because OpenSSL's own error has no file name."""
    try:
        yield
    except OSError as error:  # includes ssl.SSLError, which is an OSError
        raise ConfigError(f"{settings}: {error.strerror or error}") from None


def _no_password() -> str:
    """Raises an error if OpenSSL needs a password, because a service would wait at OpenSSL's prompt for ever."""
    raise ConfigError(
        "a key (client_key, inbound_key, outbound_key, command_key) is encrypted: give one without a password"
    )


def names_of(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Returns the names in a verified client certificate. The names are the certificate's DNS names, or its common name
    if it has no DNS names.

    `certificate` is the result of `ssl.SSLSocket.getpeercert`.
    """
    if not certificate:
        return frozenset()
    hosts = frozenset(str(name) for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS")
    if hosts:
        return hosts
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    return frozenset(str(name) for kind, name in subject if kind == "commonName")
