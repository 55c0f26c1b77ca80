"""The messages and the checks of a payment whose currency an FXP converts. Pure functions, without I/O.

For a SEND amount, the connector first requests the FXP's terms for this amount, and then the payee DFSP's terms for the
converted amount. For a RECEIVE amount, the connector first requests the payee DFSP's terms, and then the FXP's price
for the transfer amount of these terms.
"""

import uuid

from fspiop import money
from fspiop import time as fsptime
from fspiop.bodies import read, write
from fspiop.bodies.common import Money
from fspiop.bodies.fx_quotes import FxConversion, FxMoney, FxQuotePost, FxQuotePut
from fspiop.bodies.fx_transfers import FxTransferPost
from fspiop.errors import ErrorCode
from kitovu_connector.payment_record import Payment, Policy, agree_until, amount_in, moment


def is_needed(payment: Payment) -> bool:
    """Returns True if the payee does not accept the payment's currency, or if the payer does not have this currency."""
    order = payment.order
    if not order.may_convert or payment.payee is None:
        return False
    taken = payment.payee.currencies if order.amount_type == "SEND" else order.payer.currencies
    return bool(taken) and order.currency not in taken


def currencies(payment: Payment) -> tuple[str, str]:
    """Returns two currencies: first the currency that the payer spends, then the currency that the payee receives."""
    order = payment.order
    assert payment.payee is not None
    if order.amount_type == "SEND":
        return order.currency, payment.payee.currencies[0]
    return order.payer.currencies[0], order.currency


def id_of(payment: Payment, what: str) -> str:
    """Returns the id of one part of a payment's conversion. The id of a part is always the same for one payment, and
    different for every other payment.
    """
    return str(uuid.uuid5(uuid.UUID(payment.transfer_id), what))


def request_id(payment: Payment) -> str:
    """Returns the id of POST /fxQuotes."""
    return id_of(payment, "conversionRequest")


def commit_id(payment: Payment) -> str:
    """Returns the id of POST /fxTransfers. An earlier version of the connector did not store this id, so the function
    derives the id from the transfer.
    """
    return payment.fx_commit_id or id_of(payment, "commitRequest")


def quote_body(payment: Payment, fxp: str, now: float, policy: Policy) -> bytes:
    """Returns the body of POST /fxQuotes."""
    order = payment.order
    source, target = currencies(payment)
    is_sent = order.amount_type == "SEND"
    known = money.format_amount(order.amount if is_sent else payment.transfer_amount)
    seconds = order.fx_quote_expiry_s or agree_until(payment, policy) - now + policy.confirm_s
    terms = FxConversion(
        conversion_id=id_of(payment, "conversion"),
        determining_transfer_id=payment.transfer_id,
        initiating_fsp=policy.dfsp,
        counter_party_fsp=fxp,
        amount_type=order.amount_type,
        source_amount=FxMoney(currency=source, amount=known if is_sent else None),
        target_amount=FxMoney(currency=target, amount=None if is_sent else known),
        expiration=moment(now + policy.hub_ahead_s + seconds),
    )
    return write(FxQuotePost(conversion_request_id=request_id(payment), conversion_terms=terms))


def problem_of(payment: Payment, offered: FxQuotePut, no_later_than: float) -> tuple[ErrorCode, str] | None:
    """Returns the reason why the payer must not accept these terms of a conversion, or None."""
    terms, asked = offered.conversion_terms, read(FxQuotePost, payment.fx_quote_body).conversion_terms
    source, target = currencies(payment)
    same = ("conversion_id", "determining_transfer_id", "initiating_fsp", "counter_party_fsp", "amount_type")
    if any(getattr(terms, name) != getattr(asked, name) for name in same):
        return ErrorCode.VALIDATION_ERROR, "the terms of the conversion are about another conversion"
    if offered.condition is None:
        return ErrorCode.VALIDATION_ERROR, "the terms of the conversion have no condition"
    try:
        pays, gets = amounts_of(offered, source, target)
        expires_at = fsptime.parse_datetime(terms.expiration).timestamp()
    except ValueError as error:
        return ErrorCode.VALIDATION_ERROR, f"the terms of the conversion cannot be read: {error}"
    if expires_at <= no_later_than:
        return ErrorCode.QUOTE_EXPIRED, "the terms of the conversion have expired"
    if pays <= 0 or gets <= 0:
        return ErrorCode.VALIDATION_ERROR, "an amount of the conversion is zero"
    if payment.order.amount_type == "SEND" and pays > payment.order.amount:
        return ErrorCode.PAYER_ERROR, "the source amount of the conversion is above the amount that the payer sends"
    if payment.order.amount_type == "RECEIVE" and gets != payment.transfer_amount:
        return ErrorCode.PAYER_ERROR, "the target amount of the conversion is not the amount of the transfer"
    return None


def amounts_of(offered: FxQuotePut, source: str, target: str) -> tuple[int, int]:
    """Returns two amounts: the amount that the payer spends, and the amount that the FXP pays.

    Raises ValueError if an amount is missing.
    """
    found = []
    for part, currency in (
        (offered.conversion_terms.source_amount, source),
        (offered.conversion_terms.target_amount, target),
    ):
        if part.amount is None:
            raise ValueError("an amount is missing")
        found.append(amount_in(Money(currency=part.currency, amount=part.amount), currency) or 0)
    return found[0], found[1]


def provider(payment: Payment) -> str:
    """Returns the FXP of the payment."""
    return read(FxQuotePost, payment.fx_quote_body).conversion_terms.counter_party_fsp


def offer_of(payment: Payment) -> FxQuotePut:
    """Returns the FXP's terms for the payment."""
    return read(FxQuotePut, payment.fx_quote_answer)


def sides(payment: Payment) -> tuple[Money, Money]:
    """Returns two amounts with their currencies: the money that the payer spends, and the money that the FXP pays."""
    terms = offer_of(payment).conversion_terms
    assert terms.source_amount.amount is not None
    assert terms.target_amount.amount is not None
    return (
        Money(currency=terms.source_amount.currency, amount=terms.source_amount.amount),
        Money(currency=terms.target_amount.currency, amount=terms.target_amount.amount),
    )


def asked(payment: Payment) -> tuple[int, str]:
    """Returns the amount and the currency for the request for terms: either from the order, or after the conversion."""
    if payment.order.amount_type == "SEND" and payment.fx_quote_answer:
        _, target = sides(payment)
        return money.parse_amount(target.amount), target.currency
    return payment.order.amount, payment.order.currency


def agreed(payment: Payment) -> tuple[int, str]:
    """Returns the amount and the currency of the transfer. As long as there are no terms, returns the amount and the
    currency of the order.
    """
    if not payment.transfer_amount:
        return payment.order.amount, payment.order.currency
    return payment.transfer_amount, asked(payment)[1]


def transfer_body(payment: Payment, now: float, policy: Policy) -> bytes:
    """Returns the body of POST /fxTransfers."""
    offered = offer_of(payment)
    assert offered.condition is not None
    source, target = sides(payment)
    seconds = payment.order.fx_transfer_expiry_s or policy.transfer_expiry_s
    return write(
        FxTransferPost(
            commit_request_id=commit_id(payment),
            determining_transfer_id=payment.transfer_id,
            initiating_fsp=policy.dfsp,
            counter_party_fsp=offered.conversion_terms.counter_party_fsp,
            source_amount=source,
            target_amount=target,
            condition=offered.condition,
            expiration=moment(now + policy.hub_ahead_s + seconds),
        )
    )
