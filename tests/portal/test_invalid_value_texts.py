"""What is wrong with a pasted key, certificate or request is said in the reader's language."""

import html
import ipaddress
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.conf import settings
from django.test import override_settings
from django.utils import translation

from fspiop import base64url, jws, keys_and_certificates
from fspiop.invalid_value_codes import EncodingFault, Fault, InvalidValue, KeyFault
from hub import egress
from hub.egress import AddressFault
from hub.participants import certificate_authority, networks_and_contacts
from hub.participants.networks_and_contacts import NetworkFault
from portal.invalid_value_texts import TEXTS, text_of
from portal.permissions import Role
from tests import signing
from tests.portal.people import browser
from tests.world import World

LANGUAGES = [code for code, _name in settings.LANGUAGES if code != "en"]
FAULTS = [fault for kind in Fault.__subclasses__() for fault in kind]


def test_every_fault_has_a_text_and_in_english_it_is_that_of_the_apis() -> None:
    assert len(FAULTS) > 20
    assert set(TEXTS) == set(FAULTS)
    with translation.override("en"):
        assert {fault: str(text) for fault, text in TEXTS.items()} == {fault: fault.value for fault in FAULTS}


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_fault_is_said_in_each_language(code: str) -> None:
    with translation.override(code):
        assert [fault for fault, text in TEXTS.items() if str(text) == fault.value] == []


def _jwk(**changes: str) -> str:
    return json.dumps({"kty": "RSA", "n": "AQAB", "e": "AQAB"} | changes)


_SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize(
    ("read", "text", "fault", "said"),
    [
        (keys_and_certificates.read_signing_key, "x" * 20_000, KeyFault.TOO_LONG, "too long"),
        (
            keys_and_certificates.read_signing_key,
            "-----BEGIN PRIVATE KEY-----",
            KeyFault.PRIVATE_KEY,
            "this is a private key",
        ),
        (keys_and_certificates.read_signing_key, "{}", KeyFault.NO_JWK, "not a JWK of an RSA key"),
        (keys_and_certificates.read_signing_key, _jwk(d="AQAB"), KeyFault.PRIVATE_KEY, "this is a private key"),
        (keys_and_certificates.read_signing_key, _jwk(n="+"), EncodingFault.NOT_BASE64URL, "not base64url"),
        (
            keys_and_certificates.read_signing_key,
            _jwk(n="AR"),
            EncodingFault.NOT_CANONICAL_BASE64URL,
            "not canonical base64url",
        ),
        (
            keys_and_certificates.read_signing_key,
            keys_and_certificates.public_pem(_SHORT.public_key()),
            KeyFault.UNUSABLE_PUBLIC_KEY,
            "not a usable public key in PEM, X.509 or JWK: an RSA key must have 2048 to 4096 bits, not 1024",
        ),
        (
            keys_and_certificates.read_certificate,
            "nothing",
            KeyFault.NOT_ONE_CERTIFICATE,
            "give one X.509 certificate in PEM",
        ),
        (
            keys_and_certificates.read_certificate,
            "-----BEGIN CERTIFICATE-----",
            KeyFault.UNREADABLE_CERTIFICATE,
            "cannot be read",
        ),
        (
            keys_and_certificates.read_signing_request,
            "nothing",
            KeyFault.UNREADABLE_REQUEST,
            "the signing request cannot be read",
        ),
    ],
)
def test_readers_of_keys_give_a_code_and_the_apis_text(
    read: Callable[[str], object], text: str, fault: Fault, said: str
) -> None:
    with pytest.raises(InvalidValue) as raised:
        read(text)
    assert raised.value.fault is fault
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("lines", "fault", "said"),
    [
        (["here"], NetworkFault.NO_NETWORK, "here is neither an address nor a network such as 192.0.2.0/24"),
        (["::ffff:192.0.2.1"], NetworkFault.IPV4_AS_IPV6, "has IPv4 addresses"),
        (["0.0.0.0/0"], NetworkFault.ALL_ADDRESSES, "leave the list empty instead"),
        ([str(ipaddress.ip_address(number)) for number in range(1, 53)], NetworkFault.TOO_MANY, "at most 50 networks"),
    ],
)
def test_readers_of_networks_give_a_code_and_the_apis_text(lines: list[str], fault: Fault, said: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        networks_and_contacts.read_networks(lines)
    assert raised.value.fault is fault
    assert said in str(raised.value)


def test_the_parameters_of_a_fault_are_in_the_text_of_each_language() -> None:
    with pytest.raises(InvalidValue) as raised:
        certificate_authority.read_request(signing.csr("%(name)s"), name="100%")
    with translation.override("fr"):
        assert "100%" in text_of(raised.value)
        assert text_of(raised.value) != str(raised.value)


def test_the_cause_is_said_in_the_same_language_and_a_library_s_text_stays_as_it_is() -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(InvalidValue) as raised:
        keys_and_certificates.read_signing_key(keys_and_certificates.public_pem(curve))  # type: ignore[arg-type]
    assert str(raised.value) == "not a usable public key in PEM, X.509 or JWK: not an RSA key"
    with pytest.raises(InvalidValue) as unreadable:
        keys_and_certificates.read_signing_key("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")
    library = unreadable.value.parameters["error"]
    assert isinstance(library, ValueError)
    assert not isinstance(library, InvalidValue)
    assert len(str(unreadable.value)) <= 200
    with translation.override("fr"):
        assert text_of(raised.value).endswith(str(TEXTS[KeyFault.NOT_RSA]))
        assert "RSA key" not in text_of(raised.value)
        assert text_of(unreadable.value).endswith(str(library)[:200])


def test_a_key_that_the_hub_reads_for_itself_is_still_a_value_error() -> None:
    with pytest.raises(ValueError, match="1024"):
        jws.check_strength(_SHORT.public_key())
    with pytest.raises(ValueError, match="not base64url"):
        base64url.decode("+")


@override_settings(CALLBACK_PUBLIC_ONLY=True)
def test_an_address_that_the_hub_may_not_call_is_refused_with_a_code() -> None:
    with pytest.raises(InvalidValue) as raised:
        egress.check_url("http://127.0.0.1:8080/")
    assert raised.value.fault is AddressFault.NOT_ALLOWED
    assert str(raised.value) == "this address is not public, or its port is not allowed; CALLBACK_ALLOW can list it"


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize(
    ("path", "field"), [("participants/green/endpoint/", "value"), ("directory/oracles/new/", "endpoint")]
)
@override_settings(CALLBACK_PUBLIC_ONLY=True)
def test_an_address_that_is_not_public_is_refused_in_the_visitors_language(
    world: World, path: str, field: str, code: str
) -> None:
    answer = browser(Role.OPERATOR).post(
        f"/portal/{path}", {field: "http://127.0.0.1:8080/", "reason": "r"}, headers={"accept-language": code}
    )
    assert answer.status_code == 400
    text = html.unescape(answer.content.decode())
    assert "not public" not in text
    with translation.override(code):
        assert str(TEXTS[AddressFault.NOT_ALLOWED]) in text


@pytest.mark.parametrize(
    ("path", "field", "code", "said"),
    [
        ("certificates/new/", "csr", "fr", "La demande de signature est illisible"),
        ("certificates/new/", "csr", "sw", "Ombi la kutiwa saini halisomeki"),
        ("credentials/new/", "text", "fr", "utilisable"),
    ],
)
def test_a_wrong_pem_is_answered_in_the_visitors_language(
    world: World, path: str, field: str, code: str, said: str, settings: object, tmp_path: object
) -> None:
    settings.HUB_CA_CERTIFICATE_FILE = settings.HUB_CA_KEY_FILE = "there"  # type: ignore[attr-defined]
    client = browser(Role.OPERATOR)
    answer = client.post(
        f"/portal/participants/green/{path}",
        {field: "no PEM at all", "kind": "signingKey", "reason": "r"},
        headers={"accept-language": code},
    )
    assert answer.status_code == 400
    assert said.lower() in answer.content.decode().lower()
