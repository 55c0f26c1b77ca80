"""A payment before its transfer is sent: payee, conversion, terms and password, each asked for and accepted in turn."""

import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fspiop.bodies import read
from fspiop.bodies.authorizations import AuthenticationInfo, AuthorizationPut
from fspiop.bodies.common import Money
from fspiop.bodies.fx_quotes import FxMoney, FxQuotePost, FxQuotePut
from fspiop.bodies.fx_transfers import FxTransferPost
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPost
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.payment_events_and_actions import (
    AgreementFailed,
    Ask,
    AuthorizationGiven,
    Cancelled,
    Confirmed,
    ConversionGiven,
    ConversionReported,
    Event,
    PartyFailed,
    PartyFound,
    ProvidersFound,
    QuoteFailed,
    QuoteGiven,
    Refused,
    Resumed,
    Started,
    Taken,
    TurnedAway,
    Unclear,
    Waited,
)
from kitovu_connector.payment_order import Order, PartyRef
from kitovu_connector.payment_record import ENDS, SENT, Payment, Policy, State, Step
from kitovu_connector.payment_states import step
from tests.keys import CONDITION, FULFILMENT, OTHER_FULFILMENT, PACKET

NOW = 1_800_000_000.0
POLICY = Policy(dfsp="green")
KESI = PartyRef(id_type="MSISDN", id_value="2", name="Kesi", fsp_id="blue", currencies=("KES",))
ORDER = Order(
    home_id="P1",
    payer=PartyRef(id_type="MSISDN", id_value="1", currencies=("TZS",)),
    payee=PartyRef(id_type="MSISDN", id_value="2"),
    amount=1_000_000,
    currency="TZS",
    needs_payee_confirmation=True,
    needs_conversion_confirmation=True,
    needs_confirmation=True,
    needs_password=True,
    needs_password_confirmation=True,
    may_convert=True,
    transaction_request_id=str(uuid.UUID(int=8, version=4)),
)
ID = str(uuid.UUID(int=7, version=4))
LATE = "2099-01-01T00:00:00.000Z"


def new(**changes: Any) -> Payment:
    return Payment(
        order=msgspec.structs.replace(ORDER, **changes),
        transfer_id=ID,
        quote_id=ID,
        transaction_id=ID,
        created_at=NOW,
    )


def offered(payment: Payment, source: str = "100", target: str = "200", **changes: Any) -> ConversionGiven:
    """What the FXP answers to the payment's question."""
    terms = read(FxQuotePost, payment.fx_quote_body).conversion_terms
    known = msgspec.structs.replace(
        terms,
        source_amount=FxMoney(currency="TZS", amount=source),
        target_amount=FxMoney(currency="KES", amount=target),
        **changes,
    )
    return ConversionGiven(FxQuotePut(conversion_terms=known, condition=CONDITION))


def terms(amount: str = "200", currency: str = "KES", **more: str) -> QuoteGiven:
    """The payee DFSP's terms. `more` are further amounts in the same currency."""
    money = {
        name: Money(currency=currency, amount=value) for name, value in {"transfer_amount": amount, **more}.items()
    }
    return QuoteGiven(QuotePut(**money, expiration=LATE, ilp_packet=PACKET, condition=CONDITION))  # type: ignore[arg-type]


def entered(response: str = "ENTERED") -> AuthorizationGiven:
    info = AuthenticationInfo(authentication="OTP", authentication_value="1234")
    return AuthorizationGiven(AuthorizationPut(response_type=response, authentication_info=info))  # type: ignore[arg-type]


def found() -> PartyFound:
    return PartyFound(KESI, "blue", is_proven=True)


def next_event(payment: Payment) -> Event:
    """What must come next for the payment to go on."""
    return {
        State.LOOKUP: found,
        State.PAYEE_FOUND: lambda: Confirmed("payee"),
        State.PROVIDERS: lambda: ProvidersFound(("fxp", "other")),
        State.FX_QUOTE: lambda: offered(payment),
        State.CONVERSION_OFFERED: lambda: Confirmed("conversion"),
        State.QUOTE: terms,
        State.AGREED: lambda: Confirmed("terms"),
        State.AUTHORIZATION: entered,
        State.AUTHORIZED: lambda: Confirmed("password"),
        State.FX_TRANSFER: lambda: ConversionReported("RESERVED", FULFILMENT),
    }[payment.state]()


WAY = [
    State.LOOKUP,
    State.PAYEE_FOUND,
    State.PROVIDERS,
    State.FX_QUOTE,
    State.CONVERSION_OFFERED,
    State.QUOTE,
    State.AGREED,
    State.AUTHORIZATION,
    State.AUTHORIZED,
    State.FX_TRANSFER,
    State.PREPARED,
]


def upto(state: State, **changes: Any) -> Payment:
    payment = step(new(**changes), Started(), NOW, POLICY).payment
    for _ in WAY:
        if payment.state is state:
            return payment
        payment = step(payment, next_event(payment), NOW, POLICY).payment
    raise AssertionError(payment.state)


def test_a_payment_with_everything_takes_its_way() -> None:
    payment = step(new(), Started(), NOW, POLICY).payment
    way = [payment.state]
    while payment.state not in SENT:
        payment = step(payment, next_event(payment), NOW, POLICY).payment
        way.append(payment.state)
    assert way == WAY
    assert read(QuotePost, payment.quote_body).amount == Money(currency="KES", amount="200")
    assert read(QuotePost, payment.quote_body).transaction_request_id == ORDER.transaction_request_id
    sent = read(TransferPost, payment.transfer_body)
    assert (sent.amount.currency, sent.transfer_id) == ("KES", payment.transfer_id)
    converted = read(FxTransferPost, payment.fx_transfer_body)
    assert (converted.determining_transfer_id, converted.counter_party_fsp) == (payment.transfer_id, "fxp")
    assert converted.source_amount == Money(currency="TZS", amount="100")
    assert converted.commit_request_id not in (payment.transfer_id, conversion.request_id(payment))


def test_a_payment_of_an_amount_that_is_received_asks_for_terms_first() -> None:
    order = {"amount_type": "RECEIVE", "currency": "KES", "amount": 2_000_000, "max_amount": 10**12}
    payment = step(new(**order, needs_password=False), Started(), NOW, POLICY).payment
    way = [payment.state]
    while payment.state not in SENT:
        payment = step(payment, next_event(payment), NOW, POLICY).payment
        way.append(payment.state)
    expected = [state for state in WAY if state not in (State.AUTHORIZATION, State.AUTHORIZED)]
    quote = [State.QUOTE, State.AGREED]
    expected = expected[:2] + quote + [state for state in expected[2:] if state not in quote]
    assert way == expected
    asked = read(FxQuotePost, payment.fx_quote_body).conversion_terms
    assert (asked.source_amount.amount, asked.target_amount.amount) == (None, "200")


@pytest.mark.parametrize("state", WAY[:-1])
def test_before_the_transfer_is_sent_every_state_can_be_cancelled_and_ends_for_ever(state: State) -> None:
    ended = step(upto(state), Cancelled(), NOW, POLICY).payment
    assert (ended.state, ended.error_code, ended.transfer_body) == (State.ABORTED, "4100", b"")
    assert step(ended, next_event(upto(state)), NOW, POLICY).payment == ended


@pytest.mark.parametrize("state", WAY[:-1])
def test_after_a_crash_each_state_goes_on_where_it_stood_with_the_same_bytes(state: State) -> None:
    payment = upto(state)
    resumed = step(payment, Resumed(), NOW + 1, POLICY)
    assert resumed.payment.state is state
    assert resumed.actions
    for name in ("quote_body", "fx_quote_body", "fx_transfer_body"):
        assert getattr(resumed.payment, name) == getattr(payment, name)


def test_a_prepared_transfer_can_no_longer_be_cancelled() -> None:
    prepared = upto(State.PREPARED)
    assert step(prepared, Cancelled(), NOW, POLICY).payment == prepared


FAILURES: list[tuple[State, Event, str]] = [
    (State.LOOKUP, PartyFailed("3204", "no"), "3204"),
    (State.PROVIDERS, ProvidersFound(()), "5106"),
    (State.PROVIDERS, AgreementFailed(Ask.PROVIDERS, "2001", "no"), "2001"),
    (State.FX_QUOTE, AgreementFailed(Ask.FX_QUOTE, "5103", "no"), "5103"),
    (State.FX_QUOTE, Refused(Ask.FX_QUOTE, "3201", "no"), "3201"),
    (State.QUOTE, QuoteFailed("5200", "no"), "5200"),
    (State.QUOTE, terms("201"), "4000"),
    (State.QUOTE, terms("199"), "4000"),  # the conversion gives 200
    (State.QUOTE, terms("100", "TZS"), "5103"),
    (State.QUOTE, terms(payee_receive_amount="0", payee_fsp_fee="200"), "4000"),
    (State.QUOTE, terms(payee_fsp_fee="200"), "4000"),  # so that nothing is left for the payee
    (State.QUOTE, terms(payee_fsp_fee="201"), "4000"),
    (State.AUTHORIZATION, AgreementFailed(Ask.AUTHORIZATION, "5100", "no"), "5100"),
    (State.AUTHORIZATION, entered("REJECTED"), "4101"),
    (State.FX_TRANSFER, AgreementFailed(Ask.FX_SEND, "5001", "no"), "5001"),
    (State.FX_TRANSFER, ConversionReported("ABORTED"), "5000"),
    (State.FX_TRANSFER, Refused(Ask.FX_SEND, "4001", "no"), "4001"),
]


@pytest.mark.parametrize(("state", "event", "code"), FAILURES)
def test_a_failure_before_the_transfer_ends_the_payment_with_its_code(state: State, event: Event, code: str) -> None:
    ended = step(upto(state), event, NOW, POLICY).payment
    assert (ended.state, ended.error_code, ended.transfer_body) == (State.ABORTED, code, b"")


ASKS = {
    State.LOOKUP: Ask.PARTY,
    State.PROVIDERS: Ask.PROVIDERS,
    State.FX_QUOTE: Ask.FX_QUOTE,
    State.QUOTE: Ask.QUOTE,
    State.AUTHORIZATION: Ask.AUTHORIZATION,
    State.FX_TRANSFER: Ask.FX_SEND,
    State.PREPARED: Ask.SEND,
}


@pytest.mark.parametrize("state", WAY)
def test_a_late_answer_to_the_request_of_another_state_changes_nothing(state: State) -> None:
    """The hub can answer a repeated request long after the callback of the first one has moved the payment on."""
    payment = upto(state)
    for ask in set(Ask) - {ASKS.get(state)}:
        for late in (Refused(ask, "3100", "no"), TurnedAway(ask, "3105", "no key"), Unclear(ask)):
            assert step(payment, late, NOW, POLICY) == Step(payment)


CONVERSIONS: list[tuple[dict[str, Any], str]] = [
    ({"source": "101"}, "4000"),
    ({"target": "0"}, "3100"),
    ({"counter_party_fsp": "other"}, "3100"),
    ({"determining_transfer_id": str(uuid.uuid4())}, "3100"),
    ({"expiration": "2001-01-01T00:00:00.000Z"}, "3302"),
]


@pytest.mark.parametrize(("changes", "code"), CONVERSIONS)
def test_terms_of_a_conversion_that_are_wrong_end_the_payment(changes: dict[str, Any], code: str) -> None:
    asking = upto(State.FX_QUOTE)
    ended = step(asking, offered(asking, **changes), NOW, POLICY).payment
    assert (ended.state, ended.error_code) == (State.ABORTED, code)


def test_a_conversion_without_its_fulfilment_sends_no_transfer() -> None:
    waiting = upto(State.FX_TRANSFER)
    for state, fulfilment in (("RESERVED", OTHER_FULFILMENT), ("COMMITTED", None), ("COMMITTED", OTHER_FULFILMENT)):
        taken = step(waiting, ConversionReported(state, fulfilment), NOW, POLICY)
        assert taken.payment == waiting
        assert taken.refusal is not None
    # So the hub answers a request that is repeated before the FXP has promised.
    assert step(waiting, ConversionReported("RESERVED"), NOW, POLICY) == Step(waiting)


@pytest.mark.parametrize("state", [State.PAYEE_FOUND, State.CONVERSION_OFFERED, State.AGREED, State.AUTHORIZED])
def test_the_core_accepts_only_what_it_is_asked_for_and_in_time(state: State) -> None:
    waiting = upto(state)
    for accepts in ("payee", "conversion", "terms", "password"):
        event = Confirmed(accepts)  # type: ignore[arg-type]
        if event != next_event(waiting):
            assert step(waiting, event, NOW, POLICY).payment == waiting
    for event in (Waited(), Resumed()):
        ended = step(waiting, event, waiting.terms_expire_at + POLICY.clock_margin_s, POLICY).payment
        assert (ended.state, ended.error_code) == (State.ABORTED, "3302")


def test_what_is_not_answered_ends_in_time_and_the_time_of_the_core_does_not_count() -> None:
    asking = upto(State.QUOTE)
    assert step(asking, Waited(), NOW + POLICY.agree_s, POLICY).payment.error_code == "2004"
    slow = upto(State.PAYEE_FOUND)
    quoting = step(slow, Confirmed("payee"), NOW + 1000, POLICY).payment
    assert quoting.state is State.PROVIDERS
    assert step(quoting, Waited(), NOW + 1001, POLICY).payment.state is State.PROVIDERS


def test_the_payer_has_time_to_enter_the_password() -> None:
    """A person tells the code to a shop. That takes longer than DFSPs may take for a lookup and for terms."""
    asking = upto(State.AUTHORIZATION)
    begun = asking.agreeing_since or asking.created_at
    late = begun + POLICY.agree_s + 1
    assert step(asking, Waited(), late, POLICY).payment.state is State.AUTHORIZATION
    ended = step(asking, Waited(), begun + POLICY.password_s, POLICY).payment
    assert (ended.state, ended.error_code) == (State.ABORTED, "2004")


def test_what_was_agreed_elsewhere_is_sent_as_it_is() -> None:
    body = TransferPost(
        transfer_id=ID,
        payer_fsp="green",
        payee_fsp="blue",
        amount=Money(currency="TZS", amount="100"),
        ilp_packet=PACKET,
        condition=CONDITION,
        expiration=LATE,
    )
    raw = msgspec.json.encode(body)
    taken = step(new(agreed_transfer=raw), Started(), NOW, POLICY)
    assert (taken.payment.state, taken.payment.transfer_body, taken.actions[0]) == (State.PREPARED, raw, Ask.SEND)
    assert step(taken.payment, Started(), NOW, POLICY).payment == taken.payment


def test_a_fee_above_the_limit_and_a_time_that_is_over_pay_nothing() -> None:
    plain = {"may_convert": False, "needs_password": False}
    asking = upto(State.QUOTE, **plain, fee_limit=10_000)
    quote = QuotePut(
        transfer_amount=Money(currency="TZS", amount="100"),
        payee_receive_amount=Money(currency="TZS", amount="98"),
        payee_fsp_fee=Money(currency="TZS", amount="2"),
        expiration=LATE,
        ilp_packet=PACKET,
        condition=CONDITION,
    )
    assert step(asking, QuoteGiven(quote), NOW, POLICY).payment.error_code == "4000"
    late = step(upto(State.QUOTE, **plain, expires_at=NOW), QuoteGiven(quote), NOW, POLICY).payment
    assert step(late, Confirmed("terms"), NOW, POLICY).payment.error_code == "3300"


@pytest.mark.parametrize(
    ("amounts", "is_paid"),
    [
        ({"transfer_amount": "101"}, True),
        ({"transfer_amount": "102"}, False),
        ({"transfer_amount": "102", "payee_receive_amount": "102"}, False),
        ({"transfer_amount": "102", "payee_receive_amount": "101", "payee_fsp_fee": "1"}, False),
    ],
)
def test_terms_that_do_not_name_the_fee_cost_the_payer_no_more_than_the_fee_limit(
    amounts: dict[str, str], is_paid: bool
) -> None:
    plain = {"may_convert": False, "needs_password": False, "needs_confirmation": False}
    most = {"amount_type": "RECEIVE", "max_amount": 10**12, "fee_limit": 10_000}
    given = {name: Money(currency="TZS", amount=amount) for name, amount in amounts.items()}
    quote = QuotePut(**given, expiration=LATE, ilp_packet=PACKET, condition=CONDITION)  # type: ignore[arg-type]
    after = step(upto(State.QUOTE, **plain, **most), QuoteGiven(quote), NOW, POLICY).payment
    assert (after.state, after.error_code) == ((State.PREPARED, None) if is_paid else (State.ABORTED, "4000"))


EVENTS = st.sampled_from(
    [
        Started(),
        Resumed(),
        Waited(),
        Taken(),
        *(Unclear(ask) for ask in Ask),
        found(),
        terms(),
        entered(),
        ProvidersFound(("fxp",)),
        ConversionReported("RESERVED", FULFILMENT),
        Confirmed("payee"),
        Confirmed("conversion"),
        Confirmed("terms"),
        Confirmed("password"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.booleans()), max_size=40))
def test_no_order_of_events_sends_money_that_the_core_has_not_accepted(events: list[tuple[Event, bool]]) -> None:
    payment, accepted = new(), set()
    for event, goes_on in events:
        before = payment
        event = next_event(payment) if goes_on and payment.state in WAY[:-1] else event
        taken: Step = step(payment, event, NOW, POLICY)
        payment = taken.payment
        if isinstance(event, Confirmed) and before != payment:
            accepted.add(event.accepts)
        if Ask.SEND in taken.actions and before.state not in SENT:
            assert accepted == {"payee", "conversion", "terms", "password"}
            assert payment.fx_fulfilment == FULFILMENT
    assert payment.state not in ENDS
