"""The scheme's certificate authority, if this hub has one. The authority signs only DFSPs' client certificates.

At each use, the hub reads the authority's key from the key's file. No page, log or table contains the authority's key.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.conf import settings

from fspiop import keys_and_certificates
from fspiop.invalid_value_codes import InvalidValue, KeyFault

_CLOCKS_APART = timedelta(minutes=5)  # even a computer with a slow clock must accept a new certificate immediately
_OWN_DAYS = 3650
_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class NotReady(Exception):
    """Raised if this hub cannot sign certificates now. The exception contains the reason."""


@dataclass(frozen=True, slots=True)
class Request:
    """A DFSP's certificate signing request. Before the approval, people compare the request's values with the values
    that the DFSP has sent by another channel."""

    csr: x509.CertificateSigningRequest
    subject: str
    key: str
    key_sha256: str


def is_set_up() -> bool:
    return bool(settings.HUB_CA_CERTIFICATE_FILE and settings.HUB_CA_KEY_FILE)


def read_request(text: str, *, name: str) -> Request:
    """Reads a participant's signing request (PKCS #10, in PEM). Raises ValueError with a description of the text's
    fault."""
    csr = keys_and_certificates.read_signing_request(text)
    names = [found.value for found in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [name]:
        raise InvalidValue(KeyFault.WRONG_COMMON_NAME, name=name)
    key = csr.public_key()
    kind = "RSA" if isinstance(key, rsa.RSAPublicKey) else type(key).__name__.removesuffix("PublicKey").lstrip("_")
    size = getattr(key, "key_size", 256)
    return Request(csr, csr.subject.rfc4514_string(), f"{kind} {size}", key_sha256_of(csr))


def key_sha256_of(signed: x509.CertificateSigningRequest | x509.Certificate) -> str:
    """Returns the SHA-256 of the key's SubjectPublicKeyInfo. The hub identifies signing keys by the same hash."""
    info = signed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()


def sign(request: Request, *, name: str, days: int) -> str:
    """Returns a client certificate in PEM. The certificate contains only the key of the signing request. The hub itself
    decides the certificate's name, allowed uses and period of validity."""
    own, key = _load()
    now = datetime.now(UTC)
    if own.not_valid_after_utc <= now:
        raise NotReady("the authority's own certificate has expired")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(own.subject)
        .public_key(request.csr.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_APART)
        .not_valid_after(min(now + timedelta(days=days), own.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.csr.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def revocations(revoked: Iterable[tuple[str, datetime]], *, days: int) -> str:
    """Returns the revocation list (CRL) in PEM. `revoked` contains the revoked certificates of this authority and their
    revocation times."""
    own, key = _load()
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(own.subject)
        .last_update(now - _CLOCKS_APART)
        .next_update(now + timedelta(days=days))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
    )
    for pem, moment in revoked:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        if certificate.issuer == own.subject:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(moment)
            builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def create(name: str, *, certificate_file: Path, key_file: Path) -> None:
    """Creates a certificate authority, and writes its key and its certificate to two new files. Only the owner of the
    key file can read this file."""
    key = ec.generate_private_key(ec.SECP384R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_APART)
        .not_valid_after(now + timedelta(days=_OWN_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    _write(certificate_file, certificate.public_bytes(Encoding.PEM), mode=0o644)


def _load() -> tuple[x509.Certificate, _PrivateKey]:
    if not is_set_up():
        raise NotReady("no authority is set up: HUB_CA_CERTIFICATE_FILE and HUB_CA_KEY_FILE name one")
    try:
        own = x509.load_pem_x509_certificate(Path(settings.HUB_CA_CERTIFICATE_FILE).read_bytes())
        key = load_pem_private_key(Path(settings.HUB_CA_KEY_FILE).read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        raise NotReady("the authority's files cannot be read") from None  # the error must show no contents or paths
    if not isinstance(key, _PrivateKey) or key.public_key() != own.public_key():
        raise NotReady("the authority's key does not match its certificate, or is neither RSA nor ECDSA")
    return own, key


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, *, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
