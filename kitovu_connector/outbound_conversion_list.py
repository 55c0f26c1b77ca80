"""Lists three kinds of conversions for the core: conversions that belong to payments, conversions that the core has
sent, and conversions that this DFSP makes as an FXP.
"""

from typing import Literal

from aiohttp import web

from fspiop import bodies
from fspiop.bodies.fx_transfers import FxTransferPost, FxTransferPut
from kitovu_connector.core_messages import ConversionLine, Conversions
from kitovu_connector.front_end_conversion_and_bulk_states import Sent, Submission
from kitovu_connector.fxp import Conversion, ConversionState
from kitovu_connector.outbound import shown
from kitovu_connector.outbound_reads import after_of, date_of, limit_of, next_of, query_of
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_record import Payment, State
from kitovu_connector.record_store import Records

_State = Literal["RESERVED", "COMMITTED", "ABORTED"]
_OF_PAYMENTS: dict[State, _State] = {State.COMMITTED: "COMMITTED", State.ABORTED: "ABORTED"}


class OutboundConversions:
    """Gives the server for the core its route for conversions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sent = Records(store.database, "fxTransfers", Submission)
        self._received = Records(store.database, "conversion_received", Conversion)

    def add_to(self, app: web.Application) -> None:
        """Adds the route. The caller's application must turn a raised FspiopError into a response."""
        app.router.add_get("/conversions", self._list)

    async def _list(self, request: web.Request) -> web.Response:
        wanted = query_of(request, "since", "after", "limit")
        limit = limit_of(wanted)
        since, after = after_of(wanted)
        rows: list[tuple[float, str, ConversionLine | None]] = [
            # A payment without a conversion gets no line in the list. So a page can have fewer lines than its limit.
            (changed_at, f"{payment.transfer_id}/OUT", _of_payment(payment, changed_at))
            for changed_at, payment in await self._store.sent_payments(since, after, limit=limit)
        ]
        rows += [
            (changed_at, f"{sent.id}/INITIATOR", _of_sent(sent, changed_at))
            for changed_at, sent in await self._sent.changed_since(since, after, suffix="/INITIATOR", limit=limit)
        ]
        rows += [
            (changed_at, f"{found.id}/FXP", _of_received(found, changed_at))
            for changed_at, found in await self._received.changed_since(since, after, suffix="/FXP", limit=limit)
        ]
        page = sorted(rows, key=lambda row: row[:2])[:limit]
        last = page[-1][:2] if len(page) == limit else None
        return shown(Conversions(conversions=[row[2] for row in page if row[2] is not None], next=next_of(last)))


def _of_payment(payment: Payment, changed_at: float) -> ConversionLine | None:
    if not payment.fx_transfer_body:
        return None
    state = _OF_PAYMENTS.get(payment.state, "RESERVED")
    return _line(payment.fx_transfer_body, "INITIATOR", state, changed_at, created_at=payment.created_at)


def _of_sent(sent: Submission, changed_at: float) -> ConversionLine:
    state: _State = "ABORTED" if sent.state is Sent.FAILED else "RESERVED"
    if sent.state is Sent.DONE and bodies.read(FxTransferPut, sent.outcome).conversion_state == "COMMITTED":
        state = "COMMITTED"
    return _line(sent.body, "INITIATOR", state, changed_at, created_at=sent.created_at)


def _of_received(found: Conversion, changed_at: float) -> ConversionLine:
    state: _State = "RESERVED"
    if found.state is ConversionState.ENDED:
        state = "COMMITTED" if found.end is not None and found.end.state == "COMMITTED" else "ABORTED"
    created_at = found.received_at or None
    return _line(found.body, "FXP", state, changed_at, created_at=created_at, expires_at=found.expires_at)


def _line(
    raw: bytes,
    role: Literal["INITIATOR", "FXP"],
    state: _State,
    changed_at: float,
    *,
    created_at: float | None = None,
    expires_at: float | None = None,
) -> ConversionLine:
    asked = bodies.read(FxTransferPost, raw)
    return ConversionLine(
        commit_request_id=asked.commit_request_id,
        role=role,
        state=state,
        other_fsp=asked.counter_party_fsp if role == "INITIATOR" else asked.initiating_fsp,
        source_amount=asked.source_amount.amount,
        source_currency=asked.source_amount.currency,
        target_amount=asked.target_amount.amount,
        target_currency=asked.target_amount.currency,
        changed_date=date_of(changed_at),
        created_date=None if created_at is None else date_of(created_at),
        expiration_date=None if expires_at is None else date_of(expires_at),
    )
