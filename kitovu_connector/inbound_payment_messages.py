"""Handles messages about quotes and transfers: requests about customers of this DFSP, and callbacks about payments."""

import time

from fspiop import bodies, strictjson
from fspiop import time as fsptime
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPatch, TransferPost, TransferPut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import payee_terms
from kitovu_connector.abort_cause import cause_in
from kitovu_connector.config import Config
from kitovu_connector.exchanges import Exchanges
from kitovu_connector.hub_clock import HubClock
from kitovu_connector.inbound_message import Message, Route, check_fulfilment
from kitovu_connector.payee import Ending, Payee
from kitovu_connector.payer import Payer
from kitovu_connector.payment_and_quote_records import Incoming, QuoteGiven, Store
from kitovu_connector.payment_events_and_actions import EndClaimed, ErrorReported, QuoteFailed, Reported
from kitovu_connector.payment_events_and_actions import QuoteGiven as QuoteTold
from kitovu_connector.payment_order import ref_of
from kitovu_connector.payment_states import Payment


class PaymentMessages:
    """Passes each message to its recipient: a payment, an incoming transfer, or a waiting call of the front end."""

    def __init__(
        self, config: Config, store: Store, clock: HubClock, payer: Payer, payee: Payee, exchanges: Exchanges
    ) -> None:
        self._config, self._store, self._clock = config, store, clock
        self._payer, self._payee, self._exchanges = payer, payee, exchanges

    def routes(self) -> list[Route]:
        """Returns the routes for the messages that this class receives."""
        return [
            ("POST", "/quotes", self._quote_asked),
            ("PUT", "/quotes/{id}/error", self._quote_failed),
            ("PUT", "/quotes/{id}", self._quote_told),
            ("POST", "/transfers", self._transfer_asked),
            ("PUT", "/transfers/{id}/error", self._transfer_failed),
            ("PUT", "/transfers/{id}", self._transfer_told),
            ("PATCH", "/transfers/{id}", self._transfer_patched),
        ]

    # --- quotes -----------------------------------------------------------------------------------------------------

    async def _quote_asked(self, message: Message) -> int:
        body = bodies.read(QuotePost, message.raw)
        if body.payer.party_id_info.fsp_id not in (None, message.source):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payer.partyIdInfo.fspId: must be the FSPIOP-Source")
        if body.payee.party_id_info.fsp_id not in (None, self._config.dfsp):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payee.partyIdInfo.fspId: names another DFSP")
        payee_terms.check(body)
        digest = strictjson.digest(strictjson.loads(message.raw))
        await self._payee.take_quote(
            QuoteGiven(quote_id=body.quote_id, digest=digest, request=message.raw, payer_fsp=message.source),
            ref_of(body.payee).alias,
        )
        return 202

    async def _quote_told(self, message: Message) -> int:
        quote = bodies.read(QuotePut, message.raw)
        if self._exchanges.told(("quotes", message.id), message.reply(quote)):
            return 200
        payment = await self._payment_of_quote(message)
        if message.source != _payee_of(payment):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: must be the payee DFSP")
        await self._payer.move(payment, QuoteTold(quote))
        return 200

    async def _quote_failed(self, message: Message) -> int:
        error = message.error
        if self._exchanges.told(("quotes", message.id), message.reply(error)):
            return 200
        payment = await self._payment_of_quote(message)
        if not message.is_from_hub and message.source != _payee_of(payment):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: must be the payee DFSP or the hub")
        await self._payer.move(payment, QuoteFailed(error.error_code, error.error_description))
        return 200

    async def _payment_of_quote(self, message: Message) -> Payment:
        payment = await self._store.payment_of_quote(message.id)
        if payment is None:
            message.met(False)
            raise FspiopError(ErrorCode.QUOTE_ID_NOT_FOUND)
        return payment

    # --- transfers --------------------------------------------------------------------------------------------------

    async def _transfer_asked(self, message: Message) -> int:
        body = bodies.read(TransferPost, message.raw)
        if body.payee_fsp != self._config.dfsp or body.payer_fsp != message.source:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payerFsp or payeeFsp does not match the headers")
        payee_terms.check_amount("amount", body.amount)
        expires_at = fsptime.parse_datetime(body.expiration).timestamp()
        payee_terms.check_expiration(expires_at, now=self._clock.at_hub())
        await self._payee.take_transfer(
            Incoming(
                transfer_id=body.transfer_id,
                digest=strictjson.digest(strictjson.loads(message.raw)),
                payer_fsp=message.source,
                body=message.raw,
                expires_at=expires_at,
                received_at=time.time(),
            ),
            came_via_hub=message.came_via_hub,
        )
        return 202

    async def _transfer_told(self, message: Message) -> int:
        body = bodies.read(TransferPut, message.raw)
        payment = await self._store.payment_of_transfer(message.id)
        if payment is None:
            was_asked = self._exchanges.told(("transfers", message.id), message.reply(body))
            incoming = await self._store.incoming(message.id)
            message.met(was_asked or self._concerns_only(message, incoming))
            if not was_asked or incoming is not None:
                await self._check_is_about_incoming(message, body)
                await self._end(message, body.transfer_state, body.completed_timestamp)
            return 200
        if self._is_confirmed_by_hub(message, payment):
            cause = cause_in(body.extension_list)
            event: Reported | EndClaimed = Reported(
                body.transfer_state, body.fulfilment, body.completed_timestamp, cause
            )
        else:
            event = EndClaimed(body.fulfilment)
        refusal = await self._payer.move(payment, event)
        if refusal is not None:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, refusal)
        return 200

    async def _transfer_patched(self, message: Message) -> int:
        body = bodies.read(TransferPatch, message.raw)
        await self._end(message, body.transfer_state, body.completed_timestamp)
        return 200

    async def _transfer_failed(self, message: Message) -> int:
        error = bodies.read(ErrorPut, message.raw).error_information
        payment = await self._store.payment_of_transfer(message.id)
        if payment is not None:
            if self._is_confirmed_by_hub(message, payment):
                await self._payer.move(
                    payment, ErrorReported(error.error_code, error.error_description, message.sent_at)
                )
            else:
                await self._payer.move(payment, EndClaimed(cause=(error.error_code, error.error_description)))
            return 200
        was_asked = self._exchanges.told(("transfers", message.id), message.reply(error))
        known = await self._store.incoming(message.id)
        # A transfer that the hub does not know concerns only the instance that asks the hub about this transfer.
        is_here = not message.reports_unknown_id or self._payee.is_awaiting_end(message.id)
        message.met(was_asked or (is_here and self._concerns_only(message, known)))
        if was_asked and known is None:
            return 200
        incoming = await self._incoming_of_hubs_message(message)
        if message.ends_without_payment(incoming.expires_at, self._config.clock_margin_s):
            await self._payee.take_ending(message.id, Ending("ABORTED"))
        elif message.reports_unknown_id:
            self._payee.unknown_to_hub(incoming)
        return 200

    def _concerns_only(self, message: Message, incoming: Incoming | None) -> bool:
        """Returns whether this message is only about the record of an incoming transfer.

        All instances share the records of incoming transfers.

        If the reference API is in use, a call of the front end may wait in another instance. A report can also be about
        such a call.
        """
        return incoming is not None and not (self._config.reference_api and message.is_from_hub)

    def _is_confirmed_by_hub(self, message: Message, payment: Payment) -> bool:
        """Returns whether the hub sent or forwarded this message about an outgoing transfer.

        A message without this proof shows only the statement of its sender.

        Raises FspiopError unless the sender is the hub or the payee DFSP.
        """
        if message.is_from_hub:
            return True
        if message.source != _payee_of(payment):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: only the hub may report how a transfer ended")
        return message.came_via_hub

    async def _check_is_about_incoming(self, message: Message, body: TransferPut) -> None:
        """Raises FspiopError if the hub reports the commit of a different transfer with this id, or the commit of a
        movement of funds.
        """
        incoming = await self._incoming_of_hubs_message(message)
        if body.transfer_state == "COMMITTED":
            condition = bodies.read(TransferPost, incoming.body).condition
            check_fulfilment(body.fulfilment or "", condition, message.id)

    async def _end(self, message: Message, state: str, completed_at: str | None) -> None:
        await self._incoming_of_hubs_message(message)
        if state in ("COMMITTED", "ABORTED"):
            await self._payee.take_ending(message.id, Ending(state, completed_at))
        else:
            self._payee.known_to_hub(message.id)

    async def _incoming_of_hubs_message(self, message: Message) -> Incoming:
        incoming = await self._store.incoming(message.id)
        if incoming is None:
            raise FspiopError(ErrorCode.TRANSFER_ID_NOT_FOUND)
        if not message.is_from_hub:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "fspiop-source: only the hub may report how a transfer ended")
        return incoming


def _payee_of(payment: Payment) -> str | None:
    return payment.payee.fsp_id if payment.payee is not None else None
