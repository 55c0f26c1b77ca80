"""The calls /requestToPay and /requestToPayTransfer of the SDK's outbound API."""

from typing import Any

import msgspec
from aiohttp import web

from fspiop import bodies, money
from fspiop.bodies.parties import PartyPut
from fspiop.errors import ErrorCode, FspiopError, text_of
from kitovu_connector.config import Config
from kitovu_connector.core_http import party_shown, present
from kitovu_connector.exchanges import NoAnswer
from kitovu_connector.payer import Payer
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_events_and_actions import Cancelled, Confirmed
from kitovu_connector.payment_order import Order, party_of
from kitovu_connector.payment_record import ENDS, PAUSES, Payment, State
from kitovu_connector.reference_api.beginning_payments import begin
from kitovu_connector.reference_api.bodies import (
    RequestToPay,
    RequestToPayAcceptance,
    RequestToPayTransfer,
    RequestToPayTransferAcceptance,
    amount,
)
from kitovu_connector.reference_api.errors import TIMED_OUT, ApiError, failed, last_error
from kitovu_connector.reference_api.shown_payments import ABORTED, COMPLETED, ERROR_OCCURRED, common
from kitovu_connector.request_to_pay_records import RequestMade, RequestOrder, RequestState
from kitovu_connector.requests_to_pay import RequestsToPay

_TRANSFER = "requestToPayTransfers/"
_STATES = {
    RequestState.PAYER_FOUND: "WAITING_FOR_PARTY_ACCEPTANCE",
    RequestState.ANSWERED: COMPLETED,
    RequestState.FAILED: ERROR_OCCURRED,
}
_WANTS = {State.AGREED: "terms", State.AUTHORIZED: "password"}
_NOT_KNOWN = "the outcome is not known yet: the transfer may be paid; repeat the request, and do not refund"


class RequestCalls:
    """Begins and continues requests to pay. Makes the payments for requests to pay that other DFSPs have sent."""

    def __init__(self, config: Config, store: Store, payer: Payer, requests: RequestsToPay) -> None:
        self._config, self._store, self._payer, self._requests = config, store, payer, requests

    def add_to(self, app: web.Application) -> None:
        """Adds the routes of this class to an application."""
        app.router.add_post("/requestToPay", self._post)
        app.router.add_put("/requestToPay/{id}", self._put)
        app.router.add_post("/requestToPayTransfer", self._post_transfer)
        app.router.add_put("/requestToPayTransfer/{id}", self._put_transfer)

    # --- as the payee's DFSP ------------------------------------------------------------------------------------------

    async def _post(self, request: web.Request) -> web.Response:
        order = request_of(bodies.read(RequestToPay, await request.read()))
        try:
            made = await self._requests.make(order, needs_confirmation=not self._config.auto_accept_r2p_party)
        except NoAnswer as error:
            raise _unanswered(error, await self._requests.made_by_core(order.home_id)) from None
        return self._shown(made)

    async def _put(self, request: web.Request) -> web.Response:
        wanted = bodies.read(RequestToPayAcceptance, await request.read())
        try:
            made = await self._requests.accept(request.match_info["id"], is_accepted=wanted.accept_party)
        except NoAnswer as error:
            raise _unanswered(error, await self._requests.made(request.match_info["id"])) from None
        if made is None:
            raise failed(ErrorCode.TRANSACTION_REQUEST_ID_NOT_FOUND.code, "", field="requestToPayState", state={})
        if not wanted.accept_party and made.state is RequestState.FAILED:
            return web.json_response(request_shown(made) | {"currentState": ABORTED})
        return self._shown(made)

    def _shown(self, made: RequestMade) -> web.Response:
        if made.state is RequestState.FAILED:
            code = made.error_code or ErrorCode.SERVER_ERROR.code
            raise failed(code, made.error_text or "", field="requestToPayState", state=request_shown(made))
        return web.json_response(request_shown(made))

    # --- as the payer's DFSP ------------------------------------------------------------------------------------------

    async def _post_transfer(self, request: web.Request) -> web.Response:
        try:
            order = payment_of(bodies.read(RequestToPayTransfer, await request.read()), self._config)
        except FspiopError as error:
            raise ApiError(400, error.code, error.description, field="transferState", state={}) from None
        await begin(self._payer, self._store, order, shown=transfer_shown)
        return await self._answer_for(order.home_id)

    async def _put_transfer(self, request: web.Request) -> web.Response:
        wanted = bodies.read(RequestToPayTransferAcceptance, await request.read())
        payment = await self._store.payment(_TRANSFER + request.match_info["id"])
        if payment is None:
            raise failed(ErrorCode.TRANSACTION_REQUEST_ID_NOT_FOUND.code, "", field="transferState", state={})
        answers = {"terms": wanted.accept_quote, "password": wanted.accept_otp}
        given = {name: answer for name, answer in answers.items() if answer is not None}
        if not given:
            raise FspiopError(ErrorCode.MISSING_ELEMENT, "acceptQuote or acceptOTP is required")
        wants = _WANTS.get(payment.state)
        home_id = payment.order.home_id
        if wants in given and not given[wants]:
            ended = await self._payer.tell(home_id, Cancelled())
            if ended.state is State.ABORTED:
                await self._requests.reject(request.match_info["id"])
                return web.json_response(transfer_shown(ended) | {"currentState": ABORTED})
        elif wants == "terms" and "terms" in given:
            await self._payer.tell(home_id, Confirmed("terms"))
        elif wants == "password" and "password" in given:
            await self._payer.tell(home_id, Confirmed("password"))
        elif wants == "terms":
            raise FspiopError(ErrorCode.CLIENT_ERROR, "the payment is WAITING_FOR_QUOTE_ACCEPTANCE")
        return await self._answer_for(home_id)

    async def _answer_for(self, home_id: str) -> web.Response:
        payment = await self._payer.wait_for_core(home_id, self._config.answer_s)
        assert payment is not None
        shown = transfer_shown(payment)
        if payment.state is State.ABORTED:
            code = payment.error_code or ErrorCode.SERVER_ERROR.code
            raise failed(code, payment.error_text or text_of(code), field="transferState", state=shown)
        if payment.state not in PAUSES | ENDS:
            code = ErrorCode.SERVER_TIMED_OUT.code
            shown |= {"lastError": last_error(code, _NOT_KNOWN)}
            raise ApiError(TIMED_OUT, code, _NOT_KNOWN, field="transferState", state=shown)
        return web.json_response(shown)


def _unanswered(error: NoAnswer, made: RequestMade | None) -> ApiError:
    """Returns the error for a request that continues, with the request's id."""
    shown = {} if made is None else request_shown(made) | {"lastError": last_error(error.code, error.text)}
    return failed(error.code, error.text, field="requestToPayState", state=shown)


def request_of(wanted: RequestToPay) -> RequestOrder:
    """Returns the request in the connector's stored form."""
    return RequestOrder(
        home_id=wanted.home_r2p_transaction_id,
        payer=wanted.from_.ref(),
        payee=wanted.to.ref(),
        amount=amount("amount", wanted.amount),
        currency=wanted.currency,
        amount_type=wanted.amount_type,
        scenario=wanted.transaction_type,
        sub_scenario=wanted.sub_scenario,
        initiator_type=wanted.to.type or "CONSUMER",
        note=wanted.note,
        authentication_type=wanted.authentication_type,
    )


def payment_of(wanted: RequestToPayTransfer, config: Config) -> Order:
    """Returns the order for a payment, as the answer to a received request to pay. The payment has the request's id, so
    the connector makes only one payment for each request.
    """
    is_business = wanted.initiator_type == "BUSINESS"
    accepts = config.auto_accept_r2p_business_quotes if is_business else config.auto_accept_r2p_device_quotes
    return Order(
        home_id=_TRANSFER + wanted.transaction_request_id,
        home_request_id=wanted.home_r2p_transaction_id,
        transaction_request_id=wanted.transaction_request_id,
        payer=wanted.from_.ref(),
        payee=wanted.to.ref(),
        amount=amount("amount", wanted.amount),
        currency=wanted.currency,
        amount_type=wanted.amount_type,
        max_amount=money.MAX_AMOUNT if wanted.amount_type == "RECEIVE" else None,
        scenario=wanted.scenario,
        sub_scenario=wanted.sub_scenario,
        initiator=wanted.initiator,
        initiator_type=wanted.initiator_type,
        note=wanted.note,
        skip_lookup=wanted.to.fsp_id is not None,
        needs_confirmation=not accepts,
        needs_password=wanted.authentication_type == "OTP" or wanted.initiator_type == "DEVICE",
        needs_password_confirmation=not config.auto_accept_r2p_device_otp,
    )


def request_shown(made: RequestMade) -> dict[str, Any]:
    """Returns requestToPayResponse."""
    order = made.order
    payer = made.payer or order.payer
    return {
        "transactionRequestId": made.id,
        "homeR2PTransactionId": order.home_id,
        "from": party_shown(payer),
        "to": party_shown(order.payee),
        "amountType": order.amount_type,
        "currency": order.currency,
        "amount": money.format_amount(order.amount),
        "transactionType": order.scenario,
        **present(
            subScenario=order.sub_scenario,
            note=order.note,
            currentState=_STATES.get(made.state),
            getPartiesResponse=made.payer
            and {
                "body": msgspec.to_builtins(PartyPut(party=party_of(made.payer))),
                "headers": {"fspiop-source": made.payer.fsp_id},
            },
            transactionRequestResponse=made.answer
            and {
                "body": {"transactionRequestState": made.answer, **present(transactionId=made.transaction_id)},
                "headers": {"fspiop-source": payer.fsp_id},
            },
            requestToPayState=made.answer,
            lastError=made.error_code and last_error(made.error_code, made.error_text or ""),
        ),
    }


def transfer_shown(payment: Payment) -> dict[str, Any]:
    """Returns requestToPayTransferResponse."""
    order = payment.order
    payee = payment.payee.fsp_id if payment.payee is not None else None
    authorization = payment.authorization and {
        "body": msgspec.json.decode(payment.authorization),
        "headers": {"fspiop-source": payee},
    }
    return {
        "transferId": payment.transfer_id,
        "homeTransactionId": order.home_request_id,  # the document requires this name in the answer to PUT
        "homeR2PTransactionId": order.home_request_id,
        "transactionRequestId": order.transaction_request_id,
        "transactionType": order.scenario,
        **common(payment),
        **present(authorizationResponse=authorization or None),
    }
