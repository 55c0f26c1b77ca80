"""Creates responses about a payment, in the form of the SDK's outbound API. Pure functions, without I/O."""

from typing import Any

import msgspec

from fspiop import money
from fspiop.bodies.parties import PartyPut
from fspiop.errors import error_body
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.core_http import extensions_shown, party_shown, present
from kitovu_connector.payment_order import PartyRef, party_of
from kitovu_connector.payment_record import SENT, Payment, State
from kitovu_connector.reference_api.errors import last_error

COMPLETED, ERROR_OCCURRED, ABORTED = "COMPLETED", "ERROR_OCCURRED", "ABORTED"
WAITING = {
    State.PAYEE_FOUND: "WAITING_FOR_PARTY_ACCEPTANCE",
    State.CONVERSION_OFFERED: "WAITING_FOR_CONVERSION_ACCEPTANCE",
    State.AGREED: "WAITING_FOR_QUOTE_ACCEPTANCE",
    State.AUTHORIZED: "WAITING_FOR_OTP_ACCEPTANCE",
}
ENDED = {State.COMMITTED: COMPLETED, State.ABORTED: ERROR_OCCURRED}


def state_shown(payment: Payment) -> str | None:
    """Returns `currentState`. Returns None as long as the outcome is unknown, because the SDK has no name for this
    state.
    """
    return (WAITING | ENDED).get(payment.state)


def payment_shown(payment: Payment) -> dict[str, Any]:
    """Returns transferResponse."""
    order = payment.order
    return {
        "transferId": payment.transfer_id,
        "homeTransactionId": order.home_id,
        "transactionType": order.scenario,
        **present(skipPartyLookup=order.skip_lookup or None),
        **common(payment),
        **_parties_response(payment),
        **_conversion(payment),
    }


def common(payment: Payment) -> dict[str, Any]:
    """Returns the fields that every payment has, no matter which call began it."""
    order = payment.order
    payee = payment.payee.fsp_id if payment.payee is not None else None
    return {
        "from": {**party_shown(order.payer), **present(type=order.initiator_type)},
        "to": party_shown(_merged(order.payee, payment.payee)),
        "amountType": order.amount_type,
        "currency": order.currency,
        "amount": money.format_amount(order.amount),
        **present(
            subScenario=order.sub_scenario,
            note=order.note,
            quoteRequestExtensions=extensions_shown(order.quote_extensions),
            transferRequestExtensions=extensions_shown(order.transfer_extensions),
            currentState=state_shown(payment),
            quoteId=payment.quote_id if payment.quote_body else None,
            quoteResponse=_answer(payment.quote_answer, payee),
            quoteResponseSource=payee if payment.quote_answer else None,
            fulfil=fulfil_shown(payment),
            lastError=error_shown(payment),
        ),
    }


def fulfil_shown(payment: Payment) -> dict[str, Any] | None:
    """Returns the outcome as the object TransfersIDPutResponse, or None if the transfer has not been sent."""
    if payment.state is State.COMMITTED:
        body = {"transferState": "COMMITTED", "fulfilment": payment.fulfilment}
        return {"body": body | present(completedTimestamp=payment.completed_at)}
    if payment.state in SENT:
        return {"body": {"transferState": "RESERVED" if payment.accepted else "RECEIVED"}}
    return {"body": {"transferState": "ABORTED"}} if payment.transfer_body else None


def error_shown(payment: Payment) -> dict[str, Any] | None:
    """Returns `lastError`, or None."""
    return last_error(payment.error_code, payment.error_text or "") if payment.error_code else None


def _merged(asked: PartyRef, found: PartyRef | None) -> PartyRef:
    """Returns the payee in the request, together with the data that the payee's DFSP added."""
    if found is None:
        return asked
    known = {name: value for name in found.__struct_fields__ if (value := getattr(found, name)) not in (None, ())}
    return msgspec.structs.replace(asked, **known)


def _parties_response(payment: Payment) -> dict[str, Any]:
    if payment.order.skip_lookup:
        return {}
    if payment.payee is not None:
        body = msgspec.to_builtins(PartyPut(party=party_of(payment.payee)))
        return {"getPartiesResponse": {"body": body, "headers": {"fspiop-source": payment.payee.fsp_id}}}
    if payment.error_code:
        return {"getPartiesResponse": {"body": error_body(payment.error_code, payment.error_text or "")}}
    return {}


def _conversion(payment: Payment) -> dict[str, Any]:
    if not payment.fx_quote_body:
        return {}
    fxp = conversion.provider(payment)
    shown: dict[str, Any] = {"conversionRequestId": conversion.request_id(payment)}
    if payment.fx_quote_answer:
        shown |= {"fxQuotesResponse": _answer(payment.fx_quote_answer, fxp), "fxQuotesResponseSource": fxp}
    return shown


def _answer(raw: bytes, source: str | None) -> dict[str, Any] | None:
    if not raw:
        return None
    return {"body": msgspec.json.decode(raw), "headers": present(**{"fspiop-source": source})}
