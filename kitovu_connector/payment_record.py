"""The record of an outgoing payment, with its states, its fields, and the small steps that all states share. Pure
functions, without I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from fspiop import money
from fspiop import time as fsptime
from fspiop.bodies.common import Money
from fspiop.errors import ErrorCode, text_of
from kitovu_connector.payment_events_and_actions import Action, Ask, Wait
from kitovu_connector.payment_order import Order, PartyRef


class State(StrEnum):
    """The state of an outgoing payment."""

    LOOKUP = "LOOKUP"  # the connector looks up the payee's DFSP, and then the payee at that DFSP
    PAYEE_FOUND = "PAYEE_FOUND"  # the payee is known, and the core's acceptance of the payee is pending
    PROVIDERS = "PROVIDERS"  # the connector requests the list of FXPs that convert the currencies
    FX_QUOTE = "FX_QUOTE"  # the connector requests the terms of the conversion
    # the terms of the conversion are known, and the core's acceptance is pending
    CONVERSION_OFFERED = "CONVERSION_OFFERED"
    QUOTE = "QUOTE"  # the connector requests the payee DFSP's terms
    AGREED = "AGREED"  # the terms are known, and the core's confirmation is pending
    # the connector requests the one-time password that the payer entered at the payee's device
    AUTHORIZATION = "AUTHORIZATION"
    AUTHORIZED = "AUTHORIZED"  # the password is known, and the core's acceptance is pending
    FX_TRANSFER = "FX_TRANSFER"  # the connector requests the conversion, and has not yet sent the transfer
    PREPARED = "PREPARED"  # the transfer is stored, and the connector is sending it for the first time
    ACCEPTED = "ACCEPTED"  # the hub has the transfer; the outcome is pending
    DOUBT = "DOUBT"  # the hub may not have the transfer, or the outcome is overdue
    COMMITTED = "COMMITTED"  # final: the payee has the money
    ABORTED = "ABORTED"  # final: no money moved


ENDS = frozenset({State.COMMITTED, State.ABORTED})
SENT = frozenset({State.PREPARED, State.ACCEPTED, State.DOUBT})  # in these states, only the hub's report ends a payment
CANCELLABLE = frozenset(State) - SENT - ENDS  # no transfer has been sent
PAUSES = frozenset({State.PAYEE_FOUND, State.CONVERSION_OFFERED, State.AGREED, State.AUTHORIZED})
"""The core's answer is pending."""


class Payment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An outgoing payment in its stored form.

    The connector creates the payment's ids once, before it sends any request.
    """

    order: Order
    transfer_id: str
    quote_id: str
    transaction_id: str
    created_at: float
    state: State = State.LOOKUP
    tries: int = 0  # the number of repetitions in the present state; the next pause depends on this number
    accepted: bool = False  # the hub has reported at least once that it has the transfer
    asked_at: float = 0.0  # time of the latest GET /transfers
    owner: str | None = None  # the DFSP of the payee's alias, as the hub reported it
    payee: PartyRef | None = None  # the payee DFSP's description of the payee, with fsp_id
    quote_body: bytes = b""  # the body of POST /quotes, the same bytes each time
    quote_answer: bytes = b""  # the body of PUT /quotes
    agreeing_since: float = 0.0  # the time of the core's last acceptance; 0 before the first acceptance
    fx_commit_id: str | None = None  # the random id of POST /fxTransfers; secret until this message is sent
    fx_providers: tuple[str, ...] = ()
    fx_quote_body: bytes = b""  # the body of POST /fxQuotes, the same bytes each time
    fx_quote_answer: bytes = b""  # the body of PUT /fxQuotes
    fx_transfer_body: bytes = b""  # the body of POST /fxTransfers, the same bytes each time
    fx_fulfilment: str | None = None
    authorization: bytes = b""  # the body of PUT /authorizations
    terms_expire_at: float = 0.0
    transfer_amount: int = 0
    receive_amount: int | None = None
    fee: int | None = None
    condition: str = ""
    transfer_body: bytes = b""  # the body of POST /transfers, the same bytes each time
    expires_at: float = 0.0
    completed_at: str | None = None
    fulfilment: str | None = None
    # the code of an error that did not end the payment, but can be the reason if the payment ends later
    reported_code: str | None = None
    reported_text: str | None = None
    error_code: str | None = None
    error_text: str | None = None
    version: int = 0  # the number of stored steps


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that the decisions about payments use."""

    dfsp: str
    asks_owner: bool = False  # first looks up the payee's DFSP at the hub, because PUT /parties proves nothing
    transfer_expiry_s: float = 30.0
    agree_s: float = 30.0
    ask_again_s: float = 4.0
    password_s: float = 120.0  # how long the payer may take to enter a one-time password at the payee's device
    # how long the core may take to confirm a payee or a password; terms wait until they expire
    confirm_s: float = 3600.0
    callback_s: float = 10.0
    clock_margin_s: float = 10.0
    hub_ahead_s: float = 0.0  # seconds by which the hub's clock is ahead; expirations are times of the hub's clock
    ask_at_most_every_s: float = 30.0
    tells_conversion: bool = False  # quotes have version 2.0, so they can contain the payer's intended conversion
    known_signers: frozenset[str] | None = None  # the DFSPs whose messages the connector can verify; None means all


@dataclass(frozen=True, slots=True)
class Step:
    """The result of an event. If the connector rejects an unproven message, `refusal` is the reason, and the payment
    does not change.
    """

    payment: Payment
    actions: Sequence[Action] = ()
    refusal: str | None = None


# ---- small steps -------------------------------------------------------------------------------------------------


def change(payment: Payment, **changes: object) -> Payment:
    """Returns the payment with these changes."""
    return msgspec.structs.replace(payment, **changes)


def abort(payment: Payment, code: str, text: str) -> Step:
    """Ends a payment. The caller knows that the payment's transfer was never sent, or that the hub has reported the
    transfer as aborted.
    """
    return Step(change(payment, state=State.ABORTED, error_code=code, error_text=text[:128], tries=0))


def abort_for(payment: Payment, error: ErrorCode, detail: str) -> Step:
    """Ends a payment in the same way as `abort`, with an error code of the API."""
    return abort(payment, error.code, f"{text_of(error.code)} - {detail}" if detail else text_of(error.code))


def backoff(tries: int, at_most: float) -> float:
    """Returns the pause before the next repetition of a request."""
    return min(0.5 * 2 ** min(tries, 10), at_most)


def soon(payment: Payment) -> float:
    """Returns the pause after a request that got no clear response."""
    return backoff(payment.tries, 4.0)


def agree_until(payment: Payment, policy: Policy) -> float:
    """Returns the time by which the connector must have the payee and the terms. The time during which the payment
    waits for the core does not count.
    """
    seconds = policy.password_s if payment.state is State.AUTHORIZATION else policy.agree_s
    return (payment.agreeing_since or payment.created_at) + seconds


def ask_again(payment: Payment, ask: Ask, now: float, policy: Policy) -> Step:
    """Repeats a request that the connector sends before the transfer. The pauses become longer, and after the time
    limit the payment ends.
    """
    left = agree_until(payment, policy) - now
    if left <= 0:
        return abort_for(payment, ErrorCode.SERVER_TIMED_OUT, f"no response to {ask} in time")
    pause = min(policy.ask_again_s * 2**payment.tries, left)
    return Step(change(payment, tries=payment.tries + 1), [ask, Wait(pause)])


def moment(timestamp: float) -> str:
    """Returns seconds since 1970 as the API's DateTime."""
    return fsptime.format_datetime(datetime.fromtimestamp(0, UTC) + timedelta(seconds=timestamp))


def amount_in(value: Money | None, currency: str) -> int | None:
    """Returns an amount as ten-thousandths. Raises ValueError if the amount has a different currency."""
    if value is None:
        return None
    if value.currency != currency:
        raise ValueError("another currency")
    return money.parse_amount(value.amount)
