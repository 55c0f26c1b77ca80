"""A04 to A06: messages in another's name, ends of others' transfers, and fulfilments that do not fit."""

import hashlib
import json

import pytest

from fspiop import base64url
from hub.outbox.models import Message
from ledger import checks
from ledger.models import Transfer
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


def test_a04_an_alias_in_anothers_name_is_not_registered(committed_world: World) -> None:
    assert dfsp("POST", "/participants/MSISDN/7", {"fspId": "blue"}, source="red").status_code == 202
    assert json.loads(bytes(Message.objects.latest("id").body))["errorInformation"]["errorCode"] == "3003"
    assert dfsp("GET", "/parties/MSISDN/7").status_code == 202
    assert json.loads(bytes(Message.objects.latest("id").body))["errorInformation"]["errorCode"] == "3204"


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
    assert checks.find_breaks() == []


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
    assert checks.find_breaks() == []
