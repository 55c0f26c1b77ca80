"""What DFSPs prove themselves with, made here: an authority and its certificates, keys, tokens, signatures."""

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from fspiop import jws
from fspiop.time import http_date
from hub.participants import credentials
from hub.participants.credentials import NewClient
from hub.participants.models import Credential, Participant
from tests.api.caller import dfsp

PROXY_SECRET = "the proxy's secret, which no DFSP knows"
CERTIFICATE = {"PARTICIPANT_AUTH": frozenset({"certificate"}), "PROXY_SECRET": PROXY_SECRET}
TOKEN = {"PARTICIPANT_AUTH": frozenset({"token"}), "PROXY_SECRET": PROXY_SECRET}
BOTH = {"PARTICIPANT_AUTH": frozenset({"certificate", "token"}), "PROXY_SECRET": PROXY_SECRET}
SIGNED = {"SIGNATURES": "required"}


@cache
def key_of(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key that is the same each time it is asked for, as long as the tests run."""
    return rsa.generate_private_key(65537, bits)


def public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class Authority:
    """A certificate authority, as a scheme runs one."""

    def __init__(self, name: str) -> None:
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = key_of(f"authority {name}")
        self.certificate = self._build(self.name, self.key, is_authority=True, days=(-30, 3650), host=None)

    def issue(
        self,
        name: str,
        *,
        organisation: str = "",
        days: tuple[int, int] = (-1, 365),
        host: str | None = None,
        key: rsa.RSAPrivateKey | None = None,
    ) -> x509.Certificate:
        """A certificate for `name`, valid from and until so many days from now."""
        attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]
        if organisation:
            attributes.append(x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organisation))
        return self._build(x509.Name(attributes), key or key_of(name), is_authority=False, days=days, host=host)

    def revocations(self, *revoked: x509.Certificate) -> str:
        """The list of the revoked certificates, in PEM."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(now - timedelta(days=1))
            .next_update(now + timedelta(days=1))
        )
        for certificate in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(now - timedelta(hours=1))
                .build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def _build(
        self,
        subject: x509.Name,
        key: rsa.RSAPrivateKey,
        *,
        is_authority: bool,
        days: tuple[int, int],
        host: str | None,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if host is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def participant(name: str) -> Participant:
    return Participant.objects.get(name=name)


def register_key(name: str, key: rsa.RSAPrivateKey | None = None) -> Credential:
    """The participant's signing key, of its own name unless another is given."""
    return credentials.add_signing_key(participant(name), key=public_pem(key or key_of(name)), actor="test")


def register_certificate(name: str, certificate: x509.Certificate) -> Credential:
    return credentials.add_certificate(participant(name), pem=pem_of(certificate), actor="test")


def register_client(name: str) -> NewClient:
    return credentials.add_client(participant(name), actor="test")


def expire(credential: Credential) -> None:
    """Lets time pass for one credential."""
    past = timezone.now() - timedelta(seconds=1)
    Credential.objects.filter(pk=credential.pk).update(valid_from=past - timedelta(days=1), valid_until=past)


def by_proxy(certificate: x509.Certificate | None, *, secret: str = PROXY_SECRET) -> dict[str, str]:
    """The headers that the TLS proxy sets for a client with this certificate, or with none."""
    if certificate is None:
        return {"X-Proxy-Secret": secret, "X-SSL-Client-Verify": "NONE", "X-SSL-Client-Cert": ""}
    return {
        "X-Proxy-Secret": secret,
        "X-SSL-Client-Verify": "SUCCESS",
        "X-SSL-Client-Cert": quote(pem_of(certificate), safe=""),
    }


def ask_token(
    client_key: str, secret: str, *, form: str = "grant_type=client_credentials", headers: dict[str, str] | None = None
) -> HttpResponse:
    basic = base64.b64encode(f"{client_key}:{secret}".encode()).decode()
    return Client().generic(
        "POST",
        "/token",
        form,
        content_type="application/x-www-form-urlencoded",
        headers={"Authorization": f"Basic {basic}", **(headers or {})},
    )


def token_of(client: NewClient, *, headers: dict[str, str] | None = None) -> str:
    answer = ask_token(client.credential.label, client.secret, headers=headers)
    assert answer.status_code == 200, answer.content
    token: str = json.loads(answer.content)["access_token"]
    return token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def signature(
    method: str, path: str, body: bytes, *, source: str, destination: str | None, key: rsa.RSAPrivateKey, date: str
) -> dict[str, str]:
    """The headers of a signed request."""
    signed = jws.sign(body, key=key, method=method, uri=path, source=source, destination=destination, date=date)
    return {"date": date, "fspiop-uri": path, "fspiop-http-method": method, "fspiop-signature": signed}


def signed_dfsp(
    method: str,
    path: str,
    body: Any,
    *,
    source: str = "green",
    destination: str | None = None,
    key: rsa.RSAPrivateKey | None = None,
    headers: dict[str, str | None] | None = None,
) -> HttpResponse:
    """As `caller.dfsp`, signed with the source's own key unless another is given."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    date = http_date(datetime.now(UTC))
    signing = signature(method, path, raw, source=source, destination=destination, key=key or key_of(source), date=date)
    return dfsp(method, path, raw, source=source, destination=destination, headers={**signing, **(headers or {})})
