"""The server for the bank's own core. The core can make a payment, find a payment, or register an alias.

All requests to this server are synchronous JSON.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
import structlog
from aiohttp import web

from fspiop import bodies, strictjson
from fspiop.bodies.common import (
    AmountType,
    BalanceOfPayments,
    CorrelationId,
    Currency,
    Date,
    KycInformation,
    MerchantCode,
    Name,
    PartyIdType,
    SubScenario,
    Text128,
)
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import logs
from kitovu_connector.aliases import Aliases
from kitovu_connector.amounts import AmountError, format_amount, parse_amount
from kitovu_connector.config import Config
from kitovu_connector.payer import Payer
from kitovu_connector.payment_order import Initiator, InitiatorType, Order, PartyRef, Scenario
from kitovu_connector.payment_states import ENDS, Payment
from kitovu_connector.store import Conflict, Store

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 65_536


class _Wanted(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A request of the core.

    The connector refuses unknown fields, because it could not forward an unknown field to the payee.
    """


class _Extension(_Wanted):
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    value: Text128


Extensions = Annotated[tuple[_Extension, ...], msgspec.Meta(max_length=16)]


class _Refund(_Wanted):
    original_transaction_id: CorrelationId
    refund_reason: Text128 | None = None


class _Party(_Wanted):
    id_type: PartyIdType
    id_value: Text128
    id_sub_value: Text128 | None = None
    display_name: Text128 | None = None
    first_name: Name | None = None
    middle_name: Name | None = None
    last_name: Name | None = None
    date_of_birth: Date | None = None
    kyc_information: KycInformation | None = None
    merchant_classification_code: MerchantCode | None = None
    extension_list: Extensions = ()


class PaymentWanted(_Wanted):
    """POST /payments. `home_transaction_id` is the core's own id.

    Requests with equal ids mean one payment.
    """

    home_transaction_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    from_: _Party = msgspec.field(name="from")
    to: _Party
    amount: str
    currency: Currency
    amount_type: AmountType = "SEND"
    transaction_type: Scenario = "TRANSFER"
    sub_scenario: SubScenario | None = None
    initiator: Initiator = "PAYER"
    initiator_type: InitiatorType = "CONSUMER"
    refund_info: _Refund | None = None
    balance_of_payments: BalanceOfPayments | None = None
    note: Text128 | None = None
    quote_request_extensions: Extensions = ()
    transfer_request_extensions: Extensions = ()


class AliasWanted(_Wanted):
    """POST /aliases."""

    id_type: PartyIdType
    id_value: Text128
    id_sub_value: Text128 | None = None
    currency: Currency | None = None


class Outbound:
    """The requests that the core may send to its connector."""

    def __init__(self, config: Config, store: Store, payer: Payer, aliases: Aliases) -> None:
        self._config, self._store, self._payer, self._aliases = config, store, payer, aliases

    def application(self) -> web.Application:
        """Returns the aiohttp application. Only the core may be able to reach the application's address."""
        app = web.Application(middlewares=[_errors], client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/payments", self._pay)
        app.router.add_get("/payments/{id}", self._show)
        app.router.add_post("/aliases", self._register)
        app.router.add_delete("/aliases/{id_type}/{id_value}", self._withdraw)
        app.router.add_delete("/aliases/{id_type}/{id_value}/{sub_id}", self._withdraw)
        return app

    async def _pay(self, request: web.Request) -> web.Response:
        order = order_of(bodies.read(PaymentWanted, await request.read()))
        await self._payer.send(order)
        return _answer(await self._payer.wait_for_end(order.home_id, self._config.answer_s))

    async def _show(self, request: web.Request) -> web.Response:
        return _answer(self._store.payment(request.match_info["id"]))

    async def _register(self, request: web.Request) -> web.Response:
        wanted = bodies.read(AliasWanted, await request.read())
        await self._aliases.register((wanted.id_type, wanted.id_value, wanted.id_sub_value), wanted.currency)
        return web.json_response({"fspId": self._config.dfsp}, status=201)

    async def _withdraw(self, request: web.Request) -> web.Response:
        found = request.match_info
        parts = {"idType": found["id_type"], "idValue": found["id_value"], "idSubValue": found.get("sub_id")}
        wanted = bodies.convert(AliasWanted, {name: part for name, part in parts.items() if part is not None})
        await self._aliases.withdraw((wanted.id_type, wanted.id_value, wanted.id_sub_value))
        return web.Response(status=204)


def order_of(wanted: PaymentWanted) -> Order:
    """Returns the payment in the form that the connector stores."""
    try:
        amount = parse_amount(wanted.amount)
    except AmountError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"amount: {error}") from None
    if amount == 0:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "amount: must be above 0")
    return Order(
        home_id=wanted.home_transaction_id,
        payer=_ref(wanted.from_),
        payee=_ref(wanted.to),
        amount=amount,
        currency=wanted.currency,
        amount_type=wanted.amount_type,
        scenario=wanted.transaction_type,
        sub_scenario=wanted.sub_scenario,
        initiator=wanted.initiator,
        initiator_type=wanted.initiator_type,
        refunded_transaction_id=wanted.refund_info.original_transaction_id if wanted.refund_info else None,
        refund_reason=wanted.refund_info.refund_reason if wanted.refund_info else None,
        balance_of_payments=wanted.balance_of_payments,
        note=wanted.note,
        quote_extensions=_pairs(wanted.quote_request_extensions),
        transfer_extensions=_pairs(wanted.transfer_request_extensions),
    )


def _ref(party: _Party) -> PartyRef:
    return PartyRef(
        id_type=party.id_type,
        id_value=party.id_value,
        sub_id=party.id_sub_value,
        name=party.display_name,
        first_name=party.first_name,
        middle_name=party.middle_name,
        last_name=party.last_name,
        date_of_birth=party.date_of_birth,
        kyc_information=party.kyc_information,
        merchant_classification_code=party.merchant_classification_code,
        extensions=_pairs(party.extension_list),
    )


def _pairs(extensions: Extensions) -> tuple[tuple[str, str], ...]:
    return tuple((extension.key, extension.value) for extension in extensions)


def _answer(payment: Payment | None) -> web.Response:
    if payment is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "no such payment", http_status=404)
    shown = {
        "homeTransactionId": payment.order.home_id,
        "transferId": payment.transfer_id,
        "state": payment.state.value,
        "isEnded": payment.state in ENDS,
        "payeeName": payment.payee.name if payment.payee else None,
        "payeeFsp": payment.payee.fsp_id if payment.payee else None,
        "transferAmount": format_amount(payment.transfer_amount) if payment.transfer_amount else None,
        "errorCode": payment.error_code,
        "errorDescription": payment.error_text,
    }
    # 202: the payment has not ended. The core can poll by GET, or repeat the request.
    return web.json_response(shown, status=200 if payment.state in ENDS else 202)


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except FspiopError as error:
        log.warning(
            "core_request_refused", method=request.method, code=error.code, why=logs.without_numbers(error.description)
        )
        return _refused(error)
    except Conflict:
        return _refused(
            FspiopError(ErrorCode.MODIFIED_REQUEST, "homeTransactionId: used for another payment", http_status=409)
        )
    except web.HTTPException:
        raise
    except Exception as error:
        log.error("core_request_failed", method=request.method, error=logs.trace_of(error))
        return _refused(FspiopError(ErrorCode.INTERNAL_SERVER_ERROR))


def _refused(error: FspiopError) -> web.Response:
    return web.Response(
        status=error.http_status, body=strictjson.canonical(error.body()), content_type="application/json"
    )
