"""The life of an outgoing payment: only the hub's word ends what was sent, whatever comes in whatever order."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fspiop.bodies.common import Money
from fspiop.bodies.quotes import QuotePut
from kitovu_connector.payment_events_and_actions import (
    Ask,
    EndClaimed,
    ErrorReported,
    Event,
    OwnerFound,
    PartyFailed,
    PartyFound,
    QuoteFailed,
    QuoteGiven,
    Refused,
    Reported,
    Resumed,
    Started,
    Taken,
    TurnedAway,
    Unclear,
    Wait,
    Waited,
)
from kitovu_connector.payment_order import Order, PartyRef
from kitovu_connector.payment_states import ENDS, Payment, Policy, State, Step, step
from kitovu_connector.payment_states import SENT as SENT_STATES
from tests.examples import examples
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
JUMA = PartyRef(id_type="MSISDN", id_value="2", name="Juma", fsp_id="blue")
FOUND = PartyFound(JUMA, "blue", is_proven=True)


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
        ((*SENT, Refused(Ask.SEND, "3100", "at the door")), "3100"),
        ((*SENT, Taken(), ErrorReported("4200", "cap")), "4200"),
        ((*SENT, Taken(), ErrorReported("3303", "expired")), "3303"),
    ],
)
def test_a_payment_that_fails_says_why(events: tuple[Event, ...], code: str) -> None:
    ended = follow(*events).payment
    assert (ended.state, ended.error_code) == (State.ABORTED, code)


@pytest.mark.parametrize(
    "event", [Unclear(Ask.SEND), Waited(), Resumed(), ErrorReported("2001", "?"), ErrorReported("3106", "?")]
)
def test_what_was_sent_is_never_given_up_without_the_hubs_word(event: Event) -> None:
    sent = follow(*SENT, Taken()).payment
    for late in (NOW, NOW + 10_000_000):
        after = step(sent, event, late, POLICY).payment
        assert after.state not in ENDS


def test_doubt_sends_the_identical_bytes_or_asks_and_ends_only_when_it_is_too_late_to_be_let_in() -> None:
    doubted = follow(*SENT, Unclear(Ask.SEND)).payment
    assert doubted.state is State.DOUBT
    again = step(doubted, ErrorReported("3208", "unknown", NOW + 1), NOW + 1, POLICY)
    assert again.actions == [Ask.SEND]
    assert again.payment.transfer_body == doubted.transfer_body
    too_late = doubted.expires_at + POLICY.clock_margin_s
    assert step(doubted, unknown(too_late - 1), too_late - 1, POLICY).payment.state is State.DOUBT
    assert step(doubted, unknown(too_late), too_late, POLICY).payment.state is State.ABORTED


def test_that_the_hub_does_not_know_a_transfer_counts_when_it_was_said() -> None:
    """Written before the expiration, delivered long after it: the transfer may have come in between."""
    doubted = follow(*SENT, Unclear(Ask.SEND)).payment
    much_later = doubted.expires_at + 3600
    for written_at in (0.0, NOW + 1, doubted.expires_at + POLICY.clock_margin_s - 1):
        after = step(doubted, unknown(written_at), much_later, POLICY)
        assert (after.payment.state, list(after.actions)) == (State.DOUBT, [])


def unknown(written_at: float) -> ErrorReported:
    return ErrorReported("3208", "unknown", written_at)


def test_a_hint_is_a_reason_to_ask_the_hub_and_no_more_than_once_a_second() -> None:
    for sent in (follow(*SENT), follow(*SENT, Taken()), follow(*SENT, Unclear(Ask.SEND))):
        hinted = step(sent.payment, EndClaimed(FULFILMENT), NOW + 5, POLICY)
        assert hinted.payment.state is sent.payment.state
        assert Ask.TRANSFER in hinted.actions
        for later in (0.1, 0.5, 0.9):
            again = step(hinted.payment, EndClaimed(FULFILMENT), NOW + 5 + later, POLICY)
            assert again.payment == hinted.payment
            (wait,) = again.actions
            assert isinstance(wait, Wait)
            assert wait.seconds == pytest.approx(1 - later)  # however many come, it wakes in time
        assert Ask.TRANSFER in step(hinted.payment, EndClaimed(), NOW + 6, POLICY).actions


def test_a_fulfilment_after_the_hub_aborted_is_shown_to_people_and_changes_nothing() -> None:
    ended = follow(*SENT, Taken(), Reported("ABORTED")).payment
    for fulfilment, word in ((FULFILMENT, "contradiction"), (OTHER_FULFILMENT, "does not fit")):
        after = step(ended, EndClaimed(fulfilment), NOW, POLICY)
        assert after.payment == ended
        assert word in (after.refusal or "")
    assert step(ended, EndClaimed(), NOW, POLICY) == Step(ended)


ASKING = Policy(dfsp="green", asks_owner=True)


def test_where_the_connection_proves_nothing_the_hub_says_who_is_to_be_asked() -> None:
    asked = step(NEW, Started(), NOW, ASKING)
    assert Ask.OWNER in asked.actions
    found = PartyFound(JUMA, "blue")
    for early in (found, PartyFailed("3204", "no", "blue")):
        assert step(asked.payment, early, NOW, ASKING).payment == asked.payment
    named = step(asked.payment, OwnerFound("blue"), NOW, ASKING)
    assert Ask.PARTY in named.actions
    for stranger in (PartyFound(JUMA, "red"), PartyFailed("3204", "no", "red"), OwnerFound("red")):
        after = step(named.payment, stranger, NOW, ASKING)
        assert after.payment == named.payment
    assert step(named.payment, found, NOW, ASKING).payment.state is State.QUOTE
    assert step(named.payment, PartyFailed("3204", "no", "blue"), NOW, ASKING).payment.state is State.ABORTED
    assert step(named.payment, PartyFailed("2004", "no", "Hub", is_proven=True), NOW, ASKING).payment.state in ENDS
    assert Ask.PARTY in step(named.payment, Resumed(), NOW, ASKING).actions
    assert step(asked.payment, OwnerFound("green"), NOW, ASKING).payment.error_code == "3204"


def test_a_party_that_is_another_dfsps_is_not_paid() -> None:
    named = PartyFound(JUMA, "red", is_proven=True)
    ended = follow(Started(), named).payment
    assert (ended.state, ended.error_code) == (State.ABORTED, "3203")


def test_an_error_that_proves_nothing_asks_the_hub_at_once_and_only_once() -> None:
    """The payee may reject with 2001. It may also be a fault on the way: the hub knows, and the code is kept."""
    sent = follow(*SENT, Taken()).payment
    for code in ("1001", "2001", "3000", "3106", "6000", "7000"):
        noted = step(sent, ErrorReported(code, "why"), NOW + 5, POLICY)
        assert noted.payment.state is State.ACCEPTED
        assert Ask.TRANSFER in noted.actions
        assert step(noted.payment, ErrorReported(code, "why"), NOW + 50, POLICY) == Step(noted.payment)
        ended = step(noted.payment, Reported("ABORTED"), NOW + 6, POLICY).payment
        assert (ended.state, ended.error_code, ended.error_text) == (State.ABORTED, code, "why")
        ended = step(noted.payment, Reported("ABORTED", cause=("5104", "no")), NOW + 6, POLICY).payment
        assert ended.error_code == "5104"
        assert step(noted.payment, Reported("COMMITTED", FULFILMENT), NOW + 6, POLICY).payment.error_code is None
    claimed = step(sent, EndClaimed(cause=("7000", "why")), NOW + 5, POLICY).payment
    assert step(claimed, Reported("ABORTED"), NOW + 6, POLICY).payment.error_code == "7000"


def test_to_be_turned_away_ends_a_payment_only_before_it_is_sent() -> None:
    away = TurnedAway(Ask.SEND, "3105", "no key")
    for early, ask in ((follow(Started()), Ask.PARTY), (follow(Started(), FOUND), Ask.QUOTE)):
        ended = step(early.payment, TurnedAway(ask, "3105", "no key"), NOW, POLICY).payment
        assert (ended.state, ended.error_code) == (State.ABORTED, "3105")
    assert step(follow(*SENT).payment, away, NOW, POLICY).payment.state is State.DOUBT
    accepted = follow(*SENT, Taken()).payment
    assert step(accepted, away, NOW, POLICY) == Step(accepted)


def test_a_late_answer_about_the_payees_dfsp_changes_nothing_once_it_is_known() -> None:
    named = step(step(NEW, Started(), NOW, ASKING).payment, OwnerFound("blue"), NOW, ASKING).payment
    for late in (Refused(Ask.OWNER, "3204", "no"), TurnedAway(Ask.OWNER, "3105", "no"), Unclear(Ask.OWNER)):
        assert step(named, late, NOW, ASKING) == Step(named)


def test_a_dfsp_whose_answers_nothing_can_verify_is_not_asked_for_terms() -> None:
    knowing = Policy(dfsp="green", known_signers=frozenset({"Hub", "red"}))
    ended = step(follow(Started()).payment, FOUND, NOW, knowing).payment
    assert (ended.state, ended.error_code) == (State.ABORTED, "3105")
    assert "blue" in (ended.error_text or "")


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
        *(Unclear(ask) for ask in Ask),
        FOUND,
        terms(),
        PartyFailed("3204", "no"),
        QuoteFailed("5200", "no"),
        *(Refused(ask, "3100", "no") for ask in Ask),
        Reported("RESERVED"),
        Reported("COMMITTED", FULFILMENT),
        Reported("COMMITTED", OTHER_FULFILMENT),
        Reported("ABORTED"),
        ErrorReported("3303", "late"),
        ErrorReported("3208", "unknown"),
        ErrorReported("3208", "unknown", NOW + 10_000),
        EndClaimed(),
        EndClaimed(FULFILMENT),
        EndClaimed(OTHER_FULFILMENT),
        OwnerFound("blue"),
        PartyFound(JUMA, "red"),
        ErrorReported("2001", "fault"),
        ErrorReported("7000", "fault"),
        EndClaimed(cause=("2001", "fault")),
        *(TurnedAway(ask, "3000", "no") for ask in Ask),
    ]
)


@settings(max_examples=examples(500), deadline=None)
@given(st.lists(st.tuples(events, st.floats(0, 60)), max_size=25))
def test_an_end_is_never_left_and_ids_and_bytes_never_change(script: list[tuple[Event, float]]) -> None:
    payment, now = NEW, NOW
    for event, pause in script:
        now += pause
        after = step(payment, event, now, POLICY).payment
        if payment.state in ENDS:
            assert after.state is payment.state
        if payment.state in SENT_STATES and after.state in ENDS:
            is_refused = payment.state is State.PREPARED and event == Refused(Ask.SEND, "3100", "no")
            assert is_refused or isinstance(event, ErrorReported | Reported)  # the hub's word about the transfer
        assert (after.transfer_id, after.quote_id) == (payment.transfer_id, payment.quote_id)
        if payment.transfer_body:
            assert after.transfer_body == payment.transfer_body
        if after.state is State.COMMITTED:
            assert after.fulfilment == FULFILMENT
        payment = after
