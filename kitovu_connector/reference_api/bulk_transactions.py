"""The calls /bulkTransactions of the SDK's outbound API, and the callbacks to the core."""

from typing import Any

import msgspec
from aiohttp import web

from fspiop import bodies, money, strictjson
from fspiop import time as fsptime
from fspiop.bodies.quotes import QuotePut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import party_identifiers
from kitovu_connector.bulk_transactions import BulkTransaction, BulkTransactions, Progress
from kitovu_connector.config import Config
from kitovu_connector.conflicts import Conflict
from kitovu_connector.core_http import present
from kitovu_connector.payment_order import Order, extensions_of, party_of, ref_of
from kitovu_connector.payment_record import Payment, State
from kitovu_connector.reference_api.bodies import amount, amount_or_zero
from kitovu_connector.reference_api.bulk_bodies import (
    BulkTransactionAcceptance,
    BulkTransactionWanted,
    TransactionItem,
    listed,
)
from kitovu_connector.reference_api.errors import ApiError, failed, id_used
from kitovu_connector.reference_api.shown_payments import COMPLETED, ERROR_OCCURRED, WAITING, error_shown

_ACCEPTED = {"accept_party": "payee", "accept_quote": "terms"}


class BulkTransactionCalls:
    """Begins bulks of payments, and continues them after the front end's answers.

    Sends the core a PUT /bulkTransactions/{id} with the progress of each bulk.
    """

    def __init__(self, config: Config, bulks: BulkTransactions) -> None:
        self._config, self._bulks = config, bulks

    def add_to(self, app: web.Application) -> None:
        """Adds the routes of this class to an application."""
        app.router.add_post("/bulkTransactions", self._post)
        app.router.add_put("/bulkTransactions/{id}", self._put)

    async def _post(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            wanted = bodies.read(BulkTransactionWanted, raw)
            new = bulk_of(wanted, raw)
        except FspiopError as error:
            raise ApiError(400, error.code, error.description, field="bulkTransferState", state={}) from None
        try:
            bulk = await self._bulks.begin(new)
        except Conflict:
            known = await self._bulks.get(new.id)
            if known is None:
                raise
            shown = bulk_shown(known, await self._bulks.payments(known))
            raise id_used(field="bulkTransferState", state=shown) from None
        if not wanted.options.synchronous:
            return web.Response(status=202)
        # The connector also sends PUT /bulkTransactions/{id} to the core, because this response may be lost.
        bulk = await self._bulks.wait_for_stop(bulk.id, self._config.answer_s) or bulk
        if bulk.state is Progress.RUNNING:
            return web.Response(status=202)
        return web.json_response(bulk_shown(bulk, await self._bulks.payments(bulk)), status=202)

    async def _put(self, request: web.Request) -> web.Response:
        try:
            wanted = bodies.read(BulkTransactionAcceptance, await request.read())
        except FspiopError as error:
            raise ApiError(400, error.code, error.description, field="bulkTransferState", state={}) from None
        bulk = await self._bulks.get(request.match_info["id"])
        if bulk is None:
            raise failed(ErrorCode.BULK_TRANSFER_ID_NOT_FOUND.code, "")
        known = {payment.transfer_id for payment in await self._bulks.payments(bulk)}
        answers: dict[str, tuple[str, bool]] = {}
        for item in wanted.individual_transfers:
            given = {name: getattr(item, name) for name in _ACCEPTED if getattr(item, name) is not None}
            if len(given) != 1 or item.transfer_id not in known:
                text = (
                    f"individualTransfers: {item.transfer_id} needs acceptParty or acceptQuote, and to be of this bulk"
                )
                fault = FspiopError(ErrorCode.VALIDATION_ERROR, text)
                raise ApiError(400, fault.code, fault.description, field="bulkTransferState", state={})
            ((name, is_accepted),) = given.items()
            answers[item.transfer_id] = (_ACCEPTED[name], is_accepted)
        await self._bulks.answer(bulk, answers)
        return web.Response(status=202)


def bulk_of(wanted: BulkTransactionWanted, raw: bytes) -> BulkTransaction:
    """Returns the bulk in the connector's stored form."""
    ids = [item.home_transaction_id for item in wanted.individual_transfers]
    if len(set(ids)) != len(ids):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "individualTransfers.homeTransactionId: is used twice")
    options = wanted.options
    limits = {
        limit.currency: amount_or_zero("perTransferFeeLimits.amount", limit.amount)
        for limit in options.auto_accept_quote.per_transfer_fee_limits
    }
    return BulkTransaction(
        id=wanted.bulk_transaction_id,
        home_id=wanted.bulk_home_transaction_id,
        digest=strictjson.digest(strictjson.loads(raw)),
        asked=raw,
        orders=tuple(_order_of(wanted, item, limits) for item in wanted.individual_transfers),
        only_lookup=options.only_validate_party,
    )


def _order_of(wanted: BulkTransactionWanted, item: TransactionItem, limits: dict[str, int]) -> Order:
    options, payee = wanted.options, ref_of(item.to)
    if options.skip_party_lookup and payee.fsp_id is None:
        raise FspiopError(ErrorCode.MISSING_ELEMENT, "to.partyIdInfo.fspId is required with skipPartyLookup")
    party_identifiers.check("to.", payee.id_value, payee.sub_id)
    accepts_terms = options.auto_accept_quote.enabled
    return Order(
        home_id=f"bulkTransactions/{wanted.bulk_transaction_id}/{item.home_transaction_id}",
        home_request_id=item.home_transaction_id,
        payer=ref_of(wanted.from_),
        payee=payee,
        amount=amount("individualTransfers.amount", item.amount),
        currency=item.currency,
        amount_type=item.amount_type,
        max_amount=money.MAX_AMOUNT if item.amount_type == "RECEIVE" else None,
        note=item.note,
        quote_extensions=extensions_of(listed(item.quote_extensions)),
        transfer_extensions=extensions_of(listed(item.transfer_extensions)),
        skip_lookup=options.skip_party_lookup,
        needs_payee_confirmation=options.only_validate_party
        or not (options.auto_accept_party.enabled or options.skip_party_lookup),
        needs_confirmation=not accepts_terms,
        fee_limit=limits.get(item.currency) if accepts_terms else None,
        expires_at=fsptime.parse_datetime(options.bulk_expiration).timestamp(),
    )


def bulk_shown(bulk: BulkTransaction, payments: list[Payment]) -> dict[str, Any]:
    """Returns bulkTransactionResponse, the body of PUT /bulkTransactions/{id}."""
    asked = msgspec.json.decode(bulk.asked)
    items = {item["homeTransactionId"]: item for item in asked["individualTransfers"]}
    states = {payment.state for payment in payments}
    if bulk.state is Progress.ENDED:
        is_good = bulk.only_lookup or State.COMMITTED in states
        current = COMPLETED if is_good else ERROR_OCCURRED
    else:
        current = next((WAITING[state] for state in WAITING if state in states), COMPLETED)
    return {
        "bulkHomeTransactionID": bulk.home_id,
        "bulkTransactionId": bulk.id,
        "currentState": current,
        "options": asked["options"],
        "individualTransferResults": [
            _item_shown(payment, bulk, items[payment.order.home_request_id or ""]) for payment in payments
        ],
        **present(extensions=asked.get("extensions")),
    }


def _item_shown(payment: Payment, bulk: BulkTransaction, asked: dict[str, Any]) -> dict[str, Any]:
    order = payment.order
    is_found = bulk.only_lookup and payment.payee is not None
    return {
        "homeTransactionId": order.home_request_id,
        "transferId": payment.transfer_id,
        "transactionId": payment.transaction_id,
        "to": msgspec.to_builtins(party_of(payment.payee or order.payee)),
        "amountType": order.amount_type,
        "currency": order.currency,
        "amount": money.format_amount(order.amount),
        **present(
            note=order.note,
            reference=asked.get("reference"),
            quoteExtensions=asked.get("quoteExtensions"),
            transferExtensions=asked.get("transferExtensions"),
            quoteId=payment.quote_id if payment.quote_body else None,
            quoteResponse=_quote_shown(payment),
            fulfil=_fulfil_shown(payment),
            lastError=None if is_found else error_shown(payment),
        ),
    }


def _quote_shown(payment: Payment) -> dict[str, Any] | None:
    if not payment.quote_answer:
        return None
    found = msgspec.to_builtins(bodies.read(QuotePut, payment.quote_answer))
    found.pop("expiration")
    return {"quoteId": payment.quote_id} | found


def _fulfil_shown(payment: Payment) -> dict[str, Any] | None:
    if not payment.transfer_body:
        return None
    state = payment.state.value if payment.state in (State.COMMITTED, State.ABORTED) else "RESERVED"
    return {"transferId": payment.transfer_id, "transferState": state, **present(fulfilment=payment.fulfilment)}
