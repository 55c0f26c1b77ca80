"""Single payments in the SDK's outbound API: /transfers and /simpleTransfers.

The connector stores each of these payments in the same way as all its other payments.
"""

from typing import Any

import msgspec
from aiohttp import web

from fspiop import bodies, money
from fspiop import time as fsptime
from fspiop.bodies.transfers import TransferPost
from fspiop.errors import ErrorCode, FspiopError, text_of
from fspiop.paths import path_of
from kitovu_connector.config import Config
from kitovu_connector.exchanges import Exchanges
from kitovu_connector.payer import Payer
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_events_and_actions import Accepts, Cancelled, Confirmed
from kitovu_connector.payment_order import Order, PartyRef
from kitovu_connector.payment_record import ENDS, PAUSES, SENT, Payment, State
from kitovu_connector.reference_api.beginning_payments import begin
from kitovu_connector.reference_api.bodies import Acceptance, SimpleTransfer, TransferRequest, amount, pairs
from kitovu_connector.reference_api.errors import TIMED_OUT, ApiError, failed, last_error
from kitovu_connector.reference_api.shown_payments import (
    ABORTED,
    COMPLETED,
    fulfil_shown,
    payment_shown,
    state_shown,
)

_SIMPLE = "simpleTransfers/"
_ACCEPTED: dict[State, Accepts] = {
    State.PAYEE_FOUND: "payee",
    State.CONVERSION_OFFERED: "conversion",
    State.AGREED: "terms",
}


class Transfers:
    """Begins, continues and shows payments."""

    def __init__(self, config: Config, store: Store, payer: Payer, exchanges: Exchanges) -> None:
        self._config, self._store, self._payer, self._exchanges = config, store, payer, exchanges

    def add_to(self, app: web.Application) -> None:
        """Adds the routes of this class to an application."""
        app.router.add_post("/transfers", self._post)
        app.router.add_put("/transfers/{id}", self._put)
        app.router.add_get("/transfers/{id}", self._get)
        app.router.add_post("/simpleTransfers", self._post_simple)
        app.router.add_get("/simpleTransfers/{id}", self._get_simple)

    async def _post(self, request: web.Request) -> web.Response:
        try:
            order = order_of(bodies.read(TransferRequest, await request.read()), self._config)
        except FspiopError as error:
            raise ApiError(400, error.code, error.description, field="transferState", state={}) from None
        await begin(self._payer, self._store, order, shown=payment_shown)
        return await self._answer_for(order.home_id)

    async def _put(self, request: web.Request) -> web.Response:
        wanted = bodies.read(Acceptance, await request.read())
        payment = await self._found(request)
        given = {
            "payee": wanted.accept_party,
            "terms": wanted.accept_quote if wanted.accept_quote is not None else wanted.accept_quote_or_conversion,
            "conversion": wanted.accept_conversion
            if wanted.accept_conversion is not None
            else wanted.accept_quote_or_conversion,
        }
        answers = {name: answer for name, answer in given.items() if answer is not None}
        if not answers:
            raise FspiopError(ErrorCode.MISSING_ELEMENT, "acceptParty, acceptQuote or acceptConversion is required")
        return await self.go_on(payment, answers)

    async def go_on(self, payment: Payment, answers: dict[str, bool]) -> web.Response:
        """Passes the front end's answer to the waiting payment. Returns the payment when it waits for the core again,
        or when it has ended.
        """
        wants = _ACCEPTED.get(payment.state)
        home_id = payment.order.home_id
        if wants is not None and answers.get(wants) is False:
            ended = await self._payer.tell(home_id, Cancelled())
            if ended.state is State.ABORTED:
                shown = payment_shown(ended) | {"currentState": ABORTED, "abortedReason": f"{wants} was not accepted"}
                return web.json_response(shown)
        elif wants is not None and wants in answers:
            await self._payer.tell(home_id, Confirmed(wants))
        elif payment.state in PAUSES and not _were_given(payment, answers):
            raise FspiopError(ErrorCode.CLIENT_ERROR, f"the payment is {state_shown(payment)}")
        return await self._answer_for(home_id)

    async def _get(self, request: web.Request) -> web.Response:
        transfer_id = request.match_info["id"]
        payment = await self._store.payment_of_transfer(transfer_id)
        if payment is None:
            reply = await self._exchanges.ask(("transfers", transfer_id), "GET", path_of("transfers", transfer_id))
            shown: dict[str, Any] = {"transferId": transfer_id, "fulfil": _body_and_headers(reply)}
            return web.json_response(shown | {"currentState": COMPLETED})
        payment = await self._payer.wait_for_report(payment.order.home_id, self._config.request_s) or payment
        if payment.state is State.ABORTED:
            raise _failure(payment)
        if payment.state in SENT or (state := state_shown(payment)) is None:
            raise _unknown(payment)
        fulfil = fulfil_shown(payment) or {"body": {"transferState": "RECEIVED"}}
        return web.json_response({"transferId": transfer_id, "currentState": state, "fulfil": fulfil})

    async def _post_simple(self, request: web.Request) -> web.Response:
        wanted = bodies.read(SimpleTransfer, await request.read())
        transfer = wanted.transfers_post_request
        order = agreed_order_of(wanted, self._config)
        await begin(self._payer, self._store, order, transfer.transfer_id, shown=payment_shown)
        return self._simple(await self._payer.wait_for_end(order.home_id, self._config.answer_s))

    async def _get_simple(self, request: web.Request) -> web.Response:
        return self._simple(await self._store.payment(_SIMPLE + request.match_info["id"]))

    def _simple(self, payment: Payment | None) -> web.Response:
        if payment is None:
            raise failed(ErrorCode.TRANSFER_ID_NOT_FOUND.code, "")
        if payment.state is State.ABORTED:
            raise failed(payment.error_code or "", payment.error_text or "")
        if payment.state is not State.COMMITTED:
            raise ApiError(TIMED_OUT, ErrorCode.SERVER_TIMED_OUT.code, _NOT_KNOWN)
        transfer = (fulfil_shown(payment) or {}) | {"headers": {"fspiop-source": self._config.hub_id}}
        return web.json_response({"transfer": transfer, "currentState": COMPLETED})

    async def _found(self, request: web.Request) -> Payment:
        payment = await self._store.payment_of_transfer(request.match_info["id"])
        if payment is None:
            raise failed(ErrorCode.TRANSFER_ID_NOT_FOUND.code, "", field="transferState", state={})
        return payment

    async def _answer_for(self, home_id: str) -> web.Response:
        payment = await self._payer.wait_for_core(home_id, self._config.answer_s)
        assert payment is not None
        if payment.state is State.ABORTED:
            raise _failure(payment)
        if payment.state not in PAUSES | ENDS:
            raise _unknown(payment)
        return web.json_response(payment_shown(payment))


_NOT_KNOWN = "the outcome is not known yet: the transfer may be paid; ask with GET, and do not refund"


def order_of(wanted: TransferRequest, config: Config) -> Order:
    """Returns the payment in the connector's stored form."""
    if wanted.skip_party_lookup and wanted.to.fsp_id is None:
        raise FspiopError(ErrorCode.MISSING_ELEMENT, "to.fspId is required with skipPartyLookup")
    return Order(
        home_id=wanted.home_transaction_id,
        payer=wanted.from_.ref(),
        payee=wanted.to.ref(),
        amount=amount("amount", wanted.amount),
        currency=wanted.currency,
        amount_type=wanted.amount_type,
        # There is no limit for the fees: the front end accepts the fees, or a setting accepts all terms.
        max_amount=money.MAX_AMOUNT if wanted.amount_type == "RECEIVE" else None,
        scenario=wanted.transaction_type,
        sub_scenario=wanted.sub_scenario,
        initiator_type=wanted.from_.type or "CONSUMER",
        note=wanted.note,
        quote_extensions=pairs(wanted.quote_request_extensions),
        transfer_extensions=pairs(wanted.transfer_request_extensions),
        skip_lookup=wanted.skip_party_lookup,
        needs_payee_confirmation=not (config.auto_accept_party or wanted.skip_party_lookup),
        needs_confirmation=not config.auto_accept_quotes,
        may_convert=True,
        needs_conversion_confirmation=not config.auto_accept_conversion,
        quote_expiry_s=wanted.quote_expiry_seconds,
        transfer_expiry_s=wanted.prepare_expiry_seconds,
        fx_quote_expiry_s=wanted.fx_quote_expiry_seconds,
        fx_transfer_expiry_s=wanted.fx_prepare_expiry_seconds,
    )


def agreed_order_of(wanted: SimpleTransfer, config: Config) -> Order:
    """Returns a payment on terms that the front end itself has agreed on. The payer and the payee of this payment are
    the two DFSPs.
    """
    transfer: TransferPost = wanted.transfers_post_request
    if transfer.payer_fsp != config.dfsp:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"transfersPostRequest.payerFsp: must be {config.dfsp}")
    if transfer.payee_fsp != wanted.fsp_id:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "transfersPostRequest.payeeFsp: must be the fspId")
    fsptime.parse_datetime(transfer.expiration)
    return Order(
        home_id=_SIMPLE + transfer.transfer_id,
        payer=PartyRef(id_type="BUSINESS", id_value=config.dfsp, fsp_id=config.dfsp),
        payee=PartyRef(id_type="BUSINESS", id_value=wanted.fsp_id, fsp_id=wanted.fsp_id),
        amount=amount("transfersPostRequest.amount.amount", transfer.amount.amount),
        currency=transfer.amount.currency,
        agreed_transfer=bodies.write(transfer),
    )


def _were_given(payment: Payment, answers: dict[str, bool]) -> bool:
    """Returns whether the payment has already received this answer of the front end."""
    had = {"payee": payment.state is not State.PAYEE_FOUND, "terms": bool(payment.quote_answer)}
    had["conversion"] = bool(payment.fx_quote_answer)
    return all(had[name] for name in answers)


def _failure(payment: Payment) -> ApiError:
    code = payment.error_code or ErrorCode.SERVER_ERROR.code
    return failed(code, payment.error_text or text_of(code), field="transferState", state=payment_shown(payment))


def _unknown(payment: Payment) -> ApiError:
    code = ErrorCode.SERVER_TIMED_OUT.code
    state = payment_shown(payment) | {"lastError": last_error(code, _NOT_KNOWN)}
    return ApiError(TIMED_OUT, code, _NOT_KNOWN, field="transferState", state=state)


def _body_and_headers(reply: Any) -> dict[str, Any]:
    return {"body": msgspec.to_builtins(reply.body), "headers": reply.headers}
