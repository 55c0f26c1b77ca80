"""A10: keys and certificates that prove nothing are refused when they are registered."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import IntegrityError, transaction

from fspiop import base64url
from fspiop.errors import FspiopError
from hub.participants import credentials
from hub.participants.models import Credential
from tests import proofs
from tests.proofs import key_of
from tests.world import World

SCHEME = proofs.Authority("scheme")
NAMES = ("green", "blue")


def octets(number: int) -> str:
    return base64url.encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def jwk(n: int, e: int, **more: str) -> str:
    return json.dumps({"kty": "RSA", "n": octets(n), "e": octets(e)} | more)


def pem_of_numbers(n: int, e: int) -> str:
    """The PEM of a key that no library would make."""

    def der(tag: int, content: bytes) -> bytes:
        size = len(content)
        length = bytes([size]) if size < 128 else bytes([0x82, size >> 8, size & 0xFF])
        return bytes([tag]) + length + content

    def integer(number: int) -> bytes:
        return der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))

    key = der(0x30, integer(n) + integer(e))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    text = base64.encodebytes(der(0x30, algorithm + der(3, b"\0" + key))).decode().strip()
    return f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"


def refused(name: str, key: str) -> str:
    before = Credential.objects.count()
    with pytest.raises(FspiopError) as found:
        credentials.add_signing_key(proofs.participant(name), key=key, actor="test")
    assert Credential.objects.count() == before
    return found.value.description


def test_a10_a_key_of_1024_bits_is_refused_in_every_form(world: World) -> None:
    short = key_of("short", 1024)
    numbers = short.public_key().public_numbers()
    for text in (proofs.public_pem(short), jwk(numbers.n, numbers.e), proofs.pem_of(SCHEME.issue("s", key=short))):
        assert "2048" in refused("green", text)


def test_a10_an_exponent_that_signs_nothing_is_refused(world: World) -> None:
    n = key_of("green").public_key().public_numbers().n
    for e in (1, 2, 2**65 + 1):
        refused("green", jwk(n, e))
        refused("green", pem_of_numbers(n, e))


def test_a10_one_key_is_one_participants_in_every_form(world: World) -> None:
    proofs.register_key("green")
    numbers = key_of("green").public_key().public_numbers()
    forms = [
        proofs.public_pem(key_of("green")),
        jwk(numbers.n, numbers.e),
        proofs.pem_of(SCHEME.issue("x", key=key_of("green"))),
    ]
    for name in NAMES:
        for text in forms:
            assert "was registered before" in refused(name, text)


def test_a10_what_was_revoked_never_comes_back(world: World) -> None:
    credential = proofs.register_key("green")
    credentials.revoke(proofs.participant("green"), credential_id=credential.pk, actor="test")
    for name in NAMES:
        assert "was registered before" in refused(name, proofs.public_pem(key_of("green")))
    with pytest.raises(Exception, match="Cannot update"), transaction.atomic():
        Credential.objects.filter(pk=credential.pk).update(revoked_at=None)


def test_a10_the_database_holds_that_a_credential_is_given_once(world: World) -> None:
    row = Credential.objects.get(pk=proofs.register_key("green").pk)
    row.pk, row.participant = None, proofs.participant("blue")
    with pytest.raises(IntegrityError, match="a_credential_is_given_once"), transaction.atomic():
        row.save(force_insert=True)


def test_a10_an_expired_certificate_is_refused(world: World) -> None:
    old = proofs.pem_of(SCHEME.issue("old", days=(-20, -1), key=key_of("green")))
    assert "expired" in refused("green", old)
    with pytest.raises(FspiopError, match="expired"):
        credentials.add_certificate(proofs.participant("green"), pem=old, actor="test")


def test_a10_a_private_key_is_refused_and_not_kept(world: World) -> None:
    numbers = key_of("green").private_numbers()
    for text in (proofs.private_pem(key_of("green")), jwk(numbers.public_numbers.n, 65537, d=octets(numbers.d))):
        assert "private key" in refused("green", text)


def test_a10_what_is_no_rsa_key_is_refused(world: World) -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = curve.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    for text in (
        pem,
        '{"kty":"EC"}',
        '{"kty":"oct","k":"AAAA"}',
        '{"kty":"RSA"}',
        '{"kty":"RSA","n":1,"e":2}',
        '{"kty":"RSA","n":"!","e":"AQAB"}',
        "[" * 10_000,
        "{" * 10_000,
        "nonsense",
        "x" * 20_000,
    ):
        refused("green", text)


def test_a10_an_authoritys_or_a_broken_certificate_is_refused(world: World) -> None:
    green = proofs.participant("green")
    weak = SCHEME.issue("w", key=key_of("short", 1024))
    chain = proofs.pem_of(SCHEME.issue("c")) + proofs.pem_of(SCHEME.certificate)
    for pem in (proofs.pem_of(SCHEME.certificate), proofs.pem_of(weak), chain, "nonsense", ""):
        with pytest.raises(FspiopError):
            credentials.add_certificate(green, pem=pem, actor="test")
    assert not Credential.objects.exists()


def test_a10_a_strong_key_in_any_form_is_taken(world: World) -> None:
    numbers = key_of("j").public_key().public_numbers()
    for text in (
        proofs.public_pem(key_of("p")),
        jwk(numbers.n, numbers.e),
        proofs.pem_of(SCHEME.issue("x", key=key_of("c"))),
    ):
        credentials.add_signing_key(proofs.participant("green"), key=text, actor="test")
    assert Credential.objects.filter(kind="signingKey").count() == 3
