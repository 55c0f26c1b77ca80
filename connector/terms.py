"""The terms of a payment to a customer of ours: reading what is wanted, offering, and holding a transfer to them. Pure.

The ILP packet carries the transaction; the fulfilment is an HMAC of the packet under this DFSP's secret, so it need
not be kept (FSPIOP API v1.1, section 6.5.2.3).
"""

from datetime import UTC, datetime, timedelta

import msgspec

from connector.backend import Terms, TermsWanted
from connector.config import Config
from connector.store import QuoteGiven
from fspiop import base64url, bodies, ilp, money
from fspiop import time as fsptime
from fspiop.bodies.common import Money
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPost, TransferPut


def wanted_of(quote: QuoteGiven) -> TermsWanted:
    """What the payer asked, for the core."""
    body = bodies.read(QuotePost, quote.request)
    payer, payee = body.payer.party_id_info, body.payee.party_id_info
    return TermsWanted(
        quote_id=body.quote_id,
        transaction_id=body.transaction_id,
        payer_fsp=quote.payer_fsp,
        payer_type=payer.party_id_type,
        payer_id=payer.party_identifier,
        payee_type=payee.party_id_type,
        payee_id=payee.party_identifier,
        payee_sub_id=payee.party_sub_id_or_type,
        amount_type=body.amount_type,
        amount=money.parse_amount(body.amount.amount),
        currency=body.amount.currency,
        scenario=body.transaction_type.scenario,
        note=body.note,
    )


def offer(quote: QuoteGiven, wanted: TermsWanted, given: Terms, config: Config, *, now: float) -> QuoteGiven:
    """The quote with its answer: PUT /quotes/{ID}, packet and condition. ValueError where no packet can say it."""
    amount = given.receive_amount + given.fee
    packet = ilp.encode_payment(
        ilp.IlpPayment(
            amount=money.minor_units(amount, wanted.currency),
            account=f"g.{config.dfsp}.{wanted.payee_type}.{wanted.payee_id}".lower(),
            data=base64url.encode(
                msgspec.json.encode(
                    {
                        "transactionId": wanted.transaction_id,
                        "quoteId": wanted.quote_id,
                        "payee": {"partyIdInfo": _party(wanted.payee_type, wanted.payee_id, config.dfsp)},
                        "payer": {"partyIdInfo": _party(wanted.payer_type, wanted.payer_id, wanted.payer_fsp)},
                        "amount": {"amount": money.format_amount(amount), "currency": wanted.currency},
                        "transactionType": {
                            "scenario": wanted.scenario,
                            "initiator": "PAYER",
                            "initiatorType": "CONSUMER",
                        },
                    },
                    order="sorted",
                )
            ).encode(),
        )
    )
    condition = ilp.condition_for(ilp.fulfilment_for(packet, config.ilp_key))
    expires_at = now + config.quote_expiry_s
    answer = QuotePut(
        transfer_amount=_money(amount, wanted.currency),
        payee_receive_amount=_money(given.receive_amount, wanted.currency),
        payee_fsp_fee=_money(given.fee, wanted.currency) if given.fee else None,
        expiration=moment(expires_at),
        ilp_packet=packet,
        condition=condition,
    )
    return msgspec.structs.replace(
        quote,
        answer=bodies.write(answer),
        packet=packet,
        condition=condition,
        amount=amount,
        receive_amount=given.receive_amount,
        fee=given.fee,
        currency=wanted.currency,
        payer_type=wanted.payer_type,
        payer_id=wanted.payer_id,
        payee_type=wanted.payee_type,
        payee_id=wanted.payee_id,
        payee_sub_id=wanted.payee_sub_id,
        note=wanted.note,
        expires_at=expires_at,
    )


def problem_of(transfer: TransferPost, payer_fsp: str, quote: QuoteGiven | None, *, now: float) -> str | None:
    """Why this transfer must not be fulfilled, or None. FSPIOP API v1.1, section 6.7.2.8, step 2."""
    if quote is None:
        return "no terms were given with this condition"
    if quote.payer_fsp != payer_fsp or transfer.payer_fsp != payer_fsp:
        return "the terms were given to another DFSP"
    if transfer.ilp_packet != quote.packet:
        return "the ILP packet is not that of the terms"
    if transfer.amount.currency != quote.currency or money.parse_amount(transfer.amount.amount) != quote.amount:
        return "the amount is not that of the terms"
    if now >= quote.expires_at:
        return "the terms have expired"
    if now >= fsptime.parse_datetime(transfer.expiration).timestamp():
        return "the transfer has expired"
    return None


def fulfilment_of(quote: QuoteGiven, config: Config, *, now: float) -> bytes:
    """PUT /transfers/{ID} for a transfer on these terms."""
    return bodies.write(
        TransferPut(
            transfer_state="COMMITTED" if config.fulfil_state == "COMMITTED" else "RESERVED",
            fulfilment=ilp.fulfilment_for(quote.packet, config.ilp_key),
            completed_timestamp=moment(now),
        )
    )


def moment(timestamp: float) -> str:
    """Seconds since 1970 as the API writes a moment."""
    return fsptime.format_datetime(datetime.fromtimestamp(0, UTC) + timedelta(seconds=timestamp))


def _money(amount: int, currency: str) -> Money:
    return Money(currency=currency, amount=money.format_amount(amount))


def _party(id_type: str, identifier: str, fsp_id: str) -> dict[str, str]:
    return {"partyIdType": id_type, "partyIdentifier": identifier, "fspId": fsp_id}
