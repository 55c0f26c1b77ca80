"""A40: what opens the DFSPs' door does not open the administration's, and the reverse."""

import base64
import json

import pytest
from django.http import HttpResponse
from django.test import Client, override_settings

from hub.participants.models import Credential, Participant
from tests import proofs
from tests.api.caller import dfsp, error_of
from tests.factories import PASSWORD, UserFactory
from tests.world import World

ADMINISTRATION = "/api/ledger/v1/participants"
SCHEME = proofs.Authority("scheme")


def administration(method: str, path: str, body: object, headers: dict[str, str]) -> HttpResponse:
    return Client().generic(method, path, json.dumps(body), content_type="application/json", headers=headers)


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def staff(world: World) -> dict[str, str]:
    UserFactory.create(is_staff=True)
    return basic("olga", PASSWORD)


@override_settings(ADMINISTRATION_AUTH="staff", **proofs.BOTH)
def test_a40_a_dfsps_credentials_do_not_administrate(world: World, staff: dict[str, str]) -> None:
    certificate = SCHEME.issue("green")
    proofs.register_certificate("green", certificate)
    client = proofs.register_client("green")
    by = proofs.by_proxy(certificate)
    token = proofs.bearer(proofs.token_of(client, headers=by))
    credentials = Credential.objects.count()
    calls = [
        ("GET", ADMINISTRATION, None),
        ("POST", ADMINISTRATION, {"name": "new", "currency": "TZS"}),
        ("GET", f"{ADMINISTRATION}/green/credentials", None),
        ("POST", f"{ADMINISTRATION}/green/credentials/clients", {}),
        ("POST", f"{ADMINISTRATION}/green/credentials/signingKeys", {"key": proofs.public_pem(proofs.key_of("green"))}),
        ("POST", f"{ADMINISTRATION}/green/credentials/certificates", {"pem": proofs.pem_of(SCHEME.issue("x"))}),
        ("PUT", f"{ADMINISTRATION}/green/credentials/jwsCompat", {"jwsCompat": True}),
        ("DELETE", f"{ADMINISTRATION}/green/credentials/{client.credential.pk}", None),
        ("POST", f"{ADMINISTRATION}/green/endpoints", {"type": "FSPIOP_CALLBACK_URL", "value": "http://x.example"}),
    ]
    for headers in (by | token, by, token, by | basic(client.credential.label, client.secret), {}):
        for method, path, body in calls:
            assert error_of(administration(method, path, body, headers))[0] in (401, 403), (method, path)
    assert Credential.objects.count() == credentials
    assert not Participant.objects.filter(name="new").exists()
    assert not Participant.objects.get(name="green").jws_compat
    # The door itself works, whatever the caller would like to read.
    assert administration("GET", ADMINISTRATION, None, staff | {"Accept": "text/plain;q=0.1"}).status_code == 200


@override_settings(ADMINISTRATION_AUTH="staff", **proofs.TOKEN)
def test_a40_staff_are_no_dfsp(world: World, staff: dict[str, str]) -> None:
    assert error_of(dfsp("GET", "/parties/MSISDN/1", headers=dict(staff)))[0] == 401
    session = Client()
    session.login(username="olga", password="a long password")
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in session.cookies.items())
    answer = dfsp("GET", "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069", headers={"cookie": cookie})
    assert error_of(answer) == (401, "3000")
    assert proofs.ask_token("olga", "a long password").status_code == 401


@override_settings(ADMINISTRATION_AUTH="staff")
def test_a40_staff_register_list_and_revoke_what_a_dfsp_proves_itself_with(world: World, staff: dict[str, str]) -> None:
    of = f"{ADMINISTRATION}/green/credentials"
    client = administration("POST", f"{of}/clients", {}, staff)
    assert client.status_code == 201
    secret = client.json()["clientSecret"]
    certificate = {"pem": proofs.pem_of(SCHEME.issue("g"))}
    assert administration("POST", f"{of}/certificates", certificate, staff).status_code == 201
    for key in (proofs.public_pem(proofs.key_of("green")), {"kty": "RSA", "n": 1}):
        status = administration("POST", f"{of}/signingKeys", {"key": key}, staff).status_code
        assert status == (201 if isinstance(key, str) else 400)
    listed = administration("GET", of, None, staff)
    assert [row["kind"] for row in listed.json()] == ["client", "certificate", "signingKey"]
    assert secret not in listed.content.decode()
    number = client.json()["id"]
    assert error_of(administration("DELETE", f"{ADMINISTRATION}/blue/credentials/{number}", None, staff))[0] == 404
    revoked = administration("DELETE", f"{of}/{number}", None, staff)
    assert revoked.json()["revokedAt"] is not None
    assert administration("DELETE", f"{of}/{number}", None, staff).json() == revoked.json()
    assert proofs.ask_token(client.json()["clientKey"], secret).status_code == 401
    for bad in ({"validUntil": "yesterday"}, {"validUntil": "2020-01-01T00:00:00.000Z"}):
        assert error_of(administration("POST", f"{of}/clients", bad, staff)) == (400, "3100")
    assert error_of(administration("GET", f"{ADMINISTRATION}/Hub/credentials", None, staff))[0] == 404
