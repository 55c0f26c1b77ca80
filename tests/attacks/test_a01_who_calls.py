"""A01 to A03: no credentials, another's credentials, and stolen ones that are not the whole set."""

from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from django.test import override_settings

from hub.outbox.models import Message
from hub.participants import credentials
from tests import proofs
from tests.api.caller import dfsp, error_of
from tests.proofs import bearer, by_proxy
from tests.world import World

SCHEME, OTHER = proofs.Authority("scheme"), proofs.Authority("other")
PATH = "/parties/MSISDN/1"


@pytest.fixture(autouse=True)
def _nothing_has_happened(world: World) -> Iterator[None]:
    """A refusal changes nothing and tells nobody."""
    before = Message.objects.count()
    yield
    assert Message.objects.count() == before


def refusal(headers: dict[str, str], source: str = "green") -> int:
    status, code = error_of(dfsp("GET", PATH, source=source, headers=dict(headers)))
    assert code == "3000"
    return status


@override_settings(**proofs.CERTIFICATE)
def test_a01_no_certificate_opens_nothing(world: World) -> None:
    assert refusal({}) == 401
    assert refusal(by_proxy(None)) == 401


@override_settings(**proofs.CERTIFICATE)
def test_a01_a_certificate_that_nobody_registered_opens_nothing_whatever_it_says(world: World) -> None:
    proofs.register_certificate("green", SCHEME.issue("green"))
    again = SCHEME.issue("green")  # the same name, from the scheme's own authority
    foreign = OTHER.issue("green")
    for certificate in (again, foreign, SCHEME.certificate):
        assert refusal(by_proxy(certificate)) == 401


@override_settings(**proofs.CERTIFICATE)
def test_a01_an_expired_or_revoked_certificate_opens_nothing_though_the_proxy_took_it(world: World) -> None:
    expired, revoked = SCHEME.issue("expired"), SCHEME.issue("revoked")
    proofs.expire(proofs.register_certificate("green", expired))
    row = proofs.register_certificate("green", revoked)
    credentials.revoke(proofs.participant("green"), credential_id=row.pk, actor="test")
    assert refusal(by_proxy(expired)) == 401
    assert refusal(by_proxy(revoked)) == 401


@override_settings(**proofs.CERTIFICATE)
def test_a01_a_name_hidden_in_another_field_is_not_a_name(world: World) -> None:
    proofs.register_certificate("green", SCHEME.issue("green"))
    evil = SCHEME.issue("red", organisation="x, CN=green")
    assert "CN=green" in evil.subject.rfc4514_string()
    proofs.register_certificate("red", evil)
    assert refusal(by_proxy(evil), source="green") == 403


@override_settings(**proofs.CERTIFICATE)
@pytest.mark.parametrize("secret", ["", "wrong", proofs.PROXY_SECRET[:-1], proofs.PROXY_SECRET + " x"])
def test_a01_only_the_proxy_speaks_for_a_certificate(world: World, secret: str) -> None:
    certificate = SCHEME.issue("green")
    proofs.register_certificate("green", certificate)
    assert refusal(by_proxy(certificate, secret=secret)) == 401


@override_settings(**proofs.CERTIFICATE)
def test_a01_a_header_named_with_underscores_does_not_replace_the_certificate_that_the_proxy_saw(world: World) -> None:
    """Behind a proxy that lets X_SSL_Client_Cert pass, WSGI may give it instead of the proxy's own header."""
    own, anothers = SCHEME.issue("green"), SCHEME.issue("red")
    proofs.register_certificate("green", own)
    proofs.register_certificate("red", anothers)
    seen = f"{proofs.PROXY_SECRET};sha1={own.fingerprint(hashes.SHA1()).hex()}"
    nothing_seen = f"{proofs.PROXY_SECRET};sha1="
    assert dfsp("GET", PATH, headers=dict(by_proxy(own, secret=seen))).status_code == 202
    Message.objects.all().delete()
    assert refusal(by_proxy(anothers, secret=seen), source="red") == 401
    for certificate in (own, anothers):
        assert refusal(by_proxy(certificate, secret=nothing_seen)) == 401
    assert refusal(by_proxy(own, secret=seen.replace(proofs.PROXY_SECRET, "guessed"))) == 401


@override_settings(PARTICIPANT_AUTH=frozenset({"certificate"}), PROXY_SECRET="", PRODUCTION=True)
def test_a01_without_a_proxys_secret_production_believes_no_header(world: World) -> None:
    certificate = SCHEME.issue("green")
    proofs.register_certificate("green", certificate)
    assert refusal(by_proxy(certificate)) == 401


@override_settings(**proofs.CERTIFICATE)
@pytest.mark.parametrize("verify", ["NONE", "FAILED:certificate has expired", "success", "SUCCESS, SUCCESS", ""])
def test_a01_a_certificate_that_the_proxy_did_not_verify_is_none(world: World, verify: str) -> None:
    certificate = SCHEME.issue("green")
    proofs.register_certificate("green", certificate)
    assert refusal(by_proxy(certificate) | {"X-SSL-Client-Verify": verify}) == 401


@override_settings(**proofs.CERTIFICATE)
@pytest.mark.parametrize("text", ["", "%", "-----BEGIN CERTIFICATE-----", "%00", "a" * 20_000])
def test_a01_what_is_no_certificate_is_refused_and_not_stumbled_over(world: World, text: str) -> None:
    assert refusal(by_proxy(None) | {"X-SSL-Client-Verify": "SUCCESS", "X-SSL-Client-Cert": text}) == 401


@override_settings(**proofs.CERTIFICATE)
def test_a02_a_valid_certificate_speaks_for_its_own_participant_only(world: World) -> None:
    certificate = SCHEME.issue("blue")
    proofs.register_certificate("blue", certificate)
    for source in ("green", "red", "nobody"):
        assert refusal(by_proxy(certificate), source=source) == 403


@override_settings(**proofs.TOKEN)
def test_a02_a_valid_token_speaks_for_its_own_participant_only(world: World) -> None:
    token = proofs.token_of(proofs.register_client("blue"))
    for source in ("green", "red", "nobody"):
        assert refusal(bearer(token), source=source) == 403


@pytest.fixture
def greens(world: World) -> dict[str, x509.Certificate]:
    found = {name: SCHEME.issue(name) for name in ("green", "red")}
    for name, certificate in found.items():
        proofs.register_certificate(name, certificate)
        proofs.register_key(name)
    return found


@override_settings(**proofs.BOTH, **proofs.SIGNED)
def test_a03_one_stolen_proof_alone_is_worth_nothing(world: World, greens: dict[str, x509.Certificate]) -> None:
    client, thief = proofs.register_client("green"), proofs.register_client("red")
    certificate = by_proxy(greens["green"])
    token = bearer(proofs.token_of(client, headers=certificate))
    own_certificate = by_proxy(greens["red"])
    own_token = bearer(proofs.token_of(thief, headers=own_certificate))
    assert refusal(certificate) == 401  # the certificate, without a token
    assert refusal(token) == 401  # the token, without its certificate
    assert refusal(token | own_certificate) == 401  # the token, with the thief's certificate
    assert refusal(certificate | own_token) == 401  # the certificate, with the thief's token
    assert refusal(own_certificate | own_token) == 403  # the name alone
    path, body = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069", {"transferState": "ABORTED"}
    # The signing key alone, in the thief's own session.
    signed = proofs.signed_dfsp("PUT", path, body, destination="blue", headers=own_certificate | own_token)
    assert error_of(signed) == (403, "3000")
    # Certificate and token, without the signing key.
    signed = proofs.signed_dfsp(
        "PUT", path, body, destination="blue", key=proofs.key_of("red"), headers=certificate | token
    )
    assert error_of(signed) == (400, "3105")
    assert error_of(dfsp("PUT", path, body, destination="blue", headers=certificate | token)) == (400, "3105")


@override_settings(**proofs.BOTH)
def test_a03_a_stolen_secret_gets_no_token_without_the_certificate(
    world: World, greens: dict[str, x509.Certificate]
) -> None:
    client = proofs.register_client("green")
    for headers in ({}, by_proxy(None), by_proxy(greens["red"]), by_proxy(OTHER.issue("green"))):
        assert proofs.ask_token(client.credential.label, client.secret, headers=headers).status_code == 401


@override_settings(**proofs.TOKEN)
def test_a03_a_token_that_was_got_with_a_certificate_is_worth_nothing_without_it(
    world: World, greens: dict[str, x509.Certificate]
) -> None:
    certificate = by_proxy(greens["green"])
    token = bearer(proofs.token_of(proofs.register_client("green"), headers=certificate))
    assert refusal(token) == 401
    assert refusal(token | by_proxy(greens["green"], secret="guessed")) == 401
    assert dfsp("GET", PATH, headers=certificate | token).status_code == 202
    Message.objects.all().delete()
