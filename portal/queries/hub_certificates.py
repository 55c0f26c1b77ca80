"""Reads the hub's own certificates and keys from the files that this process can read."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Own:
    """A certificate or key of the hub. `fault` is the reason why the file is not shown: the file is missing or cannot
    be read."""

    title: Promise
    setting: str
    subject: str = ""
    sha256: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    fault: Promise | None = None


_CERTIFICATES = (
    (_("Authority that signs the DFSPs' client certificates"), "HUB_CA_CERTIFICATE_FILE"),
    (_("The hub's client certificate for callbacks"), "CALLBACK_CLIENT_CERT_FILE"),
    (_("Authorities that the hub trusts when it calls a DFSP"), "CALLBACK_CA_FILE"),
)


def own() -> list[Own]:
    """Returns each of the hub's certificates and keys that the settings contain. Shows no private key."""
    found = [each for title, setting in _CERTIFICATES for each in _certificates(title, setting)]
    return [*found, _signing_key()]


def _certificates(title: Promise, setting: str) -> Iterator[Own]:
    path = getattr(settings, setting)
    if not path:
        yield Own(title, setting, fault=_("not set"))
        return
    try:
        certificates = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError):
        yield Own(title, setting, fault=_("this process cannot read the file"))
        return
    for each in certificates:
        sha256 = hashlib.sha256(each.public_bytes(Encoding.DER)).hexdigest()
        subject = each.subject.rfc4514_string()
        yield Own(title, setting, subject, sha256, each.not_valid_before_utc, each.not_valid_after_utc)


def _signing_key() -> Own:
    title, setting = _("Public key of the hub's signatures"), "HUB_SIGNING_KEY_FILE"
    if not settings.HUB_SIGNING_KEY_FILE:
        return Own(title, setting, fault=_("not set"))
    try:
        key = load_pem_private_key(Path(settings.HUB_SIGNING_KEY_FILE).read_bytes(), None).public_key()
    except (OSError, ValueError, TypeError):
        return Own(title, setting, fault=_("this process cannot read the file"))
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Own(title, setting, sha256=hashlib.sha256(der).hexdigest())
