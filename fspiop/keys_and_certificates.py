"""Reads the keys and certificates that a participant registers: PEM, X.509 or JWK.

Refuses weak keys and certificates.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fspiop import base64url, jws
from fspiop.invalid_value_codes import InvalidValue, KeyFault

_FEWEST_CURVE_BITS = 256
_LONGEST_TEXT = 16_384
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


class _Jwk(msgspec.Struct):
    """The fields of a JWK (RFC 7517) that this module reads."""

    kty: Literal["RSA"]
    n: str
    e: str
    d: str | None = None


@dataclass(frozen=True, slots=True)
class PublicPart:
    """A public key or a certificate, in the form that the registry stores. Only a certificate has a period of
    validity."""

    sha256: str
    pem: str
    label: str
    valid_from: datetime | None
    valid_until: datetime | None


def read_signing_key(text: str) -> PublicPart:
    """Reads a participant's public RSA key, with which the hub checks signatures. Raises ValueError with a description
    of the text's fault."""
    _refuse_private(text)
    stripped = text.strip()
    if stripped.startswith("{"):
        return _signing_key(_from_jwk(stripped), "JWK")
    if _CERTIFICATE in text:
        certificate = _one_certificate(text)
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise InvalidValue(KeyFault.NOT_RSA)
        found = _signing_key(key, certificate.subject.rfc4514_string())
        return PublicPart(
            found.sha256, found.pem, found.label, certificate.not_valid_before_utc, certificate.not_valid_after_utc
        )
    try:
        return _signing_key(jws.load_public_key(text.encode()), "PEM")
    except ValueError as error:
        raise InvalidValue(KeyFault.UNUSABLE_PUBLIC_KEY, error=error) from None


def read_certificate(text: str) -> PublicPart:
    """Returns a TLS client certificate. Raises ValueError with a description of the text's fault."""
    _refuse_private(text)
    certificate = _one_certificate(text)
    _check_strength(certificate)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = None
    if constraints is not None and constraints.ca:
        raise InvalidValue(KeyFault.AUTHORITY_CERTIFICATE)
    return PublicPart(
        certificate.fingerprint(hashes.SHA256()).hex(),
        certificate.public_bytes(Encoding.PEM).decode(),
        certificate.subject.rfc4514_string()[:255],
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def read_signing_request(text: str) -> x509.CertificateSigningRequest:
    """Returns a certificate signing request (PKCS #10). Raises ValueError with a description of the text's fault."""
    _refuse_private(text)
    try:
        request = x509.load_pem_x509_csr(text.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidValue(KeyFault.UNREADABLE_REQUEST) from None
    _check_strength(request)
    try:
        is_its_own = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        is_its_own = False
    if not is_its_own:
        raise InvalidValue(KeyFault.REQUEST_OF_ANOTHER_KEY)
    return request


def public_pem(key: RSAPublicKey) -> str:
    """Returns the key in PEM, for publication."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _signing_key(key: RSAPublicKey, label: str) -> PublicPart:
    jws.check_strength(key)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicPart(hashlib.sha256(der).hexdigest(), public_pem(key), label[:255], None, None)


def _refuse_private(text: str) -> None:
    if len(text) > _LONGEST_TEXT:
        raise InvalidValue(KeyFault.TOO_LONG)
    if "PRIVATE KEY" in text:
        raise InvalidValue(KeyFault.PRIVATE_KEY)


def _from_jwk(text: str) -> RSAPublicKey:
    try:
        jwk = msgspec.json.decode(text, type=_Jwk)
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidValue(KeyFault.NO_JWK) from None
    if jwk.d is not None:
        raise InvalidValue(KeyFault.PRIVATE_KEY)
    n, e = (int.from_bytes(base64url.decode(number), "big") for number in (jwk.n, jwk.e))
    return RSAPublicNumbers(e, n).public_key()


def _one_certificate(text: str) -> x509.Certificate:
    if text.count(_CERTIFICATE) != 1:
        raise InvalidValue(KeyFault.NOT_ONE_CERTIFICATE)
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidValue(KeyFault.UNREADABLE_CERTIFICATE) from None


def _check_strength(signed: x509.Certificate | x509.CertificateSigningRequest) -> None:
    try:
        key, digest = signed.public_key(), signed.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidValue(KeyFault.UNSUPPORTED_ALGORITHM) from None
    if isinstance(key, RSAPublicKey):
        jws.check_strength(key)
    elif isinstance(key, EllipticCurvePublicKey):
        if key.curve.key_size < _FEWEST_CURVE_BITS:
            raise InvalidValue(KeyFault.SHORT_CURVE, bits=_FEWEST_CURVE_BITS)
    elif not isinstance(key, Ed25519PublicKey):
        raise InvalidValue(KeyFault.UNSUPPORTED_KEY_TYPE)
    if digest is not None and digest.digest_size < hashes.SHA256.digest_size:
        raise InvalidValue(KeyFault.WEAK_DIGEST, name=digest.name)
