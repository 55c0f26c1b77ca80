"""Finds the transfers that answer one of this DFSP's requests to pay. A payer DFSP's request for terms contains the id
of the request to pay.
"""

import msgspec

from fspiop import bodies, money
from fspiop.bodies.quotes import QuotePost
from kitovu_connector import party_identifiers
from kitovu_connector.payment_and_quote_records import QuoteGiven, Store
from kitovu_connector.payment_order import ref_of
from kitovu_connector.record_store import Records
from kitovu_connector.request_to_pay_records import RequestMade, RequestOrder, RequestTransfers


class RequestLinks:
    """The links between this DFSP's requests to pay and their answers: terms and transfers."""

    def __init__(self, store: Store) -> None:
        self._made = Records(store.database, "request_to_pay_made", RequestMade)
        self._transfers = Records(store.database, "request_to_pay_transfers", RequestTransfers)

    async def answered_by(self, quote: QuoteGiven) -> str | None:
        """Finds out whether a transfer on these terms would pay one of this DFSP's own requests to pay. Returns the id
        of this request, or None if there is no such request.

        Only a transfer from the payer DFSP that received the request can pay the request. The transfer must have the
        requested amount and the requested payee. The payee of any other transfer also gets the money, but such a
        transfer does not count as a payment of the request.
        """
        asked = bodies.read(QuotePost, quote.request)
        made = None if asked.transaction_request_id is None else await self._made.get(asked.transaction_request_id)
        if made is None or made.payer is None or made.payer.fsp_id != quote.payer_fsp:
            return None
        return made.id if _pays(made.order, quote, asked) else None

    async def home_id_of(self, quote: QuoteGiven) -> str | None:
        """Returns the core's own id of the request that `answered_by` finds, or None."""
        request_id = await self.answered_by(quote)
        made = None if request_id is None else await self._made.get(request_id)
        return None if made is None else made.order.home_id

    async def add(self, request_id: str, transfer_id: str) -> None:
        """Records a transfer as the payment of a request to pay. Returns when the record is durable."""

        def more(known: RequestTransfers) -> RequestTransfers:
            return msgspec.structs.replace(known, transfer_ids=(*known.transfer_ids, transfer_id))

        known, _ = await self._transfers.add(RequestTransfers(id=request_id, transfer_ids=(transfer_id,)))
        if transfer_id not in known.transfer_ids:
            await self._transfers.amend(request_id, more)

    async def transfers_of(self, request_id: str) -> tuple[str, ...]:
        """Returns the ids of the transfers that pay a request, in the order of their arrival."""
        found = await self._transfers.get(request_id)
        return () if found is None else found.transfer_ids


def _pays(order: RequestOrder, quote: QuoteGiven, asked: QuotePost) -> bool:
    """Returns whether the payee gets at least the amount in the request to pay.

    A request for an amount to RECEIVE is paid if the payee receives this amount after the deduction of this DFSP's fee.
    A request for an amount to SEND is paid if the payer DFSP transfers this amount. As long as the terms are unknown,
    the function uses the amount in the payer DFSP's request for terms.
    """
    amount = money.parse_amount(asked.amount.amount)
    if quote.condition is not None:
        amount = quote.receive_amount if order.amount_type == "RECEIVE" else quote.amount
    is_payee = party_identifiers.same(ref_of(asked.payee).alias) == party_identifiers.same(order.payee.alias)
    return is_payee and asked.amount.currency == order.currency and amount >= order.amount
