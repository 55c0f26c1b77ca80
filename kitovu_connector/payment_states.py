"""The states of an outgoing payment: state + event -> next state + actions. Pure: no I/O, and the time is passed in.

    LOOKUP -> QUOTE -> [AGREED ->] PREPARED -> ACCEPTED -> COMMITTED | ABORTED
                                      |  ^        |
                                      v  |        v
                                      DOUBT <-----+    (GET /transfers/{id}, or send the identical bytes again)

Up to PREPARED no money can have moved, so giving up is safe. From PREPARED on, only the hub's report ends the payment
(API Definition 6.7.2: a payer never decides alone that a transfer did not happen). If nothing proves that the hub
forwarded a payee DFSP's claim, the connector only requests the state from the hub.
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

    LOOKUP = "LOOKUP"  # looks up the payee's DFSP, then the party there
    QUOTE = "QUOTE"  # requests the terms
    AGREED = "AGREED"  # has the terms and waits for the core's confirmation
    PREPARED = "PREPARED"  # the transfer is stored and is being sent for the first time
    ACCEPTED = "ACCEPTED"  # the hub has it; the outcome is pending
    DOUBT = "DOUBT"  # unknown whether the hub has it, or the outcome is overdue
    COMMITTED = "COMMITTED"  # the end: the payee has the money
    ABORTED = "ABORTED"  # the end: no money moved


ENDS = frozenset({State.COMMITTED, State.ABORTED})
CANCELLABLE = frozenset({State.LOOKUP, State.QUOTE, State.AGREED})  # nothing has been sent that could move money
SENT = frozenset({State.PREPARED, State.ACCEPTED, State.DOUBT})  # only a report from the hub ends these
_ASK_ABOUT_CLAIMS_EVERY_S = 1.0  # a limit, however many claims arrive


class Payment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An outgoing payment as stored. Its ids are created once, before any request is sent."""

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
    payee: PartyRef | None = None  # with fsp_id, as described by the payee DFSP
    quote_body: bytes = b""  # POST /quotes, identical bytes each time
    quote_answer: bytes = b""  # PUT /quotes, while the core has not confirmed it
    terms_expire_at: float = 0.0
    transfer_amount: int = 0
    receive_amount: int | None = None
    fee: int | None = None
    condition: str = ""
    transfer_body: bytes = b""  # POST /transfers, identical bytes each time
    expires_at: float = 0.0
    completed_at: str | None = None
    fulfilment: str | None = None
    reported_code: str | None = None  # of an error that did not end the payment, but is perhaps the reason of its end
    reported_text: str | None = None
    error_code: str | None = None
    error_text: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that the decisions depend on."""

    dfsp: str
    asks_owner: bool = False  # first look up the payee's DFSP at the hub, because PUT /parties alone proves nothing
    transfer_expiry_s: float = 30.0
    agree_s: float = 30.0
    ask_again_s: float = 4.0
    callback_s: float = 10.0
    clock_margin_s: float = 10.0
    hub_ahead_s: float = 0.0  # the hub's clock is ahead of this one; expirations are by the hub's
    ask_at_most_every_s: float = 30.0
    known_signers: frozenset[str] | None = None  # the DFSPs whose messages can be verified; None: all, or none is


@dataclass(frozen=True, slots=True)
class Step:
    """The result of an event. `refusal` is the reason if a message must not be believed; then nothing has changed."""

    payment: Payment
    actions: Sequence[Action] = ()
    refusal: str | None = None


def proves_abort(code: str) -> bool:
    """Whether an error about a transfer means that the transfer itself is over.

    1xxx and 2xxx report a fault on the way. 30xx and 3101-3107 report a fault of a message (3106: the original transfer
    goes on). 3208 reports that the hub does not know the id. None of these decides where the money is.
    """
    if code == ErrorCode.TRANSFER_ID_NOT_FOUND.code:
        return False
    return code == ErrorCode.VALIDATION_ERROR.code or code[:2] in ("32", "33") or code[:1] in ("4", "5")


def step(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The next state of `payment` after `event`, and the actions that follow."""
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
    """Whether this DFSP's answers could not be verified. The payment would wait for them in vain."""
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
    # From here on the transfer may exist: it is stored, then sent, and then only the hub's report counts.
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
    """Why the payer must not accept these terms, or None.

    By the payee's clock it is now `no_later_than` or later. So terms that seem to have expired perhaps have not, and
    then the payee decides.
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
    # API Definition 5.1: transfer amount = what the payee receives + the payee DFSP's fee - its commission.
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
        case _:  # a response to a repetition does not decide the first request; the timer continues
            return Step(payment)


def _on_report(payment: Payment, reported: Reported, policy: Policy) -> Step:
    if reported.state == "COMMITTED":
        if reported.fulfilment is None or not ilp.fulfils(reported.fulfilment, payment.condition):
            # Only the payee DFSP can know the fulfilment: without it, this report is not proven.
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
            return Step(payment)  # the hub has been asked already: the timer repeats the request
        # A payee DFSP may reject with any code, such as 2001, and the hub aborts. So the hub is asked at once.
        return _ask_at_once(_noting(payment, (code, text)), now)
    if payment.state is State.DOUBT and not payment.accepted:
        at_hub = now + policy.hub_ahead_s
        if at_hub < payment.expires_at:
            # The hub never received it, or receives it later: the identical bytes make both cases equal.
            return Step(payment, [Ask.SEND])
        if min(written_at, at_hub) >= payment.expires_at + policy.clock_margin_s:
            # The hub does not have the transfer, and now it is too late to accept it: only now does "not found" mean
            # "never". The time that counts is when the hub wrote the error. While the connector was down, the callback
            # waited, and the transfer may have arrived since.
            return _abort(payment, code, text)
    return Step(payment)  # this does not decide the money: the timer repeats the request


def _noting(payment: Payment, cause: tuple[str, str] | None) -> Payment:
    """Notes a reported error: it is the reason if the hub reports ABORTED without one."""
    return payment if cause is None else _change(payment, reported_code=cause[0], reported_text=cause[1][:128])


def _ask_at_once(payment: Payment, now: float) -> Step:
    """GET /transfers, but not more than once a second, however many reports arrive."""
    again_in = payment.asked_at + _ASK_ABOUT_CLAIMS_EVERY_S - now
    if again_in > 0:
        return Step(payment, [Wait(again_in)])
    return Step(_change(payment, asked_at=now), [Ask.TRANSFER, Wait(_ASK_ABOUT_CLAIMS_EVERY_S)])


# ---- the end ----------------------------------------------------------------------------------------------------


def _after_the_end(payment: Payment, event: Event) -> Step:
    """A final state never changes. A report that contradicts it is refused, and people must look at it."""
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
    """The hub reports an expiry by itself; a request before `callback_s` would only add load."""
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
    expires_at = now + policy.hub_ahead_s + policy.transfer_expiry_s  # the hub compares it with its own clock
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
