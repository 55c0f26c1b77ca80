"""Packets, fulfilments and conditions: what the specification prints, what ilp-packet writes, and what is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fspiop import base64url, ilp
from tests.fspiop.vectors import ILP_PACKETS

PAYMENTS = st.builds(
    ilp.IlpPayment,
    amount=st.integers(0, 2**64 - 1),
    account=st.text(st.characters(codec="ascii"), max_size=300),
    data=st.binary(max_size=2000),
)
# FSPIOP API v1.1, listings 42 to 44.
SPEC_SECRET = "JdtBrN2tskq9fuFr6Kg6kdy8RANoZv6BqR9nSk3rUbY"
SPEC_FULFILMENT = "mhPUT9ZAwd-BXLfeSd7-YPh46rBWRNBiTCSWjpku90s"
SPEC_CONDITION = "fH9pAYDQbmoZLPbvv3CSW2RfjU4jvM4ApG_fqGnR7Xs"
# The packet of listing 45: its head, and the Transaction of listing 41 as it was when the secret was used.
SPEC_TRANSACTION = """{
    "transactionId": "85feac2f-39b2-491b-817e-4a03203d4f14",
    "quoteId": "7c23e80c-d078-4077-8263-2c047876fcf6",
    "payee": {
        "partyIdInfo": {
            "partyIdType": "MSISDN",
            "partyIdentifier": "123456789",
            "fspId": "MobileMoney"
        },
        "personalInfo": {
            "complexName": {
                "firstName": "Henrik",
                "lastName": "Karlsson"
            }
        }
    },
    "payer": {
        "personalInfo": {
            "complexName": {
                "firstName": "Mats",
                "lastName": "Hagman"
            }
        },
        "partyIdInfo": {
            "partyIdType": "IBAN",
            "partyIdentifier": "SE4550000000058398257466",
            "fspId": "BankNrOne"
        }
    },
    "amount": {
        "amount": "100",
        "currency": "USD"
    },
    "transactionType": {
        "scenario": "TRANSFER",
        "initiator": "PAYER",
        "initiatorType": "CONSUMER"
    },
    "note": "From Mats"
}
"""


@pytest.mark.parametrize(("amount", "account", "data", "text"), ILP_PACKETS)
def test_packets_are_those_of_ilp_packet(amount: int, account: str, data: bytes, text: str) -> None:
    payment = ilp.IlpPayment(amount, account, data)
    assert ilp.encode_payment(payment) == text
    assert ilp.decode_payment(text) == payment


def test_the_fulfilment_and_condition_are_those_of_the_specification() -> None:
    data = SPEC_TRANSACTION.replace("\n", "\r\n").encode()
    head = b"\x01" + (9900).to_bytes(8, "big") + b"\x21g.se.mobilemoney.msisdn.123456789"
    packet = base64url.encode(head + b"\x82" + len(data).to_bytes(2, "big") + data)

    fulfilment = ilp.fulfilment_for(packet, base64url.decode(SPEC_SECRET))

    assert fulfilment == SPEC_FULFILMENT
    assert ilp.condition_for(fulfilment) == SPEC_CONDITION
    assert ilp.fulfils(fulfilment, SPEC_CONDITION)


@given(PAYMENTS)
def test_what_is_written_is_read_back(payment: ilp.IlpPayment) -> None:
    assert ilp.decode_payment(ilp.encode_payment(payment)) == payment


@given(st.binary(max_size=200) | PAYMENTS.map(lambda p: base64url.decode(ilp.encode_payment(p))), st.data())
def test_a_packet_that_is_read_has_no_other_spelling(octets: bytes, data: st.DataObject) -> None:
    if octets and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets = octets[:at] + data.draw(st.binary(max_size=2)) + octets[at + 1 :]
    text = base64url.encode(octets)
    try:
        payment = ilp.decode_payment(text)
    except ValueError:
        return
    assert ilp.encode_payment(payment) == text


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused_as_a_value(text: str) -> None:
    for read in (ilp.decode_payment, ilp.condition_for):
        with contextlib.suppress(ValueError):
            read(text)
    assert not ilp.fulfils(text, text)


ENVELOPE = b"\x01\x0c" + bytes(7) + b"\x05\x01g\x00"  # up to the data, with no octet of extensions


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "not an ILP payment"),
        (b"\x02" + ENVELOPE[1:] + b"\x00", "not an ILP payment"),
        (b"\x01", "before a length"),
        (ENVELOPE, "within a string"),
        (ENVELOPE + b"\x01", "empty list of extensions"),
        (ENVELOPE + b"\x00\x00", "extra bytes follow"),
        (b"\x01\x07" + bytes(7), "within the amount"),
        (b"\x01\x81\x0c" + ENVELOPE[2:] + b"\x00", "shortest form"),
        (b"\x01\x82\x00\x0c" + ENVELOPE[2:] + b"\x00", "shortest form"),
        (b"\x01\x80", "shortest form"),
        (b"\x01\xff" + b"\xff" * 127, "within a string"),
        (b"\x01\x84\xff\xff\xff\xff" + ENVELOPE[2:], "within a string"),
    ],
)
def test_a_malformed_packet_is_refused(octets: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ilp.decode_payment(base64url.encode(octets))


def test_a_packet_may_be_padded_but_only_rightly() -> None:
    text = ILP_PACKETS[0][3]
    assert len(text) % 4 == 3
    assert ilp.decode_payment(text + "=") == ilp.decode_payment(text)
    for wrong in (text + "==", text[:-1] + "=", text + "=A", "=" + text, text + "\n", " " + text, text[:-1] + "B"):
        with pytest.raises(ValueError, match="base64url"):
            ilp.decode_payment(wrong)


@pytest.mark.parametrize(
    "payment",
    [
        ilp.IlpPayment(-1, "g", b""),
        ilp.IlpPayment(2**64, "g", b""),
        ilp.IlpPayment(1, "g.é", b""),
        ilp.IlpPayment(1, "g", bytes(32_768)),
        ilp.IlpPayment(1, "g", bytes(24_576)),  # fits the packet, but not the 32768 characters of its text
    ],
)
def test_a_payment_that_does_not_fit_is_not_written(payment: ilp.IlpPayment) -> None:
    with pytest.raises(ValueError, match=r"amount|long|ascii"):
        ilp.encode_payment(payment)


def test_a_packet_text_above_the_limit_is_not_read() -> None:
    with pytest.raises(ValueError, match="too long"):
        ilp.decode_payment("A" * 32_769)


@given(st.binary(min_size=32, max_size=32), st.data())
def test_only_the_one_fulfilment_fulfils(preimage: bytes, data: st.DataObject) -> None:
    fulfilment = base64url.encode(preimage)
    condition = ilp.condition_for(fulfilment)
    assert ilp.fulfils(fulfilment, condition)
    for text, fulfils in (
        (fulfilment, lambda other: ilp.fulfils(other, condition)),
        (condition, lambda other: ilp.fulfils(fulfilment, other)),
    ):
        at = data.draw(st.integers(0, 42))
        other = data.draw(st.characters(exclude_characters=text[at]))
        assert not fulfils(text[:at] + other + text[at + 1 :])
        for wrong in (text + "=", text[:-1], text + "A", "", " " + text[1:], text + "\n"):
            assert not fulfils(wrong)


def test_a_condition_needs_a_fulfilment_of_32_octets() -> None:
    for octets in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="43"):
            ilp.condition_for(base64url.encode(octets))
