"""The core's read requests: lookups of payees, lists of payments and transfers, metrics and health."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, cast, get_args

import msgspec
from aiohttp import web

from fspiop import base64url, bodies
from fspiop import time as fsptime
from fspiop.bodies.common import PartyIdType
from fspiop.bodies.quotes import QuotePost
from fspiop.bodies.transfers import TransferPost
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import party_identifiers
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.amounts import format_amount
from kitovu_connector.core_messages import (
    AliasShown,
    IncomingShown,
    Live,
    PartyShown,
    PaymentLine,
    Payments,
    TransferLine,
    Transfers,
)
from kitovu_connector.health import Health
from kitovu_connector.lookups import LookupFailed, Lookups
from kitovu_connector.metrics import Metrics
from kitovu_connector.outbound import shown
from kitovu_connector.payment_and_quote_records import Incoming, Stage, Store
from kitovu_connector.payment_order import PartyRef, ref_of
from kitovu_connector.payment_states import ENDS, Payment, State

_MOST = 1000
_USUAL = 100
_TransferState = Literal["RESERVED", "COMMITTED", "ABORTED"]
_ENDS_OF_INCOMING: dict[Stage, _TransferState] = {
    Stage.COMMITTED: "COMMITTED",
    Stage.ABORTED: "ABORTED",
    Stage.REJECTED: "ABORTED",
}


class OutboundLists:
    """Answers the read requests that the core sends."""

    def __init__(self, store: Store, lookups: Lookups, health: Health, metrics: Metrics) -> None:
        self._store, self._lookups, self._health, self._metrics = store, lookups, health, metrics

    def add_to(self, app: web.Application) -> None:
        """Adds the routes. The caller's application must turn a raised FspiopError into a response."""
        app.router.add_get("/parties/{id_type}/{id_value}", self._party)
        app.router.add_get("/parties/{id_type}/{id_value}/{sub_id}", self._party)
        app.router.add_get("/payments", self._payments)
        app.router.add_get("/transfers", self._transfers)
        app.router.add_get("/transfers/{id}", self._transfer)
        app.router.add_get("/health", self._show_health)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/metrics", self._show_metrics)

    async def _party(self, request: web.Request) -> web.Response:
        """Returns the payee DFSP's description of the payee with this alias. Begins no payment."""
        found = request.match_info
        id_type, id_value, sub_id = found["id_type"], found["id_value"], found.get("sub_id")
        if id_type not in get_args(PartyIdType):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "idType: not a type of the API")
        party_identifiers.check("", id_value, sub_id)
        wanted = PartyRef(id_type=cast(PartyIdType, id_type), id_value=id_value, sub_id=sub_id)
        try:
            return shown(_party(await self._lookups.find(wanted)))
        except LookupFailed as error:
            status = 404 if error.code.startswith("32") else 502
            body = {"errorInformation": {"errorCode": error.code, "errorDescription": error.text or "no such payee"}}
            return web.json_response(body, status=status)

    async def _payments(self, request: web.Request) -> web.Response:
        """Returns payments in the order of their last change.

        `state`, `since`, `after` and `limit` in the query select the payments.
        """
        wanted = query_of(request, "state", "since", "after", "limit")
        state = wanted.get("state")
        if state is not None and state not in State.__members__:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"state: must be one of {', '.join(State)}")
        limit = limit_of(wanted)
        rows = await self._store.payments(*after_of(wanted), state=state, limit=limit)
        lines = [payment_line(payment, changed_at) for changed_at, payment in rows]
        last = (rows[-1][0], rows[-1][1].order.home_id) if len(rows) == limit else None
        return shown(Payments(payments=lines, next=next_of(last)))

    async def _transfers(self, request: web.Request) -> web.Response:
        """Returns this connector's outgoing and incoming transfers. The query selects transfers in the same way as in
        `_payments`.
        """
        wanted = query_of(request, "since", "after", "limit")
        limit = limit_of(wanted)
        since, after = after_of(wanted)
        outgoing = [
            # The list has no line for a payment that ended before its transfer was prepared. So a page can have fewer
            # lines than its limit.
            (
                changed_at,
                f"{payment.transfer_id}/OUT",
                _outgoing(payment, changed_at) if payment.transfer_body else None,
            )
            for changed_at, payment in await self._store.sent_payments(since, after, limit=limit)
        ]
        incoming = [
            (changed_at, f"{found.transfer_id}/IN", incoming_line(found, changed_at))
            for changed_at, found in await self._store.received_transfers(since, after, limit=limit)
        ]
        rows = sorted([*outgoing, *incoming], key=lambda row: row[:2])[:limit]
        last = rows[-1][:2] if len(rows) == limit else None
        return shown(Transfers(transfers=[row[2] for row in rows if row[2] is not None], next=next_of(last)))

    async def _transfer(self, request: web.Request) -> web.Response:
        """Returns a transfer to a customer of this DFSP.

        While the connector stores the terms (`quote_retention_s`), the result also has the parties and `transactionId`.
        """
        found = await self._store.incoming(request.match_info["id"])
        if found is None:
            raise FspiopError(ErrorCode.TRANSFER_ID_NOT_FOUND, "no incoming transfer has this id", http_status=404)
        body = bodies.read(TransferPost, found.body)
        terms = await self._store.quote(found.quote_id) if found.quote_id else None
        asked = bodies.read(QuotePost, terms.request) if terms is not None else None
        return shown(
            IncomingShown(
                transfer_id=found.transfer_id,
                state=_state_of(found),
                amount=body.amount.amount,
                currency=body.amount.currency,
                home_request_id=found.home_request_id,
                transaction_id=asked.transaction_id if asked else None,
                from_=_party(ref_of(asked.payer)) if asked else None,
                to=_party(ref_of(asked.payee)) if asked else None,
            )
        )

    async def _show_health(self, _: web.Request) -> web.Response:
        """Returns 200 if a payment is possible now, and otherwise 503 with the reason."""
        found = await self._health.report()
        return web.json_response(found.shown, status=200 if found.is_well else 503)

    async def _live(self, _: web.Request) -> web.Response:
        """Returns 200 while the connector runs. A program that restarts a failed connector can use this request as its
        check.
        """
        return shown(Live())

    async def _show_metrics(self, _: web.Request) -> web.Response:
        text, content_type = await self._metrics.exposition()
        return web.Response(body=text, headers={"Content-Type": content_type})


def payment_line(payment: Payment, changed_at: float) -> PaymentLine:
    """Returns a payment as one line of a list."""
    amount, currency = conversion.agreed(payment)
    return PaymentLine(
        home_transaction_id=payment.order.home_id,
        transfer_id=payment.transfer_id,
        state=payment.state,
        to=AliasShown(id_type=payment.order.payee.id_type, id_value=payment.order.payee.id_value),
        payee_name=payment.payee.name if payment.payee else None,
        payee_fsp=payment.payee.fsp_id if payment.payee else None,
        amount=format_amount(amount),
        currency=currency,
        error_code=payment.error_code,
        error_description=payment.error_text,
        created_date=date_of(payment.created_at),
        changed_date=date_of(changed_at),
    )


def _outgoing(payment: Payment, changed_at: float) -> TransferLine:
    state: _TransferState = "RESERVED"
    if payment.state in ENDS:
        state = "COMMITTED" if payment.state is State.COMMITTED else "ABORTED"
    amount, currency = conversion.agreed(payment)
    return TransferLine(
        transfer_id=payment.transfer_id,
        direction="OUT",
        home_transaction_id=payment.order.home_id,
        state=state,
        other_fsp=payment.payee.fsp_id if payment.payee else None,
        amount=format_amount(amount),
        currency=currency,
        error_code=payment.error_code,
        created_date=date_of(payment.created_at),
        changed_date=date_of(changed_at),
    )


def incoming_line(found: Incoming, changed_at: float) -> TransferLine:
    """Returns a transfer to a customer of this DFSP, as one line of a list."""
    body = bodies.read(TransferPost, found.body)
    return TransferLine(
        transfer_id=found.transfer_id,
        direction="IN",
        home_request_id=found.home_request_id,
        state=_state_of(found),
        other_fsp=found.payer_fsp,
        amount=body.amount.amount,
        currency=body.amount.currency,
        error_code=found.error_code,
        created_date=date_of(found.received_at) if found.received_at else None,
        expiration_date=date_of(found.expires_at),
        changed_date=date_of(changed_at),
    )


def _state_of(found: Incoming) -> _TransferState:
    return _ENDS_OF_INCOMING.get(found.stage, "RESERVED")


def _party(party: PartyRef) -> PartyShown:
    return PartyShown(
        id_type=party.id_type,
        id_value=party.id_value,
        id_sub_value=party.sub_id,
        fsp_id=party.fsp_id,
        display_name=party.name,
        first_name=party.first_name,
        middle_name=party.middle_name,
        last_name=party.last_name,
        supported_currencies=list(party.currencies) or None,
    )


def query_of(request: web.Request, *names: str) -> Mapping[str, str]:
    """Returns the query. Raises FspiopError if the query has a parameter that is not in `names`."""
    unknown = sorted(set(request.query) - set(names))
    if unknown:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{unknown[0][:32]}: not a parameter of this request")
    return request.query


def limit_of(wanted: Mapping[str, str]) -> int:
    """Returns the maximum number of lines on a page."""
    text = wanted.get("limit", str(_USUAL))
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= _MOST):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"limit: must be 1 to {_MOST}")
    return int(text)


def after_of(wanted: Mapping[str, str]) -> tuple[float, str]:
    """Returns the end of the previous page: the time of a change, and an id."""
    if "after" in wanted:
        try:
            moment, key = msgspec.json.decode(base64url.decode(wanted["after"]), type=tuple[float, str])
        except (ValueError, msgspec.MsgspecError):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "after: must be `next` of an earlier page") from None
        return moment, key
    if "since" not in wanted:
        return 0.0, ""
    try:
        return fsptime.parse_datetime(wanted["since"]).timestamp(), ""
    except ValueError:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "since: must be like 2026-01-31T00:00:00.000Z") from None


def next_of(last: tuple[float, str] | None) -> str | None:
    """Returns the text that identifies the next page, or None after the last page."""
    return None if last is None else base64url.encode(msgspec.json.encode(last))


def date_of(moment: float) -> str:
    """Returns seconds since 1970 as the API's DateTime."""
    return fsptime.format_datetime(datetime.fromtimestamp(moment, UTC))
