"""The states of a payment before its transfer is sent. In these states, the connector agrees on the payee, the
conversion, the terms and the one-time password. Pure functions, without I/O.

In each of these states, the payment can end without risk, because no transfer exists.
"""

import msgspec

from fspiop import money
from fspiop import time as fsptime
from fspiop.bodies import read, write
from fspiop.bodies.common import Money
from fspiop.bodies.quotes import FxRate, QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPost
from fspiop.errors import ErrorCode
from fspiop.ilp import fulfils
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.payment_events_and_actions import (
    AgreementFailed,
    Ask,
    AuthorizationGiven,
    Confirmed,
    ConversionGiven,
    ConversionReported,
    Event,
    OwnerFound,
    PartyFailed,
    PartyFound,
    ProvidersFound,
    QuoteFailed,
    QuoteGiven,
    Refused,
    Resumed,
    Started,
    TurnedAway,
    Unclear,
    Wait,
    Waited,
)
from kitovu_connector.payment_order import Order, PartyRef, extension_list, party_of, transaction_type_of
from kitovu_connector.payment_record import (
    Payment,
    Policy,
    State,
    Step,
    abort,
    abort_for,
    agree_until,
    amount_in,
    ask_again,
    change,
    moment,
    soon,
)

_ASKS = {
    State.PROVIDERS: Ask.PROVIDERS,
    State.FX_QUOTE: Ask.FX_QUOTE,
    State.QUOTE: Ask.QUOTE,
    State.AUTHORIZATION: Ask.AUTHORIZATION,
    State.FX_TRANSFER: Ask.FX_SEND,
}


# ---- the payee ---------------------------------------------------------------------------------------------------


def in_lookup(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The state in which the connector first looks up the payee's DFSP, and then looks up the payee at the payee's
    DFSP.
    """
    match event:
        case Started() | Resumed() | Waited() if payment.order.agreed_transfer:
            return _send_agreed(payment, policy)
        case Started() | Resumed() | Waited() if payment.order.skip_lookup:
            return _with_payee(payment, payment.order.payee, now, policy)
        case Started() | Resumed() | Waited():
            return ask_again(payment, _lookup_ask(payment, policy), now, policy)
        case Unclear(about) if about is _lookup_ask(payment, policy):
            return Step(payment, [Wait(soon(payment))])
        case Refused(about, code, text) | TurnedAway(about, code, text) if about is _lookup_ask(payment, policy):
            return abort(payment, code, text)
        case OwnerFound(fsp_id) if _wants_owner(payment, policy):
            if fsp_id == policy.dfsp:
                return abort_for(payment, ErrorCode.PARTY_NOT_FOUND, "the payee is a customer of this DFSP")
            if _is_unknown(fsp_id, policy):
                return abort_for(payment, ErrorCode.INVALID_SIGNATURE, f"jws_keys has no key of {fsp_id}")
            return ask_again(change(payment, owner=fsp_id, tries=0), Ask.PARTY, now, policy)
        case PartyFound(sender=sender, is_proven=is_proven) | PartyFailed(sender=sender, is_proven=is_proven) if (
            policy.asks_owner and not is_proven and sender != payment.owner
        ):
            return Step(payment, refusal="the hub reported another DFSP for this party")
        case PartyFailed(code, text):
            return abort(payment, code, text)
        case PartyFound(party, sender):
            if not party.fsp_id:
                return abort_for(payment, ErrorCode.PAYEE_FSP_ID_NOT_FOUND, "the party has no DFSP")
            if party.fsp_id != sender:
                return abort_for(payment, ErrorCode.PAYEE_FSP_ID_NOT_FOUND, "the party belongs to another DFSP")
            return _with_payee(payment, party, now, policy)
        case _:
            return Step(payment)


def _lookup_ask(payment: Payment, policy: Policy) -> Ask:
    return Ask.OWNER if _wants_owner(payment, policy) else Ask.PARTY


def _wants_owner(payment: Payment, policy: Policy) -> bool:
    return policy.asks_owner and payment.owner is None


def _is_unknown(fsp_id: str, policy: Policy) -> bool:
    """Returns True if the connector cannot verify answers of this DFSP.

    A payment to such a DFSP would never get an answer that the connector can accept.
    """
    return policy.known_signers is not None and fsp_id not in policy.known_signers


def _with_payee(payment: Payment, party: PartyRef, now: float, policy: Policy) -> Step:
    if party.fsp_id == policy.dfsp:
        return abort_for(payment, ErrorCode.PARTY_NOT_FOUND, "the payee is a customer of this DFSP")
    if _is_unknown(party.fsp_id or "", policy):
        return abort_for(payment, ErrorCode.INVALID_SIGNATURE, f"jws_keys has no key of {party.fsp_id}")
    found = change(payment, payee=party, tries=0)
    if payment.order.needs_payee_confirmation:
        waiting = change(found, state=State.PAYEE_FOUND, terms_expire_at=_at_hub(now, policy) + policy.confirm_s)
        return _wait_for_core(waiting, now, policy)
    return _after_payee(found, now, policy)


def when_payee_found(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The state in which the core accepts or refuses the payee that the lookup found."""
    match event:
        case Confirmed("payee"):
            return _after_payee(change(payment, agreeing_since=now, tries=0), now, policy)
        case Resumed() | Waited():
            return _wait_for_core(payment, now, policy)
        case _:
            return Step(payment)


def _after_payee(payment: Payment, now: float, policy: Policy) -> Step:
    if payment.order.amount_type == "SEND" and conversion.is_needed(payment):
        return _begin(payment, State.PROVIDERS, now, policy)
    return _begin(change(payment, quote_body=_quote_body(payment, now, policy)), State.QUOTE, now, policy)


# ---- the conversion ----------------------------------------------------------------------------------------------


def in_conversion(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The state in which the connector requests the list of FXPs, and then the terms of one FXP."""
    match event:
        case ProvidersFound(providers) if payment.state is State.PROVIDERS:
            if not providers:
                return abort_for(payment, ErrorCode.PAYEE_UNSUPPORTED_CURRENCY, "no FXP converts these currencies")
            known = next((fxp for fxp in providers if not _is_unknown(fxp, policy)), None)
            if known is None:
                return abort_for(payment, ErrorCode.INVALID_SIGNATURE, f"jws_keys has no key of {providers[0]}")
            body = conversion.quote_body(payment, known, now, policy)
            quoting = change(payment, fx_providers=providers, fx_quote_body=body, tries=0)
            return _begin(quoting, State.FX_QUOTE, now, policy)
        case ConversionGiven(offered) if payment.state is State.FX_QUOTE:
            problem = conversion.problem_of(payment, offered, _at_hub(now, policy) - policy.clock_margin_s)
            if problem is not None:
                return abort_for(payment, *problem)
            expires_at = fsptime.parse_datetime(offered.conversion_terms.expiration).timestamp()
            known_terms = change(payment, fx_quote_answer=write(offered), terms_expire_at=expires_at, tries=0)
            if payment.order.needs_conversion_confirmation:
                return _wait_for_core(change(known_terms, state=State.CONVERSION_OFFERED), now, policy)
            return _after_conversion_terms(known_terms, now, policy)
        case _:
            return _asking(payment, event, now, policy)


def when_conversion_offered(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The state in which the core decides whether it accepts the exchange rate."""
    match event:
        case Confirmed("conversion") if _are_valid(payment, now, policy):
            return _after_conversion_terms(change(payment, agreeing_since=now, tries=0), now, policy)
        case Confirmed("conversion") | Resumed() | Waited():
            return _wait_for_core(payment, now, policy)
        case _:
            return Step(payment)


def _after_conversion_terms(payment: Payment, now: float, policy: Policy) -> Step:
    if payment.order.amount_type == "SEND":
        return _begin(change(payment, quote_body=_quote_body(payment, now, policy)), State.QUOTE, now, policy)
    return _after_conversion_and_terms(payment, now, policy)


def in_fx_transfer(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The state in which the hub reserves the payer's money for the FXP, and the FXP promises the target currency.

    The payment's transfer does not exist yet. If the payment ends in this state, the hub never receives the payment's
    transfer, so the hub releases the money.
    """
    match event:
        case ConversionReported("RESERVED", None):
            return Step(payment)  # the hub has reserved the payer's money; the FXP's promise is pending
        case ConversionReported("RESERVED" | "COMMITTED", fulfilment):
            condition = conversion.offer_of(payment).condition
            if fulfilment is None or condition is None or not fulfils(fulfilment, condition):
                return Step(payment, refusal="the fulfilment does not fit the condition")
            return _send(change(payment, fx_fulfilment=fulfilment), now, policy)
        case ConversionReported("ABORTED", cause=cause):
            return abort(payment, *(cause or (ErrorCode.PAYEE_ERROR.code, "the conversion was aborted")))
        case _:
            return _asking(payment, event, now, policy)


# ---- the terms ---------------------------------------------------------------------------------------------------


def in_quote(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The state in which the connector requests the payee DFSP's terms."""
    match event:
        case QuoteFailed(code, text):
            return abort(payment, code, text)
        case QuoteGiven(quote):
            problem = _problem_of(quote, payment, _at_hub(now, policy) - policy.clock_margin_s)
            if problem is not None:
                return abort_for(payment, *problem)
            known = _with_terms(payment, quote)
            if payment.order.needs_confirmation:
                return _wait_for_core(change(known, state=State.AGREED), now, policy)
            return _after_terms(known, now, policy)
        case _:
            return _asking(payment, event, now, policy)


def when_agreed(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The state in which the core decides whether to pay on these terms."""
    match event:
        case Confirmed("terms") if _are_valid(payment, now, policy):
            return _after_terms(change(payment, agreeing_since=now, tries=0), now, policy)
        case Confirmed("terms") | Resumed() | Waited():
            return _wait_for_core(payment, now, policy)
        case _:
            return Step(payment)


def _after_terms(payment: Payment, now: float, policy: Policy) -> Step:
    if conversion.is_needed(payment) and not payment.fx_quote_answer:
        return _begin(payment, State.PROVIDERS, now, policy)
    return _after_conversion_and_terms(payment, now, policy)


def _after_conversion_and_terms(payment: Payment, now: float, policy: Policy) -> Step:
    if payment.order.needs_password and not payment.authorization:
        return _begin(payment, State.AUTHORIZATION, now, policy)
    return _pay(payment, now, policy)


def _problem_of(quote: QuotePut, payment: Payment, no_later_than: float) -> tuple[ErrorCode, str] | None:
    """Returns the reason why the payer must not accept these terms, or None.

    `no_later_than` is the earliest time that the payee DFSP's clock can show now. The connector treats terms as expired
    only if their expiration is at or before this time, because the payee DFSP uses its own clock.
    """
    order, (asked, currency) = payment.order, conversion.asked(payment)
    if quote.transfer_amount.currency != currency:
        return ErrorCode.PAYEE_FSP_REJECTED_QUOTE, "the terms are in another currency"
    try:
        transfer = money.parse_amount(quote.transfer_amount.amount)
        receive = amount_in(quote.payee_receive_amount, currency)
        fee = amount_in(quote.payee_fsp_fee, currency) or 0
        commission = amount_in(quote.payee_fsp_commission, currency) or 0
        expires_at = fsptime.parse_datetime(quote.expiration).timestamp()
    except ValueError as error:
        return ErrorCode.VALIDATION_ERROR, f"the terms cannot be read: {error}"
    if expires_at <= no_later_than:
        return ErrorCode.QUOTE_EXPIRED, ""
    if transfer <= 0:
        return ErrorCode.VALIDATION_ERROR, "the transfer amount of the terms is zero"
    if order.amount_type == "SEND" and transfer > asked:
        return ErrorCode.PAYER_ERROR, "the transfer amount of the terms is above the amount that the payer sends"
    if order.amount_type == "SEND" and payment.fx_quote_answer and transfer != asked:
        return ErrorCode.PAYER_ERROR, "the transfer amount of the terms is not the target amount of the conversion"
    if order.amount_type == "RECEIVE" and transfer > _highest_amount(order):
        return ErrorCode.PAYER_ERROR, "the transfer amount of the terms is above the payer's limit"
    if order.amount_type == "RECEIVE" and receive is not None and receive < order.amount:
        return ErrorCode.PAYER_ERROR, "the payee would receive too little"
    # The terms need not name the fee. If the payee receives a fixed amount, the rest of the transfer amount is a fee.
    rest = transfer - order.amount if order.amount_type == "RECEIVE" else 0
    if order.fee_limit is not None and max(fee, rest) > order.fee_limit:
        return ErrorCode.PAYER_ERROR, "the fee is above the payer's limit"
    # API Definition 5.1: transfer amount = amount that the payee receives + the payee DFSP's fee - its commission.
    if receive is not None and transfer != receive + fee - commission:
        return ErrorCode.VALIDATION_ERROR, "the amounts of the terms do not add up"
    if transfer - fee + commission <= 0:
        return ErrorCode.PAYER_ERROR, "the payee would receive nothing"
    return None


def _highest_amount(order: Order) -> int:
    """Returns the highest transfer amount for a payment whose payee receives a fixed amount.

    There is no limit if the core sees the fee and accepts it before the connector pays.
    """
    if order.max_amount is not None:
        return order.max_amount
    return money.MAX_AMOUNT if order.needs_confirmation else order.amount


def _with_terms(payment: Payment, quote: QuotePut) -> Payment:
    _, currency = conversion.asked(payment)
    return change(
        payment,
        tries=0,
        quote_answer=write(quote),
        terms_expire_at=fsptime.parse_datetime(quote.expiration).timestamp(),
        transfer_amount=money.parse_amount(quote.transfer_amount.amount),
        receive_amount=amount_in(quote.payee_receive_amount, currency),
        fee=amount_in(quote.payee_fsp_fee, currency),
    )


def _quote_body(payment: Payment, now: float, policy: Policy) -> bytes:
    order, payee = payment.order, payment.payee
    assert payee is not None
    amount, currency = conversion.asked(payment)
    until = now + order.quote_expiry_s if order.quote_expiry_s else agree_until(payment, policy)
    return write(
        QuotePost(
            quote_id=payment.quote_id,
            transaction_id=payment.transaction_id,
            transaction_request_id=order.transaction_request_id,
            payee=party_of(payee),
            payer=party_of(msgspec.structs.replace(order.payer, fsp_id=policy.dfsp)),
            amount_type=order.amount_type,
            amount=Money(currency=currency, amount=money.format_amount(amount)),
            transaction_type=transaction_type_of(order),
            currency_conversion=_intended_conversion(payment, policy),
            note=order.note,
            extension_list=extension_list(order.quote_extensions),
            expiration=moment(until + policy.hub_ahead_s),
        )
    )


def _intended_conversion(payment: Payment, policy: Policy) -> FxRate | None:
    if not (policy.tells_conversion and payment.fx_quote_answer):
        return None
    source, target = conversion.sides(payment)
    return FxRate(source_amount=source, target_amount=target)


# ---- the one-time password ---------------------------------------------------------------------------------------


def in_authorization(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The state in which the connector requests the password that the payer entered at the payee's device."""
    match event:
        case AuthorizationGiven(answer):
            if answer.response_type != "ENTERED" or answer.authentication_info is None:
                return abort_for(payment, ErrorCode.PAYER_REJECTED_TRANSACTION_REQUEST, "the payer entered no password")
            known = change(payment, authorization=write(answer), tries=0)
            if payment.order.needs_password_confirmation:
                return _wait_for_core(change(known, state=State.AUTHORIZED), now, policy)
            return _pay(known, now, policy)
        case _:
            return _asking(payment, event, now, policy)


def when_authorized(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The state in which the core compares its own password with the password that the payer entered."""
    match event:
        case Confirmed("password") if _are_valid(payment, now, policy):
            return _pay(change(payment, agreeing_since=now, tries=0), now, policy)
        case Confirmed("password") | Resumed() | Waited():
            return _wait_for_core(payment, now, policy)
        case _:
            return Step(payment)


# ---- the transfer ------------------------------------------------------------------------------------------------


def _pay(payment: Payment, now: float, policy: Policy) -> Step:
    if payment.order.expires_at is not None and _at_hub(now, policy) >= payment.order.expires_at:
        return abort_for(payment, ErrorCode.EXPIRED_ERROR, "the latest time for sending the payment has passed")
    if payment.fx_quote_answer and not payment.fx_fulfilment:
        body = conversion.transfer_body(payment, now, policy)
        return _begin(change(payment, fx_transfer_body=body, agreeing_since=now), State.FX_TRANSFER, now, policy)
    return _send(payment, now, policy)


def _send(payment: Payment, now: float, policy: Policy) -> Step:
    # From this point on, the transfer may exist. The connector stores the transfer and then sends it. After that, only
    # the hub's report ends the payment.
    return Step(_prepared(payment, now, policy), [Ask.SEND, Wait(policy.callback_s)])


def _prepared(payment: Payment, now: float, policy: Policy) -> Payment:
    assert payment.payee is not None
    assert payment.payee.fsp_id is not None
    quote = read(QuotePut, payment.quote_answer)
    # The expiration is a time of the hub's clock, because the hub checks the expiration with this clock.
    expires_at = _at_hub(now, policy) + (payment.order.transfer_expiry_s or policy.transfer_expiry_s)
    body = TransferPost(
        transfer_id=payment.transfer_id,
        payer_fsp=policy.dfsp,
        payee_fsp=payment.payee.fsp_id,
        amount=quote.transfer_amount,
        ilp_packet=quote.ilp_packet,
        condition=quote.condition,
        expiration=moment(expires_at),
        extension_list=extension_list(payment.order.transfer_extensions),
    )
    return change(
        payment,
        state=State.PREPARED,
        tries=0,
        condition=quote.condition,
        transfer_body=write(body),
        expires_at=expires_at,
    )


def _send_agreed(payment: Payment, policy: Policy) -> Step:
    """Sends a transfer on terms that the front end itself has agreed on."""
    body = read(TransferPost, payment.order.agreed_transfer)
    prepared = change(
        payment,
        state=State.PREPARED,
        tries=0,
        payee=payment.order.payee,
        transfer_amount=payment.order.amount,
        condition=body.condition,
        transfer_body=payment.order.agreed_transfer,
        expires_at=fsptime.parse_datetime(body.expiration).timestamp(),
    )
    return Step(prepared, [Ask.SEND, Wait(policy.callback_s)])


# ---- for all of them ---------------------------------------------------------------------------------------------


def _begin(payment: Payment, state: State, now: float, policy: Policy) -> Step:
    return ask_again(change(payment, state=state, tries=0), _ASKS[state], now, policy)


def _asking(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """The common steps of all states in which the payment waits for another DFSP or for the hub."""
    ask = _ASKS[payment.state]
    match event:
        case Resumed() | Waited():
            return ask_again(payment, ask, now, policy)
        case Unclear(about) if about is ask:
            return Step(payment, [Wait(soon(payment))])
        case Refused(about, code, text) | TurnedAway(about, code, text) if about is ask:
            return abort(payment, code, text)
        case AgreementFailed(about, code, text) if about is ask:
            return abort(payment, code, text)
        case _:
            return Step(payment)


def _wait_for_core(payment: Payment, now: float, policy: Policy) -> Step:
    left = payment.terms_expire_at - (_at_hub(now, policy) - policy.clock_margin_s)
    if left <= 0:
        return abort_for(payment, ErrorCode.QUOTE_EXPIRED, "the terms were not confirmed in time")
    return Step(payment, [Wait(left)])


def _are_valid(payment: Payment, now: float, policy: Policy) -> bool:
    return _at_hub(now, policy) - policy.clock_margin_s < payment.terms_expire_at


def _at_hub(now: float, policy: Policy) -> float:
    return now + policy.hub_ahead_s
