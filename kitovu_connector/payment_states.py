"""The states of an outgoing payment: state + event -> next state + actions. Pure: no I/O, and the time is passed in.

    LOOKUP -> QUOTE -> [AGREED ->] PREPARED -> ACCEPTED -> COMMITTED | ABORTED
                                      |  ^        |
                                      v  |        v
                                      DOUBT <-----+    (GET /transfers/{id}, or send the identical bytes again)

Before PREPARED no money can have been transferred, so the payment can end safely. From PREPARED on, only the hub's
report ends the payment (API Definition 6.7.2: a payer never decides alone that a transfer did not happen). A payee DFSP
may claim an end without proof that the hub forwarded the claim. Then the connector only requests the state from the
hub.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from fspiop import ilp, money
from fspiop import time as fsptime
from fspiop.bodies import read, write
from fspiop.bodies.common import Money
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPost
from fspiop.errors import ErrorCode, text_of
from kitovu_connector.payment_events_and_actions import (
    Action,
    Ask,
    Cancelled,
    Confirmed,
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
from kitovu_connector.payment_order import Order, PartyRef, extension_list, party_of, transaction_type_of


class State(StrEnum):
    """The state of an outgoing payment."""

    LOOKUP = "LOOKUP"  # looks up the payee's DFSP, then the party at this DFSP
    QUOTE = "QUOTE"  # requests the terms
    AGREED = "AGREED"  # the terms are known, and the core's confirmation is pending
    PREPARED = "PREPARED"  # the transfer is stored and is being sent for the first time
    ACCEPTED = "ACCEPTED"  # the hub has the transfer; the outcome is pending
    DOUBT = "DOUBT"  # it is unknown whether the hub has the transfer, or the outcome is overdue
    COMMITTED = "COMMITTED"  # the end: the payee has the money
    ABORTED = "ABORTED"  # the end: no money moved


ENDS = frozenset({State.COMMITTED, State.ABORTED})
CANCELLABLE = frozenset({State.LOOKUP, State.QUOTE, State.AGREED})  # no transfer has been sent
SENT = frozenset({State.PREPARED, State.ACCEPTED, State.DOUBT})  # in these states, only the hub's report ends a payment
_ASK_ABOUT_CLAIMS_EVERY_S = 1.0  # the shortest time between two requests, even if many claims arrive


class Payment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An outgoing payment as stored. The payment's ids are created once, before any request is sent."""

    order: Order
    transfer_id: str
    quote_id: str
    transaction_id: str
    created_at: float
    state: State = State.LOOKUP
    tries: int = 0  # repetitions within the present state, which set the backoff
    accepted: bool = False  # the hub has reported at least once that it has the transfer
    asked_at: float = 0.0  # time of the last GET /transfers
    owner: str | None = None  # the payee alias's DFSP, as the hub reports it
    payee: PartyRef | None = None  # the payee as the payee DFSP describes it, with fsp_id
    quote_body: bytes = b""  # the body of POST /quotes, the same bytes each time
    quote_answer: bytes = b""  # the body of PUT /quotes, until the core confirms the terms
    terms_expire_at: float = 0.0
    transfer_amount: int = 0
    receive_amount: int | None = None
    fee: int | None = None
    condition: str = ""
    transfer_body: bytes = b""  # the body of POST /transfers, the same bytes each time
    expires_at: float = 0.0
    completed_at: str | None = None
    fulfilment: str | None = None
    reported_code: str | None = None  # the code of an error that is no end, but may be the reason for the end
    reported_text: str | None = None
    error_code: str | None = None
    error_text: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that the decisions depend on."""

    dfsp: str
    asks_owner: bool = False  # look up the payee's DFSP at the hub first, because PUT /parties alone proves nothing
    transfer_expiry_s: float = 30.0
    agree_s: float = 30.0
    ask_again_s: float = 4.0
    callback_s: float = 10.0
    clock_margin_s: float = 10.0
    hub_ahead_s: float = 0.0  # the hub's clock is ahead of this machine's clock; expirations are by the hub's clock
    ask_at_most_every_s: float = 30.0
    known_signers: frozenset[str] | None = None  # the DFSPs whose messages can be verified; None: no restriction


@dataclass(frozen=True, slots=True)
class Step:
    """The result of an event. If a message must not be believed, `refusal` is the reason, and nothing has changed."""

    payment: Payment
    actions: Sequence[Action] = ()
    refusal: str | None = None


def proves_abort(code: str) -> bool:
    """Returns whether an error about a transfer means that the transfer has ended.

    1xxx and 2xxx report a fault on the way. 30xx and 3101-3107 report a fault of a message (3106: the original transfer
    continues). 3208 reports that the hub does not have the id. None of these codes decides the transfer.
    """
    if code == ErrorCode.TRANSFER_ID_NOT_FOUND.code:
        return False
    return code == ErrorCode.VALIDATION_ERROR.code or code[:2] in ("32", "33") or code[:1] in ("4", "5")


def step(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """Returns the next state of `payment` after `event`, and the actions that follow."""
    if isinstance(event, Cancelled) and payment.state in CANCELLABLE:
        return _abort_for(payment, ErrorCode.PAYER_REJECTION, "cancelled before it was sent")
    match payment.state:
        case State.LOOKUP:
            return _in_lookup(payment, event, now, policy)
        case State.QUOTE:
            return _in_quote(payment, event, now, policy)
        case State.AGREED:
            return _when_agreed(payment, event, now, policy)
        case State.PREPARED | State.ACCEPTED | State.DOUBT:
            return _when_sent(payment, event, now, policy)
        case State.COMMITTED | State.ABORTED:
            return _after_the_end(payment, event)


# ---- before the transfer is sent --------------------------------------------------------------------------------


def _in_lookup(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    match event:
        case Started() | Resumed() | Waited():
            return _ask_again(payment, Ask.OWNER if _wants_owner(payment, policy) else Ask.PARTY, now, policy)
        case Unclear():
            return Step(payment, [Wait(_soon(payment))])
        case Refused(code, text) | TurnedAway(code, text):
            return _abort(payment, code, text)
        case OwnerFound(fsp_id) if _wants_owner(payment, policy):
            if fsp_id == policy.dfsp:
                return _abort_for(payment, ErrorCode.PARTY_NOT_FOUND, "the payee is a customer of this DFSP")
            if _is_unknown(fsp_id, policy):
                return _abort_for(payment, ErrorCode.INVALID_SIGNATURE, f"jws_keys has no key of {fsp_id}")
            return _ask_again(_change(payment, owner=fsp_id, tries=0), Ask.PARTY, now, policy)
        case PartyFound(sender=sender, is_proven=is_proven) | PartyFailed(sender=sender, is_proven=is_proven) if (
            policy.asks_owner and not is_proven and sender != payment.owner
        ):
            return Step(payment, refusal="the hub reported another DFSP for this party")
        case PartyFailed(code, text):
            return _abort(payment, code, text)
        case PartyFound(party, sender):
            if not party.fsp_id:
                return _abort_for(payment, ErrorCode.PAYEE_FSP_ID_NOT_FOUND, "the party has no DFSP")
            if party.fsp_id != sender:
                return _abort_for(payment, ErrorCode.PAYEE_FSP_ID_NOT_FOUND, "the party belongs to another DFSP")
            if party.fsp_id == policy.dfsp:
                return _abort_for(payment, ErrorCode.PARTY_NOT_FOUND, "the payee is a customer of this DFSP")
            if _is_unknown(sender, policy):
                return _abort_for(payment, ErrorCode.INVALID_SIGNATURE, f"jws_keys has no key of {sender}")
            found = _change(payment, state=State.QUOTE, tries=0, payee=party)
            quoting = _change(found, quote_body=_quote_body(found, policy))
            return _ask_again(quoting, Ask.QUOTE, now, policy)
        case _:
            return Step(payment)


def _wants_owner(payment: Payment, policy: Policy) -> bool:
    return policy.asks_owner and payment.owner is None


def _is_unknown(fsp_id: str, policy: Policy) -> bool:
    """Returns whether the connector cannot verify this DFSP's answers.

    Without this check, a payment would wait for a verified answer that cannot come.
    """
    return policy.known_signers is not None and fsp_id not in policy.known_signers


def _in_quote(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    match event:
        case Resumed() | Waited():
            return _ask_again(payment, Ask.QUOTE, now, policy)
        case Unclear():
            return Step(payment, [Wait(_soon(payment))])
        case Refused(code, text) | TurnedAway(code, text) | QuoteFailed(code, text):
            return _abort(payment, code, text)
        case QuoteGiven(quote):
            problem = _problem_of(quote, payment.order, now + policy.hub_ahead_s - policy.clock_margin_s)
            if problem is not None:
                return _abort_for(payment, *problem)
            if payment.order.needs_confirmation:
                return _wait_for_confirmation(_agreed(payment, quote), now, policy)
            return _send(payment, quote, now, policy)
        case _:
            return Step(payment)


def _when_agreed(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    match event:
        case Confirmed() if now + policy.hub_ahead_s - policy.clock_margin_s < payment.terms_expire_at:
            return _send(payment, read(QuotePut, payment.quote_answer), now, policy)
        case Confirmed() | Resumed() | Waited():
            return _wait_for_confirmation(payment, now, policy)
        case _:
            return Step(payment)


def _send(payment: Payment, quote: QuotePut, now: float, policy: Policy) -> Step:
    # From here on the transfer may exist. It is stored and then sent, and afterwards only the hub's report ends the
    # payment.
    return Step(_prepared(payment, quote, now, policy), [Ask.SEND, Wait(policy.callback_s)])


def _wait_for_confirmation(payment: Payment, now: float, policy: Policy) -> Step:
    left = payment.terms_expire_at - (now + policy.hub_ahead_s - policy.clock_margin_s)
    if left <= 0:
        return _abort_for(payment, ErrorCode.QUOTE_EXPIRED, "the terms were not confirmed in time")
    return Step(payment, [Wait(left)])


def _ask_again(payment: Payment, ask: Ask, now: float, policy: Policy) -> Step:
    if now >= payment.created_at + policy.agree_s:
        return _abort_for(payment, ErrorCode.SERVER_TIMED_OUT, f"no response to {ask} in time")
    pause = min(policy.ask_again_s * 2**payment.tries, payment.created_at + policy.agree_s - now)
    return Step(_change(payment, tries=payment.tries + 1), [ask, Wait(pause)])


def _problem_of(quote: QuotePut, order: Order, no_later_than: float) -> tuple[ErrorCode, str] | None:
    """Returns the reason why the payer must not accept these terms, or None.

    By the payee's clock it is now `no_later_than` or later. Terms that seem to have expired may still be valid by that
    clock. Then the payee decides.
    """
    if quote.transfer_amount.currency != order.currency:
        return ErrorCode.PAYEE_FSP_REJECTED_QUOTE, "the terms are in another currency"
    try:
        transfer = money.parse_amount(quote.transfer_amount.amount)
        receive = _amount(quote.payee_receive_amount, order.currency)
        fee = _amount(quote.payee_fsp_fee, order.currency) or 0
        commission = _amount(quote.payee_fsp_commission, order.currency) or 0
        expires_at = fsptime.parse_datetime(quote.expiration).timestamp()
    except ValueError as error:
        return ErrorCode.VALIDATION_ERROR, f"the terms cannot be read: {error}"
    if expires_at <= no_later_than:
        return ErrorCode.QUOTE_EXPIRED, ""
    if transfer <= 0:
        return ErrorCode.VALIDATION_ERROR, "the transfer amount of the terms is zero"
    if order.amount_type == "SEND" and transfer > order.amount:
        return ErrorCode.PAYER_ERROR, "the terms take more than the payer sends"
    if order.amount_type == "RECEIVE" and transfer > (order.max_amount or order.amount):
        return ErrorCode.PAYER_ERROR, "the terms take more than the payer agreed to"
    if order.amount_type == "RECEIVE" and receive is not None and receive < order.amount:
        return ErrorCode.PAYER_ERROR, "the payee would receive too little"
    # API Definition 5.1: transfer amount = amount that the payee receives + the payee DFSP's fee - its commission.
    if receive is not None and transfer != receive + fee - commission:
        return ErrorCode.VALIDATION_ERROR, "the amounts of the terms do not add up"
    return None


def _amount(value: Money | None, currency: str) -> int | None:
    if value is None:
        return None
    if value.currency != currency:
        raise ValueError("another currency")
    return money.parse_amount(value.amount)


# ---- after the transfer is sent ---------------------------------------------------------------------------------


def _when_sent(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    match event:
        case Taken():
            return Step(
                _change(payment, state=State.ACCEPTED, accepted=True, tries=0), [Wait(_until_overdue(payment, policy))]
            )
        case Refused(code, text) if payment.state is State.PREPARED and not payment.accepted:
            # The hub refused the only request ever sent for this id.
            return _abort(payment, code, text)
        case Unclear() | TurnedAway() if payment.state is State.PREPARED:
            return Step(_change(payment, state=State.DOUBT, tries=0), [Wait(_soon(payment))])
        case EndClaimed(cause=cause):
            return _ask_at_once(_noting(payment, cause), now)
        case Resumed() | Waited():
            doubted = _change(payment, state=State.DOUBT, tries=payment.tries + 1, asked_at=now)
            return Step(doubted, [Ask.TRANSFER, Wait(_backoff(payment.tries, policy.ask_at_most_every_s))])
        case Reported():
            return _on_report(payment, event, policy)
        case ErrorReported(code, text, written_at):
            return _on_error(payment, code, text, written_at, now, policy)
        case _:  # a response to a repeated request does not decide the first one; the timer continues
            return Step(payment)


def _on_report(payment: Payment, reported: Reported, policy: Policy) -> Step:
    if reported.state == "COMMITTED":
        if reported.fulfilment is None or not ilp.fulfils(reported.fulfilment, payment.condition):
            # Only the payee DFSP can know the fulfilment, so this report is not proven without the fulfilment.
            return Step(payment, [Ask.TRANSFER], refusal="the fulfilment does not fit the condition")
        return Step(
            _change(
                payment,
                state=State.COMMITTED,
                accepted=True,
                fulfilment=reported.fulfilment,
                completed_at=reported.completed_at,
                tries=0,
            )
        )
    if reported.state == "ABORTED":
        noted = (payment.reported_code, payment.reported_text or "") if payment.reported_code else None
        code, text = reported.cause or noted or (ErrorCode.PAYEE_ERROR.code, "the hub reports ABORTED")
        return _abort(payment, code, text)
    # RECEIVED or RESERVED: the hub has the transfer and processes it.
    return Step(
        _change(payment, state=State.ACCEPTED, accepted=True),
        [Wait(_backoff(payment.tries, policy.ask_at_most_every_s))],
    )


def _on_error(payment: Payment, code: str, text: str, written_at: float, now: float, policy: Policy) -> Step:
    if proves_abort(code):
        return _abort(payment, code, text)
    if code != ErrorCode.TRANSFER_ID_NOT_FOUND.code:
        if code == payment.reported_code:
            return Step(payment)  # the state was already requested from the hub; the timer repeats the request
        # A payee DFSP may reject with any code, such as 2001, and the hub aborts. So the state is requested at once.
        return _ask_at_once(_noting(payment, (code, text)), now)
    if payment.state is State.DOUBT and not payment.accepted:
        at_hub = now + policy.hub_ahead_s
        if at_hub < payment.expires_at:
            # The hub never received the transfer, or will receive it later. Sending the same bytes again is right in
            # both cases.
            return Step(payment, [Ask.SEND])
        if min(written_at, at_hub) >= payment.expires_at + policy.clock_margin_s:
            # The hub does not have the transfer, and it is too late to accept the transfer. Only then "not found" means
            # "never". The hub must have written the error after that time: the callback may have waited while the
            # connector was down, and the transfer may have arrived since.
            return _abort(payment, code, text)
    return Step(payment)  # the error does not decide the transfer; the timer repeats the request


def _noting(payment: Payment, cause: tuple[str, str] | None) -> Payment:
    """Notes a reported error, which is the reason for the end if the hub reports ABORTED without a reason."""
    return payment if cause is None else _change(payment, reported_code=cause[0], reported_text=cause[1][:128])


def _ask_at_once(payment: Payment, now: float) -> Step:
    """Requests GET /transfers, at most once a second, even if many reports arrive."""
    again_in = payment.asked_at + _ASK_ABOUT_CLAIMS_EVERY_S - now
    if again_in > 0:
        return Step(payment, [Wait(again_in)])
    return Step(_change(payment, asked_at=now), [Ask.TRANSFER, Wait(_ASK_ABOUT_CLAIMS_EVERY_S)])


# ---- the end ----------------------------------------------------------------------------------------------------


def _after_the_end(payment: Payment, event: Event) -> Step:
    """Refuses a report that contradicts a final state, because a final state never changes.

    People must examine such a report.
    """
    match event:
        case EndClaimed(fulfilment) if payment.state is State.ABORTED and payment.condition and fulfilment is not None:
            if ilp.fulfils(fulfilment, payment.condition):
                return Step(payment, refusal="contradiction: fulfilled by the payee after it ended ABORTED")
            return Step(payment, refusal="the fulfilment does not fit the condition")
        case Reported("COMMITTED", fulfilment) if payment.state is State.ABORTED and payment.condition:
            if fulfilment is not None and ilp.fulfils(fulfilment, payment.condition):
                return Step(payment, refusal="contradiction: reported COMMITTED after it ended ABORTED")
            return Step(payment, refusal="the fulfilment does not fit the condition")
        case Reported("ABORTED") if payment.state is State.COMMITTED:
            return Step(payment, refusal="contradiction: reported ABORTED after it ended COMMITTED")
        case ErrorReported(code) if payment.state is State.COMMITTED and proves_abort(code):
            return Step(payment, refusal="contradiction: reported an error after it ended COMMITTED")
        case _:
            return Step(payment)


# ---- helpers ----------------------------------------------------------------------------------------------------


def _change(payment: Payment, **changes: object) -> Payment:
    return msgspec.structs.replace(payment, **changes)


def _abort(payment: Payment, code: str, text: str) -> Step:
    return Step(_change(payment, state=State.ABORTED, error_code=code, error_text=text[:128], tries=0))


def _abort_for(payment: Payment, error: ErrorCode, detail: str) -> Step:
    return _abort(payment, error.code, f"{text_of(error.code)} - {detail}" if detail else text_of(error.code))


def _backoff(tries: int, at_most: float) -> float:
    return min(0.5 * 2 ** min(tries, 10), at_most)


def _soon(payment: Payment) -> float:
    return _backoff(payment.tries, 4.0)


def _until_overdue(payment: Payment, policy: Policy) -> float:
    """Returns the time until the outcome is overdue.

    The hub reports an expiry without a request, so a request before `callback_s` would only add load.
    """
    return policy.callback_s


def _quote_body(payment: Payment, policy: Policy) -> bytes:
    order, payee = payment.order, payment.payee
    assert payee is not None
    return write(
        QuotePost(
            quote_id=payment.quote_id,
            transaction_id=payment.transaction_id,
            payee=party_of(payee),
            payer=party_of(msgspec.structs.replace(order.payer, fsp_id=policy.dfsp)),
            amount_type=order.amount_type,
            amount=Money(currency=order.currency, amount=money.format_amount(order.amount)),
            transaction_type=transaction_type_of(order),
            note=order.note,
            extension_list=extension_list(order.quote_extensions),
            expiration=_moment(payment.created_at + policy.agree_s + policy.hub_ahead_s),
        )
    )


def _agreed(payment: Payment, quote: QuotePut) -> Payment:
    return _change(
        payment,
        state=State.AGREED,
        tries=0,
        quote_answer=write(quote),
        terms_expire_at=fsptime.parse_datetime(quote.expiration).timestamp(),
        **_amounts_of(payment, quote),
    )


def _amounts_of(payment: Payment, quote: QuotePut) -> dict[str, int | None]:
    return {
        "transfer_amount": money.parse_amount(quote.transfer_amount.amount),
        "receive_amount": _amount(quote.payee_receive_amount, payment.order.currency),
        "fee": _amount(quote.payee_fsp_fee, payment.order.currency),
    }


def _prepared(payment: Payment, quote: QuotePut, now: float, policy: Policy) -> Payment:
    assert payment.payee is not None
    assert payment.payee.fsp_id is not None
    expires_at = now + policy.hub_ahead_s + policy.transfer_expiry_s  # the hub compares this time with its own clock
    body = TransferPost(
        transfer_id=payment.transfer_id,
        payer_fsp=policy.dfsp,
        payee_fsp=payment.payee.fsp_id,
        amount=quote.transfer_amount,
        ilp_packet=quote.ilp_packet,
        condition=quote.condition,
        expiration=_moment(expires_at),
        extension_list=extension_list(payment.order.transfer_extensions),
    )
    return _change(
        payment,
        state=State.PREPARED,
        tries=0,
        condition=quote.condition,
        **_amounts_of(payment, quote),
        transfer_body=write(body),
        expires_at=expires_at,
    )


def _moment(timestamp: float) -> str:
    return fsptime.format_datetime(datetime.fromtimestamp(0, UTC) + timedelta(seconds=timestamp))
