"""The life of an outgoing payment: only the hub's word ends what was sent, whatever comes in whatever order."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.events import (
    Ask,
    ErrorReported,
    Event,
    PartyFailed,
    PartyFound,
    QuoteFailed,
    QuoteGiven,
    Refused,
    Reported,
    Resumed,
    Started,
    Taken,
    Unclear,
    Waited,
)
from connector.flow import ENDS, Payment, Policy, State, Step, step
from connector.order import Order, PartyRef
from fspiop.bodies.common import Money
from fspiop.bodies.quotes import QuotePut
from tests.keys import CONDITION, FULFILMENT, OTHER_FULFILMENT, PACKET

POLICY = Policy(dfsp="green")
NOW = 1_800_000_000.0
ORDER = Order(
    home_id="P1",
    payer=PartyRef(id_type="MSISDN", id_value="1", name="Asha"),
    payee=PartyRef(id_type="MSISDN", id_value="2"),
    amount=1_000_000,
    currency="TZS",
)
NEW = Payment(order=ORDER, transfer_id="t", quote_id="q", transaction_id="x", created_at=NOW)
FOUND = PartyFound(PartyRef(id_type="MSISDN", id_value="2", name="Juma", fsp_id="blue"))


def terms(**changes: Any) -> QuoteGiven:
    quote = QuotePut(
        transfer_amount=Money(currency="TZS", amount="100"),
        expiration="2099-01-01T00:00:00.000Z",
        ilp_packet=PACKET,
        condition=CONDITION,
    )
    return QuoteGiven(msgspec.structs.replace(quote, **changes))


def follow(*events: Event, payment: Payment = NEW, now: float = NOW) -> Step:
    taken = Step(payment)
    for event in events:
        taken = step(taken.payment, event, now, POLICY)
    return taken


SENT = (Started(), FOUND, terms())


def test_a_payment_takes_its_way() -> None:
    assert Ask.PARTY in follow(Started()).actions
    assert Ask.QUOTE in follow(Started(), FOUND).actions
    prepared = follow(*SENT)
    assert (prepared.payment.state, prepared.actions[0]) == (State.PREPARED, Ask.SEND)
    assert prepared.payment.transfer_amount == 1_000_000
    ended = follow(*SENT, Taken(), Reported("COMMITTED", FULFILMENT))
    assert ended.payment.state is State.COMMITTED


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ((Started(), PartyFailed("3204", "no")), "3204"),
        ((Started(), FOUND, QuoteFailed("5200", "limit")), "5200"),
        ((Started(), FOUND, terms(transfer_amount=Money(currency="TZS", amount="101"))), "4000"),
        ((Started(), FOUND, terms(transfer_amount=Money(currency="KES", amount="100"))), "5103"),
        ((Started(), FOUND, terms(expiration="2001-01-01T00:00:00.000Z")), "3302"),
        ((*SENT, Refused("3100", "at the door")), "3100"),
        ((*SENT, Taken(), ErrorReported("4200", "cap")), "4200"),
        ((*SENT, Taken(), ErrorReported("3303", "expired")), "3303"),
    ],
)
def test_a_payment_that_fails_says_why(events: tuple[Event, ...], code: str) -> None:
    ended = follow(*events).payment
    assert (ended.state, ended.error_code) == (State.ABORTED, code)


@pytest.mark.parametrize(
    "event", [Unclear(), Waited(), Resumed(), ErrorReported("2001", "?"), ErrorReported("3106", "?")]
)
def test_what_was_sent_is_never_given_up_without_the_hubs_word(event: Event) -> None:
    sent = follow(*SENT, Taken()).payment
    for late in (NOW, NOW + 10_000_000):
        after = step(sent, event, late, POLICY).payment
        assert after.state not in ENDS


def test_doubt_sends_the_identical_bytes_or_asks_and_ends_only_when_it_is_too_late_to_be_let_in() -> None:
    doubted = follow(*SENT, Unclear()).payment
    assert doubted.state is State.DOUBT
    again = step(doubted, ErrorReported("3208", "unknown"), NOW + 1, POLICY)
    assert again.actions == [Ask.SEND]
    assert again.payment.transfer_body == doubted.transfer_body
    too_late = doubted.expires_at + POLICY.clock_margin_s
    assert step(doubted, ErrorReported("3208", "unknown"), too_late - 1, POLICY).payment.state is State.DOUBT
    assert step(doubted, ErrorReported("3208", "unknown"), too_late, POLICY).payment.state is State.ABORTED


def test_committed_without_the_fulfilment_is_hearsay() -> None:
    sent = follow(*SENT, Taken()).payment
    for fulfilment in (None, OTHER_FULFILMENT, "x"):
        after = step(sent, Reported("COMMITTED", fulfilment), NOW, POLICY)
        assert after.payment.state is State.ACCEPTED
        assert after.refusal is not None


events = st.sampled_from(
    [
        Started(),
        Resumed(),
        Waited(),
        Taken(),
        Unclear(),
        FOUND,
        terms(),
        PartyFailed("3204", "no"),
        QuoteFailed("5200", "no"),
        Refused("3100", "no"),
        Reported("RESERVED"),
        Reported("COMMITTED", FULFILMENT),
        Reported("COMMITTED", OTHER_FULFILMENT),
        Reported("ABORTED"),
        ErrorReported("3303", "late"),
        ErrorReported("3208", "unknown"),
        ErrorReported("2001", "fault"),
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(events, st.floats(0, 60)), max_size=25))
def test_an_end_is_never_left_and_ids_and_bytes_never_change(script: list[tuple[Event, float]]) -> None:
    payment, now = NEW, NOW
    for event, pause in script:
        now += pause
        after = step(payment, event, now, POLICY).payment
        if payment.state in ENDS:
            assert after.state is payment.state
        if payment.state in (State.ACCEPTED, State.DOUBT) and payment.accepted and after.state is State.ABORTED:
            assert isinstance(event, ErrorReported | Reported)  # the hub's word
        assert (after.transfer_id, after.quote_id) == (payment.transfer_id, payment.quote_id)
        if payment.transfer_body:
            assert after.transfer_body == payment.transfer_body
        if after.state is State.COMMITTED:
            assert after.fulfilment == FULFILMENT
        payment = after
