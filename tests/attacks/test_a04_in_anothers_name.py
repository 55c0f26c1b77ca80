"""A04 to A06: messages in another's name, ends of others' transfers, and fulfilments that do not fit."""

import hashlib
import json

import pytest
from django.test import override_settings

from directory.models import PartyIdentifier
from fspiop import base64url
from hub.outbox.models import Message
from ledger import invariants
from ledger.models import Transfer
from tests import proofs
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.keys import FULFILMENT, OTHER_FULFILMENT
from tests.world import World, amount


def told() -> list[str]:
    return list(Message.objects.values_list("destination__name", flat=True))


def test_a04_a_prepare_in_anothers_name_is_refused(committed_world: World) -> None:
    for source in ("red", "grey", "blue"):
        body = messages.transfer()
        assert error_of(dfsp("POST", "/transfers", body, source=source, destination="blue")) == (400, "3100")
    assert not Transfer.objects.exists()
    assert told() == []


def test_a04_a_quote_in_anothers_name_is_refused(committed_world: World) -> None:
    for source in ("red", "grey", "blue"):
        assert error_of(dfsp("POST", "/quotes", messages.quote(), source=source, destination="blue")) == (400, "3100")
    assert told() == []


def test_a04_a_bulk_quote_in_anothers_name_is_refused(committed_world: World) -> None:
    for source in ("red", "grey", "blue"):
        body = messages.bulk_quote()
        assert error_of(dfsp("POST", "/bulkQuotes", body, source=source, destination="blue")) == (400, "3100")
    assert told() == []


@pytest.mark.parametrize(("method", "status"), [("POST", 202), ("PUT", 200)])
def test_a04_an_alias_in_anothers_name_is_not_registered(committed_world: World, method: str, status: int) -> None:
    assert dfsp(method, "/participants/MSISDN/7", {"fspId": "blue"}, source="red").status_code == status
    assert json.loads(bytes(Message.objects.latest("created_at", "id").body))["errorInformation"]["errorCode"] == "3003"
    assert dfsp("GET", "/parties/MSISDN/7").status_code == 202
    assert json.loads(bytes(Message.objects.latest("created_at", "id").body))["errorInformation"]["errorCode"] == "3204"


ALIAS = "/participants/MSISDN/255655001001"


def blues_alias() -> None:
    assert dfsp("POST", ALIAS, {"fspId": "blue"}, source="blue").status_code == 202
    assert is_blues()


def is_blues() -> bool:
    return PartyIdentifier.objects.filter(identifier="255655001001", fsp__name="blue").exists()


@pytest.mark.parametrize("signatures", ["required", "checked"])
def test_a04_an_alias_is_not_withdrawn_in_anothers_name_by_a_wrong_signature(world: World, signatures: str) -> None:
    blues_alias()
    for name in ("blue", "red"):
        proofs.register_key(name)
    with override_settings(SIGNATURES=signatures):
        forged = proofs.signed_dfsp("DELETE", ALIAS, b"", source="blue", key=proofs.key_of("red"))
        assert error_of(forged) == (400, "3105")
        assert is_blues()
        assert proofs.signed_dfsp("DELETE", ALIAS, b"", source="blue").status_code == 202
    assert not is_blues()


@override_settings(**proofs.SIGNED)
def test_a04_where_only_signatures_prove_a_caller_an_unsigned_delete_withdraws_nothing(world: World) -> None:
    with override_settings(SIGNATURES="ignored"):
        blues_alias()
    proofs.register_key("blue")
    assert error_of(dfsp("DELETE", ALIAS, source="blue")) == (400, "3105")
    assert dfsp("GET", ALIAS, source="blue").status_code == 202  # which changes nothing, and has no body to sign
    assert is_blues()


@override_settings(**proofs.SIGNED)
@pytest.mark.parametrize("by", ["certificate", "token", "both"])
def test_a04_an_unsigned_delete_is_its_owners_where_certificate_or_token_says_so(world: World, by: str) -> None:
    with override_settings(SIGNATURES="ignored"):
        blues_alias()
    authority = proofs.Authority("scheme")
    kind = {"certificate": proofs.CERTIFICATE, "token": proofs.TOKEN, "both": proofs.BOTH}[by]

    def proof_of(name: str) -> dict[str, str]:
        certificate, client = authority.issue(name), proofs.register_client(name)
        proofs.register_certificate(name, certificate)
        shown = proofs.by_proxy(certificate)
        return shown | (proofs.bearer(proofs.token_of(client, headers=shown)) if by != "certificate" else {})

    with override_settings(**kind):
        assert error_of(dfsp("DELETE", ALIAS, source="blue"))[0] == 401
        assert error_of(dfsp("DELETE", ALIAS, source="blue", headers=proof_of("red")))[0] == 403
        assert is_blues()
        assert dfsp("DELETE", ALIAS, source="blue", headers=proof_of("blue")).status_code == 202
    assert not is_blues()


@pytest.mark.parametrize("state", ["RESERVED", "COMMITTED", "ABORTED"])
def test_a05_nobody_but_the_payee_ends_a_transfer_in_any_state(committed_world: World, state: str) -> None:
    body = messages.transfer()
    path = f"/transfers/{body['transferId']}"
    dfsp("POST", "/transfers", body, destination="blue")
    if state == "COMMITTED":
        dfsp("PUT", path, messages.fulfilment(), source="blue", destination="green")
    elif state == "ABORTED":
        dfsp("PUT", path + "/error", messages.error(), source="blue", destination="green")
    count, position = Message.objects.count(), committed_world.position("green")
    for source in ("red", "grey", "green"):
        for url, sent in ((path, messages.fulfilment()), (path + "/error", messages.error())):
            assert error_of(dfsp("PUT", url, sent, source=source, destination="green")) == (400, "3208")
    assert Transfer.objects.get(pk=body["transferId"]).state == state
    assert (Message.objects.count(), committed_world.position("green")) == (count, position)
    assert invariants.find_breaks() == []


def spoilt() -> dict[str, str]:
    octets = base64url.decode(FULFILMENT)
    return {
        "of another transfer": OTHER_FULFILMENT,
        "one bit": base64url.encode(bytes([octets[0] ^ 1]) + octets[1:]),
        "short": base64url.encode(octets[:-1]),
        "long": base64url.encode(octets + b"\0"),
        "in hexadecimal": octets.hex(),
        "padded": FULFILMENT + "=",
        "trailing bits": FULFILMENT[:-1] + chr(ord(FULFILMENT[-1]) + 1),
        "the condition": base64url.encode(hashlib.sha256(octets).digest()),
        "empty": "",
    }


@pytest.mark.parametrize("name", spoilt())
def test_a06_a_fulfilment_that_does_not_fit_never_commits(committed_world: World, name: str) -> None:
    body = messages.transfer()
    path = f"/transfers/{body['transferId']}"
    dfsp("POST", "/transfers", body, destination="blue")
    answer = dfsp("PUT", path, messages.fulfilment(fulfilment=spoilt()[name]), source="blue", destination="green")
    assert answer.status_code in (200, 400)
    transfer = Transfer.objects.get(pk=body["transferId"])
    assert transfer.state in ("RESERVED", "ABORTED")
    assert committed_world.position("green") == (amount(100) if transfer.state == "RESERVED" else 0)
    assert committed_world.position("blue") == 0
    assert invariants.find_breaks() == []
