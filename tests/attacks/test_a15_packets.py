"""A15: ILP packets that say something else than the transfer, or nothing. Never a crash; refused where a scheme wants
the hub to look (CHECK_ILP_PACKETS)."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.http import HttpResponse
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fspiop import base64url, ilp
from fspiop.ilp import IlpPayment
from fspiop.iso20022 import ilp4
from ledger.ilp_packets import fault_of, read
from ledger.models import Transfer
from tests.api import messages
from tests.api.caller import description_of, dfsp, error_of
from tests.examples import examples
from tests.keys import CONDITION
from tests.world import World

ACCOUNT = "g.blue.msisdn.255655001001"


def packet(amount: int = 10_000, account: str = ACCOUNT, currency: str = "TZS") -> str:
    transaction = json.dumps({"amount": {"currency": currency, "amount": "100"}}).encode()
    return ilp.encode_payment(IlpPayment(amount, account, base64url.encode(transaction).encode()))


FAULTS = {
    "is of another amount": packet(10_001),
    "is for another payee": packet(account="g.red.msisdn.1"),
    "is of another currency": packet(currency="USD"),
    "is no ILP packet": "AAAA",
}


@pytest.mark.parametrize("fault", FAULTS)
@override_settings(CHECK_ILP_PACKETS=True)
def test_a15_a_packet_of_something_else_is_refused_and_nothing_is_stored(world: World, fault: str) -> None:
    refused = dfsp("POST", "/transfers", messages.transfer(ilpPacket=FAULTS[fault]), destination="blue")
    assert error_of(refused) == (400, "3100")
    assert description_of(refused) == f"Generic validation error - ilpPacket: {fault}"
    assert not Transfer.objects.exists()


@override_settings(CHECK_ILP_PACKETS=True)
def test_a15_a_packet_of_this_transfer_is_taken(committed_world: World) -> None:
    assert dfsp("POST", "/transfers", messages.transfer(ilpPacket=packet()), destination="blue").status_code == 202
    opaque = ilp.encode_payment(IlpPayment(10_000, ACCOUNT, b"\xff\x00"))
    assert dfsp("POST", "/transfers", messages.transfer(ilpPacket=opaque), destination="blue").status_code == 202
    assert Transfer.objects.filter(state="RESERVED").count() == 2


@override_settings(CHECK_ILP_PACKETS=True)
def test_a15_a_packet_of_version_4_is_read_too(committed_world: World) -> None:
    def packet4(amount: int, currency: str = "TZS") -> str:
        data = base64url.encode(json.dumps({"amount": {"currency": currency, "amount": "100"}}).encode()).encode()
        expires_at = datetime.now(UTC) + timedelta(minutes=1)
        condition = base64url.decode(CONDITION)
        return ilp4.encode_prepare(ilp4.IlpPrepare(amount, expires_at, condition, "g.mojaloop", data))

    def send(text: str) -> HttpResponse:
        return dfsp("POST", "/transfers", messages.transfer(ilpPacket=text), destination="blue")

    assert send(packet4(10_000)).status_code == 202
    assert description_of(send(packet4(10_001))).endswith(" - ilpPacket: is of another amount")
    assert description_of(send(packet4(10_000, "USD"))).endswith(" - ilpPacket: is of another currency")


@override_settings(CHECK_ILP_PACKETS=True)
def test_a15_a_bulk_with_one_item_of_another_packet_is_refused_whole(committed_world: World) -> None:
    items = [messages.item("100", ilpPacket=packet()), messages.item("100", ilpPacket=packet(10_001))]
    refused = dfsp("POST", "/bulkTransfers", messages.bulk_transfer(individualTransfers=items), destination="blue")
    where = "individualTransfers[1].ilpPacket"
    assert description_of(refused) == f"Generic validation error - {where}: is of another amount"
    assert not Transfer.objects.exists()


def test_a15_a_hub_that_does_not_look_passes_any_packet_on(committed_world: World) -> None:
    for text in FAULTS.values():
        assert dfsp("POST", "/transfers", messages.transfer(ilpPacket=text), destination="blue").status_code == 202


@pytest.mark.parametrize("text", ["", "A" * 32_769, "A+/=", "A=A", "\u0410" * 8, "A" * 40 + "==="])
def test_a15_what_has_not_a_packets_form_is_refused_everywhere(world: World, text: str) -> None:
    assert error_of(dfsp("POST", "/transfers", messages.transfer(ilpPacket=text), destination="blue")) == (400, "3100")
    assert not Transfer.objects.exists()


@settings(max_examples=examples(2000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(octets=st.binary(max_size=200))
def test_a15_whatever_octets_a_packet_is_made_of_it_is_read_or_refused(octets: bytes) -> None:
    text = base64url.encode(b"\x01" + octets)
    found = fault_of(read(text), amount=1_000_000, currency="TZS", payee="blue")
    assert found is None or found in {*FAULTS, "can not hold this amount"}


def test_a15_a_length_that_promises_the_world_is_refused() -> None:
    for octets in (b"\x01\xff" + b"\xff" * 127, b"\x01\x84\xff\xff\xff\xff", b"\x01\x88" + b"\x7f" * 8):
        found = fault_of(read(base64url.encode(octets)), amount=1, currency="TZS", payee="blue")
        assert found == "is no ILP packet"
    assert fault_of(read(packet()), amount=1, currency="TZS", payee="blue") == "can not hold this amount"
