"""The terms of a payment to a customer: reads requests for terms, offers terms, and compares transfers with the offered
terms. Pure functions, without I/O.

The ILP packet describes the whole payment. The fulfilment is an HMAC of the packet. The HMAC's key is this DFSP's
secret. So the connector can compute the fulfilment again, and does not have to store it (FSPIOP API v1.1, section
6.5.2.3).
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote as quoted

import msgspec

from fspiop import base64url, bodies, ilp, money, strictjson
from fspiop import time as fsptime
from fspiop.bodies.common import Money, Transaction
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPost, TransferPut
from fspiop.errors import ErrorCode, FspiopError
from fspiop.iso20022 import ilp4
from kitovu_connector import party_identifiers
from kitovu_connector.amounts import AmountError, decimal_of, ten_thousandths_of
from kitovu_connector.backend import IncomingMoney, Terms, TermsWanted
from kitovu_connector.config import Config
from kitovu_connector.core_errors import NotUnderstood
from kitovu_connector.payment_and_quote_records import Incoming, QuoteGiven
from kitovu_connector.payment_order import extension_list, extensions_of, party_of, ref_of

_LONGEST_VALIDITY_S = 8 * 86_400.0  # the hub allows seven days by default
_LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # the API's DateTime has no later year


def check(asked: QuotePost) -> None:
    """Raises FspiopError if the core or the connector's database cannot process this request for terms."""
    for name, value in (("amount", asked.amount), ("fees", asked.fees)):
        if value is not None:
            check_amount(name, value)
    payee = asked.payee.party_id_info
    if not all(map(party_identifiers.is_segment, filter(None, (payee.party_identifier, payee.party_sub_id_or_type)))):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "payee.partyIdInfo: the identifier is not one of a party")


def check_amount(name: str, value: Money) -> None:
    """Raises FspiopError if the amount is too large for the connector's database."""
    try:
        money.parse_amount(value.amount)
    except money.AmountError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}.amount: {error}") from None


def check_expiration(expires_at: float, *, now: float) -> None:
    """Raises FspiopError if the expiration of a transfer or conversion is later than a hub allows.

    A dishonest DFSP could send its request only to the connector, and not to the hub. The connector would then request
    the state from the hub again and again, until the request expires. So the expiration of another DFSP's request must
    not be too late.
    """
    if expires_at > now + _LONGEST_VALIDITY_S:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "expiration: more than eight days ahead")


def wanted_of(quote: QuoteGiven, dfsp: str) -> TermsWanted:
    """Converts the payer DFSP's request into the form for the core.

    The core always gets the same spelling of a customer's identifier, even if the spelling differs between requests.
    """
    asked = bodies.read(QuotePost, quote.request)
    payee = ref_of(asked.payee)
    return TermsWanted(
        payer=msgspec.structs.replace(ref_of(asked.payer), fsp_id=quote.payer_fsp),
        payee=msgspec.structs.replace(
            payee, fsp_id=dfsp, id_value=party_identifiers.spelling(payee.id_type, payee.id_value)
        ),
        amount=decimal_of(money.parse_amount(asked.amount.amount)),
        asked=asked,
        home_request_id=quote.home_request_id,
    )


def offer(
    quote: QuoteGiven, wanted: TermsWanted, given: Terms, config: Config, *, now: float, is_in_bulk: bool = False
) -> QuoteGiven:
    """Returns the quote with its answer: the body of PUT /quotes/{ID}, the packet and the condition.

    The payer DFSP's signature covers the packet, so the packet contains the whole payment as the payer DFSP requested
    it. Raises ValueError if a packet cannot hold the values, and NotUnderstood if the core's terms are invalid.
    """
    try:
        receive, fee, commission = map(ten_thousandths_of, (given.receive_amount, given.fee, given.commission))
    except AmountError as error:  # the core has returned an object of its own instead of `Terms`
        raise NotUnderstood(str(error)) from None
    amount = receive + fee - commission
    if not 0 < amount <= money.MAX_AMOUNT:
        raise NotUnderstood("the amounts of the terms are not above 0, or too large")
    transaction = Transaction(
        transaction_id=wanted.transaction_id,
        quote_id=wanted.quote_id,
        payee=party_of(msgspec.structs.replace(ref_of(wanted.asked.payee), fsp_id=wanted.payee.fsp_id)),
        payer=party_of(wanted.payer),
        amount=_money(amount, wanted.currency),
        transaction_type=wanted.transaction_type,
        note=wanted.note,
        extension_list=wanted.asked.extension_list,
    )
    expires_at = now + config.quote_expiry_s if given.expires_at is None else given.expires_at
    if not now < expires_at <= _LATEST:
        raise NotUnderstood("the terms have already expired, or expire after the year 9999")
    # Bulk transfers have only the plain form.
    make_packet = _plain_packet if is_in_bulk or not config.is_iso20022 else _iso20022_packet
    packet = make_packet(transaction, _address(wanted), money.minor_units(amount, wanted.currency), expires_at, config)
    condition = ilp.condition_for(_fulfilment_for(packet, config))
    answer = QuotePut(
        transfer_amount=_money(amount, wanted.currency),
        payee_receive_amount=_money(receive, wanted.currency),
        payee_fsp_fee=_money(fee, wanted.currency) if fee else None,
        payee_fsp_commission=_money(commission, wanted.currency) if commission else None,
        geo_code=given.geo_code,
        extension_list=extension_list(given.extensions),
        expiration=_moment(expires_at),
        ilp_packet=packet,
        condition=condition,
    )
    return msgspec.structs.replace(
        quote,
        answer=_checked(answer),
        packet=packet,
        condition=condition,
        amount=amount,
        receive_amount=receive,
        fee=fee,
        currency=wanted.currency,
        expires_at=expires_at,
        core_answer=given.core_answer,
    )


def money_of(incoming: Incoming, quote: QuoteGiven, dfsp: str, *, is_repeated: bool = False) -> IncomingMoney:
    """Converts a transfer on these terms into the form for the core."""
    transfer = bodies.read(TransferPost, incoming.body)
    return IncomingMoney(
        transfer_id=transfer.transfer_id,
        terms=wanted_of(quote, dfsp),
        amount=decimal_of(quote.amount),
        receive_amount=decimal_of(quote.receive_amount),
        fee=decimal_of(quote.fee),
        currency=quote.currency,
        extensions=extensions_of(transfer.extension_list),
        core_answer=quote.core_answer,
        offer=quote.answer,
        message=incoming.body,
        answer=incoming.answer,
        completed_at=incoming.completed_at,
        is_repeated=is_repeated,
    )


def problem_of(
    transfer: TransferPost, payer_fsp: str, quote: QuoteGiven | None, *, now: float, margin_s: float
) -> str | None:
    """Returns the reason why this DFSP must not fulfil the transfer, or None (FSPIOP API v1.1, section 6.7.2.8, step
    2).

    Only the hub decides whether a fulfilment was in time. `now` can be ahead of the hub's clock by at most the margin.
    """
    if quote is None:
        return "no terms were given with this condition"
    if quote.payer_fsp != payer_fsp or transfer.payer_fsp != payer_fsp:
        return "the terms were given to another DFSP"
    if transfer.ilp_packet != quote.packet:
        return "the ILP packet does not match the terms"
    if transfer.amount.currency != quote.currency or money.parse_amount(transfer.amount.amount) != quote.amount:
        return "the amount does not match the terms"
    if now >= quote.expires_at:
        return "the terms have expired"
    if now >= fsptime.parse_datetime(transfer.expiration).timestamp() + margin_s:
        return "the transfer has expired"
    return None


def fulfilment_of(quote: QuoteGiven, config: Config) -> bytes:
    """Returns the body of PUT /transfers/{ID} for a transfer on these terms.

    The body has no completedTimestamp, because the API does not require this field. The hub would refuse a time that is
    later than the hub's own time.
    """
    return bodies.write(
        TransferPut(
            transfer_state="COMMITTED" if config.fulfil_state == "COMMITTED" else "RESERVED",
            fulfilment=_fulfilment_for(quote.packet, config),
        )
    )


def _plain_packet(transaction: Transaction, address: str, amount: int, _: float, __: Config) -> str:
    return ilp.encode_payment(ilp.IlpPayment(amount=amount, account=address, data=_data_of(transaction)))


def _iso20022_packet(transaction: Transaction, address: str, amount: int, expires_at: float, config: Config) -> str:
    """Returns a packet that contains the condition. A pacs.008 message has no other element that could contain the
    condition and the payment.
    """
    prepare = ilp4.IlpPrepare(
        amount=amount,
        expires_at=datetime.fromtimestamp(expires_at, UTC),
        condition=b"",
        destination=address,
        data=_data_of(transaction),
    )
    return ilp4.with_condition(prepare, config.ilp_key)


def _data_of(transaction: Transaction) -> bytes:
    return base64url.encode(bodies.write(transaction)).encode()


def _fulfilment_for(packet: str, config: Config) -> str:
    """Returns the fulfilment of a packet of this DFSP. Each packet shows the form in which it was written, so the DFSP
    can change the setting `message_form` at any time.
    """
    if ilp4.is_prepare(packet):
        return ilp4.fulfilment_for(packet, config.ilp_key)
    return ilp.fulfilment_for(packet, config.ilp_key)


def transaction_in(packet: str) -> Any:
    """Returns the payment that a packet contains. Raises ValueError if the packet cannot be read."""
    data = ilp4.decode_prepare(packet).data if ilp4.is_prepare(packet) else ilp.decode_payment(packet).data
    return strictjson.loads(base64url.decode(data.decode()))


def _moment(timestamp: float) -> str:
    """Returns seconds since 1970 as the API's DateTime."""
    return fsptime.format_datetime(datetime.fromtimestamp(0, UTC) + timedelta(seconds=timestamp))


def _checked(answer: QuotePut) -> bytes:
    """Encodes an answer as bytes. Raises ValueError if a receiver could not read these bytes."""
    raw = bodies.write(answer)
    try:
        bodies.read(QuotePut, raw)
    except FspiopError as error:
        raise ValueError(error.description) from None
    return raw


def _money(amount: int, currency: str) -> Money:
    return Money(currency=currency, amount=money.format_amount(amount))


def _address(wanted: TermsWanted) -> str:
    """Returns the payee's ILP address (FSPIOP API v1.1, section 4.3)."""
    alias = (wanted.payee.id_type.lower(), quoted(wanted.payee.id_value.lower(), safe="@:+"))
    return ".".join(("g", wanted.payee.fsp_id or "", *alias))
