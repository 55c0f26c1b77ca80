"""Begins the payments of the SDK's outbound API. A repeated request begins no second payment."""

from collections.abc import Callable
from typing import Any

import msgspec

from kitovu_connector.conflicts import Conflict
from kitovu_connector.payer import Payer
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_order import Order, spelled
from kitovu_connector.payment_record import Payment
from kitovu_connector.reference_api.errors import id_used


async def begin(
    payer: Payer,
    store: Store,
    order: Order,
    transfer_id: str | None = None,
    *,
    shown: Callable[[Payment], dict[str, Any]],
) -> None:
    """Begins the payment, unless an earlier equal request has begun it.

    Raises ApiError with the stored payment if the earlier request had other content. Raises Conflict if no payment has
    begun, because the transfer's id belongs to another payment.
    """
    try:
        await payer.send(order, transfer_id)
    except Conflict:
        known = await store.payment(order.home_id)
        if known is None:
            raise
        if _content_of(known.order) != _content_of(order):
            raise id_used(field="transferState", state=shown(known)) from None


def _content_of(order: Order) -> Order:
    """Returns the order without the fields that the settings `auto_accept_...` determine. A setting can change between
    a request and its repetition.
    """
    return msgspec.structs.replace(
        spelled(order),
        needs_payee_confirmation=False,
        needs_conversion_confirmation=False,
        needs_confirmation=False,
        needs_password_confirmation=False,
    )
