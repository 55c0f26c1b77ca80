"""For the payee's DFSP: answers one request for the terms of many payments.

The connector stores separate terms for each item of a bulk, exactly as for a single payment. The connector sends one
answer to a bulk, for all its items.
"""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from fspiop import bodies, strictjson
from fspiop.bodies.bulk_quotes import BulkQuotePost, BulkQuotePut, IndividualQuote, IndividualQuoteResult
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import asking_the_core, payee_terms
from kitovu_connector.answering_lookups import Parties
from kitovu_connector.asking_the_core import No
from kitovu_connector.backend import Backend, Terms, TermsWanted
from kitovu_connector.background import Background
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config
from kitovu_connector.conflicts import Conflict
from kitovu_connector.core_errors import NotUnderstood, Refused
from kitovu_connector.customer_existence_checks import CustomerChecks
from kitovu_connector.inbound_message import Message, Route
from kitovu_connector.incoming_bulk_records import BulkBackend, BulkState, IncomingBulk, bulk_of, error_of
from kitovu_connector.party_identifiers import Alias
from kitovu_connector.payment_and_quote_records import QuoteGiven, Store
from kitovu_connector.payment_record import moment
from kitovu_connector.record_store import Records
from kitovu_connector.sender_shares import Places, shares_of_answers

_USED = No(ErrorCode.MODIFIED_REQUEST.code, "the quoteId belongs to another request")
_OTHERWISE = ErrorCode.PAYEE_FSP_REJECTED_QUOTE
"""The error code if the core refuses an item with a code that the API does not allow."""


class BulkTerms:
    """All requests in which other DFSPs ask this DFSP for the terms of bulks."""

    def __init__(self, config: Config, store: Store, hub: HubClient, backend: Backend, parties: Parties) -> None:
        self._config, self._store, self._hub, self._backend = config, store, hub, backend
        self._quotes = Records(store.database, "bulk_quote_received", IncomingBulk)
        self._background = Background()
        self._checks = CustomerChecks(parties, self._background)
        self._places = Places(config.connections)
        self._refusals = shares_of_answers(config.connections)

    def routes(self) -> list[Route]:
        """Returns the routes for the messages that this class receives."""
        return [
            ("POST", "/bulkQuotes", self._quotes_asked),
            ("GET", "/bulkQuotes/{id}", self._quotes_asked_again),
        ]

    async def resume(self) -> None:
        """Continues every open request that no task processes yet. Runs after this instance has started or taken over
        records.
        """
        for quotes in await self._quotes.unfinished():
            self._begin_answer(quotes, is_repeated=True)
        self._background.start_once(
            "delete old quotes", lambda: self._quotes.delete_old(self._config.quote_retention_s)
        )

    async def close(self) -> None:
        """Stops all tasks immediately. No step is lost, because every step is already stored."""
        await self._background.close()

    async def _quotes_asked(self, message: Message) -> int:
        body = message.read(BulkQuotePost)
        if body.payer.party_id_info.fsp_id not in (None, message.source):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payer.partyIdInfo.fspId: must be the FSPIOP-Source")
        for item in body.individual_quotes:
            if item.payee.party_id_info.fsp_id not in (None, self._config.dfsp):
                raise FspiopError(ErrorCode.VALIDATION_ERROR, "payee.partyIdInfo.fspId: names another DFSP")
            payee_terms.check(_single(body, item))
        new = bulk_of(body.bulk_quote_id, message, message.source)
        if await self._quotes.get(new.id) is not None:
            await self._store_bulk(new)
            return 202
        await self._checks.run(
            new.id,
            new.digest,
            list(dict.fromkeys(_customer(item) for item in body.individual_quotes)),
            asker=new.payer_fsp,
            keep=lambda: self._store_bulk(new),
            refuse=lambda no: self._refusals.start(self._background, new.payer_fsp, lambda: self._refuse(new, no)),
        )
        return 202

    async def _store_bulk(self, new: IncomingBulk) -> None:
        stored, is_new = await self._quotes.add_counted(
            new, sender=new.payer_fsp, octets=len(new.body), most=self._config.stored_terms_bytes
        )
        if is_new or not stored.is_open:
            self._begin_answer(stored)

    async def _refuse(self, new: IncomingBulk, no: No) -> None:
        """Refuses a bulk if none of the payees is a customer of this DFSP. Does not store this bulk."""
        path = f"/bulkQuotes/{new.id}/error"
        await self._send(path, asking_the_core.error_put(no), new.payer_fsp, self._config.request_s)

    async def _quotes_asked_again(self, message: Message) -> int:
        """Handles GET /bulkQuotes/{id}: sends the stored answer to the payer's DFSP again."""
        found = await self._quotes.get(message.id)
        if found is None or found.payer_fsp != message.source:
            raise FspiopError(ErrorCode.BULK_QUOTE_ID_NOT_FOUND)
        if not found.is_open:
            self._begin_answer(found)
        return 202

    def _begin_answer(self, found: IncomingBulk, *, is_repeated: bool = False) -> None:
        self._background.start_once(found.id, lambda: self._answer_quotes(found, is_repeated=is_repeated))

    async def _answer_quotes(self, found: IncomingBulk, *, is_repeated: bool = False) -> None:
        if not found.answer:
            found = await self._decide_quotes(found, is_repeated=is_repeated)
        path = f"/bulkQuotes/{found.id}" + ("/error" if found.is_refusal else "")
        await self._send(path, found.answer, found.payer_fsp, self._config.quote_expiry_s)
        await self._quotes.save(found, msgspec.structs.replace(found, state=BulkState.ENDED))

    async def _decide_quotes(self, found: IncomingBulk, *, is_repeated: bool) -> IncomingBulk:
        body = bodies.read(BulkQuotePost, found.body)
        quotes = [
            QuoteGiven(
                quote_id=item.quote_id,
                digest=strictjson.digest(msgspec.to_builtins(_single(body, item))),
                request=bodies.write(_single(body, item)),
                payer_fsp=found.payer_fsp,
                is_taken=True,
            )
            for item in body.individual_quotes
        ]
        wanted = [payee_terms.wanted_of(quote, self._config.dfsp) for quote in quotes]
        given = await self._terms_of(body, wanted, found.payer_fsp, is_repeated=is_repeated)
        if isinstance(given, No):
            decided = msgspec.structs.replace(found, answer=asking_the_core.error_put(given), is_refusal=True)
        else:
            now = self._hub.clock.at_hub()
            made = [self._offer(*parts, now) for parts in zip(quotes, wanted, given, strict=True)]
            offers = await asyncio.gather(*map(self._keep, made))
            expires_at = min((o.expires_at for o in offers if isinstance(o, QuoteGiven)), default=now + 60.0)
            results = [_quote_result(quote, offer) for quote, offer in zip(quotes, offers, strict=True)]
            answer = BulkQuotePut(expiration=moment(expires_at), individual_quote_results=results)
            decided = msgspec.structs.replace(found, answer=bodies.write(answer))
        await self._quotes.save(found, decided)
        return decided

    async def _terms_of(
        self, body: BulkQuotePost, wanted: Sequence[TermsWanted], payer_fsp: str, *, is_repeated: bool
    ) -> Sequence[Terms | Refused | No] | No:
        backend = self._backend
        if not isinstance(backend, BulkBackend):
            return await self._terms_of_each(wanted, payer_fsp)

        async def ask() -> list[Terms | Refused]:
            given = await backend.give_bulk_terms(body, wanted, is_repeated=is_repeated)
            if len(given) != len(wanted):
                raise NotUnderstood("the core's answer has a different number of items")
            return given

        return await asking_the_core.ask(ask, seconds=self._config.request_s, otherwise=_OTHERWISE)

    async def _terms_of_each(self, wanted: Sequence[TermsWanted], payer_fsp: str) -> Sequence[Terms | No] | No:
        """Asks the core for the terms of each item, several items at a time. The core has `request_s` for each item.

        If the core does not answer about one item, does not ask about the items that still wait. All terms that the
        core has given stay.
        """
        unanswered: list[No] = []

        async def ask(one: TermsWanted) -> Terms | No:
            async with self._places.of(payer_fsp):
                if unanswered:
                    return unanswered[0]
                given = await asking_the_core.ask(
                    lambda: self._backend.give_terms(one), seconds=self._config.request_s, otherwise=_OTHERWISE
                )
            if isinstance(given, No) and given.code == ErrorCode.DESTINATION_COMMUNICATION_ERROR.code:
                unanswered.append(given)
            return given

        given = await asyncio.gather(*(ask(one) for one in wanted))
        return unanswered[0] if unanswered and all(each in unanswered for each in given) else given

    def _offer(
        self, quote: QuoteGiven, wanted: TermsWanted, given: Terms | Refused | No, now: float
    ) -> QuoteGiven | No:
        if isinstance(given, No):
            return given
        if isinstance(given, Refused):
            return asking_the_core.allowed(given, _OTHERWISE)
        try:
            return payee_terms.offer(quote, wanted, given, self._config, now=now, is_in_bulk=True)
        except (NotUnderstood, AttributeError, TypeError) as error:
            return asking_the_core.not_understood(error)
        except ValueError as error:
            return No(_OTHERWISE.code, str(error))

    async def _keep(self, offer: QuoteGiven | No) -> QuoteGiven | No:
        """Stores the terms of an item. Returns the stored terms: if an equal item has terms already, these terms stay,
        because a transfer can be under way on them. Refuses an item whose id belongs to another request for terms.
        """
        if isinstance(offer, No):
            return offer
        try:
            stored, _ = await self._store.add_quote(offer)
        except Conflict:
            return _USED
        if not stored.is_taken or stored.is_refusal:
            return _USED
        await self._store.save_quote(stored)  # an earlier run of the connector may have stopped before this step
        return stored

    async def _send(self, path: str, body: bytes, destination: str, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        await self._hub.send_until_taken(
            "PUT",
            path,
            body,
            destination=destination,
            caused_by=destination,
            still_wanted=lambda: time.monotonic() < give_up,
        )


def _customer(item: IndividualQuote) -> Alias:
    payee = item.payee.party_id_info
    return payee.party_id_type, payee.party_identifier, payee.party_sub_id_or_type


def _single(body: BulkQuotePost, item: IndividualQuote) -> QuotePost:
    """Returns the request for the terms of one item."""
    return QuotePost(
        quote_id=item.quote_id,
        transaction_id=item.transaction_id,
        payee=item.payee,
        payer=body.payer,
        amount_type=item.amount_type,
        amount=item.amount,
        transaction_type=item.transaction_type,
        fees=item.fees,
        note=item.note,
        geo_code=body.geo_code,
        expiration=body.expiration,
        extension_list=item.extension_list,
    )


def _quote_result(quote: QuoteGiven, offer: QuoteGiven | No) -> IndividualQuoteResult:
    if isinstance(offer, No):
        return IndividualQuoteResult(quote_id=quote.quote_id, error_information=error_of(offer))
    given = bodies.read(QuotePut, offer.answer)
    return IndividualQuoteResult(
        quote_id=quote.quote_id,
        transfer_amount=given.transfer_amount,
        payee_receive_amount=given.payee_receive_amount,
        payee_fsp_fee=given.payee_fsp_fee,
        payee_fsp_commission=given.payee_fsp_commission,
        ilp_packet=given.ilp_packet,
        condition=given.condition,
        extension_list=given.extension_list,
    )
