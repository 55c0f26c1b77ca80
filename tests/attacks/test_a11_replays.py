"""A11 and A12: what was said once has one effect, and ids of others' transfers tell nothing."""

import uuid

import pytest
from django.http import HttpResponse
from django.test import override_settings

from hub.outbox.models import Message
from ledger import invariants
from ledger.models import Entry, Transfer
from tests import proofs
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.proofs import key_of
from tests.world import World, amount


@override_settings(**proofs.SIGNED)
def test_a11_a_replayed_payment_has_one_effect(committed_world: World) -> None:
    for name in ("green", "blue", "red"):
        proofs.register_key(name)
    body, end = messages.transfer(), messages.fulfilment()
    path = f"/transfers/{body['transferId']}"
    for _ in range(3):
        assert proofs.signed_dfsp("POST", "/transfers", body, destination="blue").status_code == 202
    assert committed_world.position("green") == amount(100)
    for _ in range(3):
        assert proofs.signed_dfsp("PUT", path, end, source="blue", destination="green").status_code == 200
    assert proofs.signed_dfsp("POST", "/transfers", body, destination="blue").status_code == 202  # after the end
    assert Entry.objects.filter(transfer_id=body["transferId"]).count() == 1
    assert Message.objects.filter(subject=body["transferId"], kind="prepare").count() == 1
    assert (committed_world.position("green"), committed_world.position("blue")) == (amount(100), -amount(100))
    assert Transfer.objects.get(pk=body["transferId"]).state == "COMMITTED"
    assert invariants.find_breaks() == []


@override_settings(**proofs.SIGNED)
def test_a11_a_signed_message_moved_elsewhere_is_refused(committed_world: World) -> None:
    proofs.register_key("green")
    proofs.register_key("blue")
    first, second = messages.transfer(), messages.transfer()
    for body in (first, second):
        proofs.signed_dfsp("POST", "/transfers", body, destination="blue")
    end = b'{"transferState":"COMMITTED","fulfilment":"%s"}' % messages.FULFILMENT.encode()
    date = "Tue, 24 Nov 2026 08:00:00 GMT"
    of_first = proofs.signature(
        "PUT",
        f"/transfers/{first['transferId']}",
        end,
        source="blue",
        destination="green",
        key=key_of("blue"),
        date=date,
    )
    elsewhere = f"/transfers/{second['transferId']}"

    def replayed(headers: dict[str, str], destination: str = "green") -> HttpResponse:
        return dfsp("PUT", elsewhere, end, source="blue", destination=destination, headers=dict(headers))

    assert error_of(replayed(of_first)) == (400, "3105")
    assert error_of(replayed(of_first | {"fspiop-uri": elsewhere})) == (400, "3105")
    assert error_of(replayed(of_first, destination="red")) == (400, "3105")
    assert Transfer.objects.get(pk=second["transferId"]).state == "RESERVED"


@override_settings(DATE_TOLERANCE_S=300)
@pytest.mark.parametrize("date", ["Tue, 24 Nov 2020 08:00:00 GMT", "Fri, 24 Nov 2090 08:00:00 GMT"])
def test_a11_an_old_date_is_refused_where_the_scheme_says_how_old(world: World, date: str) -> None:
    assert error_of(dfsp("GET", "/parties/MSISDN/1", headers={"date": date})) == (400, "3100")
    assert dfsp("GET", "/parties/MSISDN/1").status_code == 202
    assert Message.objects.count() == 1


def test_a12_an_others_transfer_and_none_are_answered_alike(committed_world: World) -> None:
    body = messages.transfer()
    dfsp("POST", "/transfers", body, destination="blue")
    count = Message.objects.count()
    for suffix, sent in (("", messages.fulfilment()), ("/error", messages.error())):
        answers = [
            dfsp("PUT", f"/transfers/{transfer_id}{suffix}", sent, source="grey", destination="green")
            for transfer_id in (body["transferId"], str(uuid.uuid4()))
        ]
        assert answers[0].content == answers[1].content
        assert answers[0].headers == answers[1].headers
        assert error_of(answers[0]) == (400, "3208")
    assert Message.objects.count() == count
    # The id of another's transfer used for one's own: refused, and the other's stands.
    mine = body | {"payerFsp": "grey"}
    dfsp("POST", "/transfers", mine, source="grey", destination="blue")
    assert Message.objects.filter(destination__name="blue").count() == 1
    assert Transfer.objects.get(pk=body["transferId"]).payer.name == "green"
