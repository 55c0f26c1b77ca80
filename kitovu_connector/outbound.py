"""The server for the bank's own core. The core can make, confirm or cancel a payment. The core can also register an
alias.

The server answers all requests synchronously, in JSON.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
import structlog
from aiohttp import web

from fspiop import bodies, strictjson
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import logs, openapi
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.aliases import Aliases
from kitovu_connector.amounts import AmountError, format_amount, parse_amount
from kitovu_connector.callers import Callers
from kitovu_connector.config import Config
from kitovu_connector.conflicts import Conflict
from kitovu_connector.core_messages import (
    AliasWanted,
    ConversionTerms,
    Extensions,
    PartyWanted,
    PaymentConfirmed,
    PaymentShown,
    PaymentWanted,
    RegisteredAlias,
)
from kitovu_connector.payer import Payer, entered_password
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_events_and_actions import Cancelled
from kitovu_connector.payment_order import Order, PartyRef
from kitovu_connector.payment_record import moment
from kitovu_connector.payment_states import ENDS, PAUSES, Payment, State

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 65_536


class Outbound:
    """The requests that the core may send to its connector."""

    def __init__(self, config: Config, store: Store, payer: Payer, aliases: Aliases, callers: Callers) -> None:
        self._config, self._store, self._payer, self._aliases = config, store, payer, aliases
        self._callers = callers

    def application(self) -> web.Application:
        """Returns the aiohttp application. The network must let only the core reach the application's address."""
        app = web.Application(middlewares=[_errors, self._callers.middleware], client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/payments", self._pay)
        app.router.add_get("/payments/{id}", self._show)
        app.router.add_post("/payments/{id}/confirm", self._confirm)
        app.router.add_post("/payments/{id}/cancel", self._cancel)
        app.router.add_post("/aliases", self._register)
        app.router.add_delete("/aliases/{id_type}/{id_value}", self._withdraw)
        app.router.add_delete("/aliases/{id_type}/{id_value}/{sub_id}", self._withdraw)
        app.router.add_get("/openapi.json", self._document)
        return app

    async def _pay(self, request: web.Request) -> web.Response:
        order = order_of(bodies.read(PaymentWanted, await request.read()))
        await self._payer.send(order)
        return _answer(await self._payer.wait_for_core(order.home_id, self._config.answer_s))

    async def _confirm(self, request: web.Request) -> web.Response:
        """Accepts the terms. If the body has a one-time password, accepts the password instead of the terms. Responds
        when the payment has ended, or when it waits for the core again.
        """
        home_id = request.match_info["id"]
        accepted = bodies.read(PaymentConfirmed, (await request.read()).strip() or b"{}")
        await self._payer.confirm(home_id, accepted.otp)
        return _answer(await self._payer.wait_for_core(home_id, self._config.answer_s))

    async def _cancel(self, request: web.Request) -> web.Response:
        """Ends a payment whose transfer was not sent.

        Responds with 409 if the transfer was already sent, because the payment can then still succeed.
        """
        home_id = await _without_body(request)
        payment = await self._payer.tell(home_id, Cancelled())
        if payment.state is not State.ABORTED:
            text = "the payment was sent already, so it may be paid: do not refund"
            raise FspiopError(ErrorCode.CLIENT_ERROR, text, http_status=409)
        return _answer(payment)

    async def _document(self, _: web.Request) -> web.Response:
        return web.Response(body=openapi.document(), content_type="application/json")

    async def _show(self, request: web.Request) -> web.Response:
        return _answer(await self._store.payment(request.match_info["id"]))

    async def _register(self, request: web.Request) -> web.Response:
        wanted = bodies.read(AliasWanted, await request.read())
        await self._aliases.register((wanted.id_type, wanted.id_value, wanted.id_sub_value), wanted.currency)
        return shown(RegisteredAlias(fsp_id=self._config.dfsp), status=201)

    async def _withdraw(self, request: web.Request) -> web.Response:
        found = request.match_info
        parts = {"idType": found["id_type"], "idValue": found["id_value"], "idSubValue": found.get("sub_id")}
        wanted = bodies.convert(AliasWanted, {name: part for name, part in parts.items() if part is not None})
        await self._aliases.withdraw((wanted.id_type, wanted.id_value, wanted.id_sub_value))
        return web.Response(status=204)


def order_of(wanted: PaymentWanted) -> Order:
    """Converts the core's order of a payment into the form that the connector stores."""
    if wanted.otp and wanted.transaction_request_id is None:
        raise FspiopError(ErrorCode.MISSING_ELEMENT, "transactionRequestId is required with otp")
    return Order(
        home_id=wanted.home_transaction_id,
        payer=party_ref(wanted.from_),
        payee=party_ref(wanted.to),
        amount=amount_of(wanted.amount),
        currency=wanted.currency,
        amount_type=wanted.amount_type,
        max_amount=_max_amount(wanted),
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
        needs_confirmation=not wanted.confirm,
        may_convert=wanted.may_convert,
        transaction_request_id=wanted.transaction_request_id,
        needs_password=wanted.otp,
        needs_password_confirmation=wanted.otp,
    )


def _max_amount(wanted: PaymentWanted) -> int | None:
    if wanted.max_amount is None:
        return None
    if wanted.amount_type != "RECEIVE":
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "maxAmount: only with the amountType RECEIVE")
    most = amount_of(wanted.max_amount, "maxAmount")
    if most < amount_of(wanted.amount):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "maxAmount: must not be below amount")
    return most


def amount_of(text: str, name: str = "amount") -> int:
    """Returns an amount above 0 as ten-thousandths. Raises FspiopError for any other text."""
    try:
        amount = parse_amount(text)
    except AmountError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: {error}") from None
    if amount == 0:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: must be above 0")
    return amount


def party_ref(party: PartyWanted) -> PartyRef:
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


def payment_shown(payment: Payment) -> PaymentShown:
    """Returns the payment in the form of the API for the core."""
    return PaymentShown(
        home_transaction_id=payment.order.home_id,
        transfer_id=payment.transfer_id,
        state=payment.state,
        is_ended=payment.state in ENDS,
        waits_for=_WAITS_FOR.get(payment.state),
        payee_name=payment.payee.name if payment.payee else None,
        payee_fsp=payment.payee.fsp_id if payment.payee else None,
        transfer_amount=_amount(payment.transfer_amount or None),
        payee_receive_amount=_amount(payment.receive_amount),
        payee_fsp_fee_amount=_amount(payment.fee),
        currency=conversion.agreed(payment)[1],
        conversion=_conversion(payment),
        expiration_date=moment(payment.terms_expire_at) if payment.terms_expire_at else None,
        otp=entered_password(payment),
        error_code=payment.error_code,
        error_description=payment.error_text,
    )


def _conversion(payment: Payment) -> ConversionTerms | None:
    if not payment.fx_quote_answer:
        return None
    source, target = conversion.sides(payment)
    return ConversionTerms(
        fxp=conversion.provider(payment),
        source_amount=source.amount,
        source_currency=source.currency,
        target_amount=target.amount,
        target_currency=target.currency,
    )


_WAITS_FOR: dict[State, Literal["TERMS", "OTP"]] = {State.AGREED: "TERMS", State.AUTHORIZED: "OTP"}


def _amount(amount: int | None) -> str | None:
    return None if amount is None else format_amount(amount)


def _answer(payment: Payment | None) -> web.Response:
    if payment is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "no such payment", http_status=404)
    # 202 means that the payment continues. The core can poll by GET, or repeat its request.
    return shown(payment_shown(payment), status=200 if payment.state in ENDS | PAUSES else 202)


def shown(answer: msgspec.Struct, *, status: int = 200) -> web.Response:
    """Returns an answer to the core. The answer ends with a line break, so that a terminal shows the next command on a
    new line.
    """
    return web.Response(body=msgspec.json.encode(answer) + b"\n", status=status, content_type="application/json")


async def _without_body(request: web.Request) -> str:
    """Returns the id in the path. Raises FspiopError if the body contains anything other than an empty object."""
    if (await request.read()).strip() not in (b"", b"{}"):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "this request has no body")
    return request.match_info["id"]


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
        return _refused(FspiopError(ErrorCode.MODIFIED_REQUEST, _conflict_text(request), http_status=409))
    except web.HTTPException:
        raise
    except Exception as error:
        log.error("core_request_failed", method=request.method, error=logs.trace_of(error))
        return _refused(FspiopError(ErrorCode.INTERNAL_SERVER_ERROR))


def _conflict_text(request: web.Request) -> str:
    is_request = request.path.startswith("/requests")
    return "homeRequestId: used for another request" if is_request else "homeTransactionId: used for another payment"


def _refused(error: FspiopError) -> web.Response:
    return web.Response(
        status=error.http_status, body=strictjson.canonical(error.body()), content_type="application/json"
    )
