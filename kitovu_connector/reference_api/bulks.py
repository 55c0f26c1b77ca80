"""The calls /bulkQuotes, /bulkTransfers and /fxTransfers of the SDK's outbound API.

The front end decides the content of bulks and conversions.

The connector forwards requests for terms without storing them first, because these requests move no money. Transfers
and conversions are submissions, which the connector stores before it sends them.
"""

import time
from enum import StrEnum
from typing import Any

import msgspec
from aiohttp import web

from fspiop import bodies, correlation_ids, money, strictjson
from fspiop.bodies.bulk_quotes import BulkQuotePost, BulkQuotePut, IndividualQuote
from fspiop.bodies.bulk_transfers import BulkTransferPost, BulkTransferPut, IndividualTransfer
from fspiop.bodies.common import Money, TransactionType
from fspiop.bodies.fx_transfers import FxTransferPost
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.config import Config
from kitovu_connector.conflicts import Conflict
from kitovu_connector.core_http import present
from kitovu_connector.exchanges import Exchanges, NoAnswer
from kitovu_connector.front_end_conversion_and_bulk_states import Sent, Submission
from kitovu_connector.front_end_conversions_and_bulks import Submissions
from kitovu_connector.hub_clock import HubClock
from kitovu_connector.lookups import LookupFailed, Lookups
from kitovu_connector.payment_and_quote_records import Store
from kitovu_connector.payment_order import party_of
from kitovu_connector.payment_record import moment
from kitovu_connector.record_store import Records
from kitovu_connector.reference_api.bodies import TransferParty, amount
from kitovu_connector.reference_api.bulk_bodies import (
    BulkQuoteWanted,
    BulkTransferWanted,
    FxTransferWanted,
    builtins,
    listed,
)
from kitovu_connector.reference_api.errors import TIMED_OUT, ApiError, failed, id_used, last_error
from kitovu_connector.reference_api.shown_payments import COMPLETED, ERROR_OCCURRED

_NOT_KNOWN = "the outcome is not known yet: the money may move; repeat the request, and do not refund"

_TRANSFER_STATES = {"COMPLETED": "COMMITTED", "REJECTED": "ABORTED"}
"""In the SDK's document, `bulkTransferState` of a bulk that has ended is a TransferState."""


class Made(StrEnum):
    """The only state of a stored bulk quote: it needs no further work."""

    SENT = "SENT"


class BulkQuoteMade(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bulk quote that the front end requested. The record has the payee DFSP and the content of the request."""

    id: str
    payee_fsp: str
    asked: bytes
    body: bytes = b""  # the body of POST /bulkQuotes, the same bytes each time
    digest: bytes = b""
    state: Made = Made.SENT
    alias: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connector has further work with this record."""
        return False


class Bulks:
    """Sends the front end's messages to the hub, and returns the answers to the front end."""

    def __init__(
        self,
        config: Config,
        store: Store,
        clock: HubClock,
        lookups: Lookups,
        exchanges: Exchanges,
        submissions: Submissions,
    ) -> None:
        self._config, self._clock, self._lookups = config, clock, lookups
        self._exchanges, self._submissions = exchanges, submissions
        self._quotes = Records(store.database, "bulk_quote_made", BulkQuoteMade)

    def add_to(self, app: web.Application) -> None:
        """Adds the routes of this class to an application."""
        app.router.add_post("/bulkQuotes", self._post_quotes)
        app.router.add_get("/bulkQuotes/{id}", self._get_quotes)
        app.router.add_post("/bulkTransfers", self._post_transfers)
        app.router.add_get("/bulkTransfers/{id}", self._get_transfers)
        app.router.add_post("/fxTransfers", self._post_conversion)

    # --- terms --------------------------------------------------------------------------------------------------------

    async def _post_quotes(self, request: web.Request) -> web.Response:
        try:
            wanted = bodies.read(BulkQuoteWanted, await request.read())
            payee_fsp = await self._payee_of([item.to for item in wanted.individual_quotes])
            body = self._quotes_of(wanted, payee_fsp)
        except FspiopError as error:
            raise ApiError(400, error.code, error.description, field="bulkQuoteState", state={}) from None
        asked, raw = bodies.write(wanted), bodies.write(body)
        new = BulkQuoteMade(id=body.bulk_quote_id, payee_fsp=payee_fsp, asked=asked, body=raw)
        made, _ = await self._quotes.add(new)
        if made.asked != asked:
            raise Conflict
        key = ("bulkQuotes", body.bulk_quote_id)
        try:
            # After a crash, the front end may repeat its request. The hub would treat different bytes under the same id
            # as a different request.
            reply = await self._exchanges.ask(key, "POST", "/bulkQuotes", made.body or raw, made.payee_fsp)
        except NoAnswer as error:
            state = {
                "bulkQuoteId": body.bulk_quote_id,
                "homeTransactionId": wanted.home_transaction_id,
                "individualQuoteResults": [],
                "currentState": ERROR_OCCURRED,
                "lastError": last_error(error.code, error.text),
            }
            raise failed(error.code, error.text, field="bulkQuoteState", state=state) from None
        shown = _quotes_shown(body.bulk_quote_id, reply.body)
        return web.json_response(shown | {"homeTransactionId": wanted.home_transaction_id})

    async def _get_quotes(self, request: web.Request) -> web.Response:
        record_id = request.match_info["id"]
        made = await self._quotes.get(record_id)
        if made is None:
            raise failed(ErrorCode.BULK_QUOTE_ID_NOT_FOUND.code, "")
        key = ("bulkQuotes", record_id)
        reply = await self._exchanges.ask(key, "GET", f"/bulkQuotes/{record_id}", destination=made.payee_fsp)
        individual = msgspec.json.decode(made.asked)["individualQuotes"]
        return web.json_response(_quotes_shown(record_id, reply.body) | {"individualQuotes": individual})

    def _quotes_of(self, wanted: BulkQuoteWanted, payee_fsp: str) -> BulkQuotePost:
        payer = wanted.from_
        return BulkQuotePost(
            bulk_quote_id=wanted.bulk_quote_id or correlation_ids.new_uuid(),
            payer=party_of(msgspec.structs.replace(payer.ref(), fsp_id=self._config.dfsp)),
            individual_quotes=[
                IndividualQuote(
                    quote_id=item.quote_id,
                    transaction_id=item.quote_id,
                    payee=party_of(msgspec.structs.replace(item.to.ref(), fsp_id=payee_fsp)),
                    amount_type=item.amount_type,
                    amount=_money("individualQuotes.amount", item.amount, item.currency),
                    transaction_type=TransactionType(
                        scenario=item.transaction_type,
                        sub_scenario=item.sub_scenario,
                        initiator="PAYER",
                        initiator_type=payer.type or "CONSUMER",
                    ),
                    note=item.note,
                    extension_list=listed(item.extensions),
                )
                for item in wanted.individual_quotes
            ],
            expiration=moment(self._clock.at_hub() + self._config.agree_s + self._config.quote_expiry_s),
            extension_list=listed(wanted.extensions),
        )

    async def _payee_of(self, parties: list[TransferParty]) -> str:
        """Returns the DFSP to which all payees of the bulk belong."""
        named = {party.fsp_id for party in parties if party.fsp_id is not None}
        if len(named) > 1:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "to.fspId: all payees of a bulk must have the same DFSP")
        if named:
            return named.pop()
        try:
            found = await self._lookups.find(parties[0].ref())
        except LookupFailed as error:
            raise failed(error.code, error.text, field="bulkQuoteState", state={}) from None
        assert found.fsp_id is not None
        return found.fsp_id

    # --- transfers ----------------------------------------------------------------------------------------------------

    async def _post_transfers(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            wanted = bodies.read(BulkTransferWanted, raw)
            submission = await self._bulk_of(wanted, raw)
        except FspiopError as error:
            raise ApiError(400, error.code, error.description, field="bulkTransferState", state={}) from None
        return self._bulk_response(await self._sent(submission, "bulkTransferState"))

    async def _get_transfers(self, request: web.Request) -> web.Response:
        found = await self._submissions.get("bulkTransfers", request.match_info["id"])
        if found is None:
            raise failed(ErrorCode.BULK_TRANSFER_ID_NOT_FOUND.code, "")
        self._check_is_done(found, "bulkTransferState")
        results = _transfer_results(found)
        fulfils = [
            {name: result[name] for name in ("transferId", "fulfilment") if name in result} for result in results
        ]
        return web.json_response({"bulkTransferId": found.id, "currentState": COMPLETED, "fulfils": fulfils})

    async def _bulk_of(self, wanted: BulkTransferWanted, raw: bytes) -> Submission:
        made = await self._quotes.get(wanted.bulk_quote_id)
        named = {item.to.fsp_id for item in wanted.individual_transfers if item.to.fsp_id is not None}
        payees = named or ({made.payee_fsp} if made is not None else set())
        if len(payees) != 1:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "to.fspId: all payees of a bulk must have the same DFSP")
        payee_fsp = payees.pop()
        expires_at = self._clock.at_hub() + self._config.transfer_expiry_s
        body = BulkTransferPost(
            bulk_transfer_id=wanted.bulk_transfer_id,
            bulk_quote_id=wanted.bulk_quote_id,
            payer_fsp=self._config.dfsp,
            payee_fsp=payee_fsp,
            individual_transfers=[
                IndividualTransfer(
                    transfer_id=item.transfer_id,
                    transfer_amount=_money("individualTransfers.amount", item.amount, item.currency),
                    ilp_packet=item.ilp_packet,
                    condition=item.condition,
                    extension_list=listed(item.extensions),
                )
                for item in wanted.individual_transfers
            ],
            expiration=moment(expires_at),
            extension_list=listed(wanted.extensions),
        )
        return Submission(
            id=wanted.bulk_transfer_id,
            resource="bulkTransfers",
            body=bodies.write(body),
            digest=strictjson.digest(strictjson.loads(raw)),
            destination=payee_fsp,
            expires_at=expires_at,
            conditions={item.transfer_id: item.condition for item in wanted.individual_transfers},
            created_at=time.time(),
            home_id=wanted.home_transaction_id,
        )

    def _bulk_response(self, found: Submission) -> web.Response:
        self._check_is_done(found, "bulkTransferState")
        body = bodies.read(BulkTransferPut, found.outcome)
        return web.json_response(
            _bulk_shown(found)
            | {
                **present(bulkTransferState=_TRANSFER_STATES.get(body.bulk_transfer_state)),
                "currentState": COMPLETED,
                "individualTransferResults": _transfer_results(found),
                **present(completedTimestamp=body.completed_timestamp),
            }
        )

    # --- conversions --------------------------------------------------------------------------------------------------

    async def _post_conversion(self, request: web.Request) -> web.Response:
        raw = await request.read()
        wanted = bodies.read(FxTransferWanted, raw)
        if wanted.initiating_fsp != self._config.dfsp:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"initiatingFsp: must be {self._config.dfsp}")
        for name, value in (("sourceAmount", wanted.source_amount), ("targetAmount", wanted.target_amount)):
            amount(f"{name}.amount", value.amount)
        expires_at = self._clock.at_hub() + self._config.transfer_expiry_s
        body = FxTransferPost(
            commit_request_id=wanted.commit_request_id,
            determining_transfer_id=wanted.determining_transfer_id,
            initiating_fsp=wanted.initiating_fsp,
            counter_party_fsp=wanted.counter_party_fsp,
            source_amount=wanted.source_amount,
            target_amount=wanted.target_amount,
            condition=wanted.condition,
            expiration=moment(expires_at),
        )
        new = Submission(
            id=wanted.commit_request_id,
            resource="fxTransfers",
            body=bodies.write(body),
            digest=strictjson.digest(strictjson.loads(raw)),
            destination=wanted.counter_party_fsp,
            expires_at=expires_at,
            conditions={wanted.commit_request_id: wanted.condition},
            created_at=time.time(),
            home_id=wanted.home_transaction_id,
        )
        found = await self._sent(new, "")
        self._check_is_done(found, "")
        return web.json_response(present(homeTransactionId=found.home_id) | msgspec.json.decode(found.outcome))

    async def _sent(self, new: Submission, field: str) -> Submission:
        try:
            return await self._submissions.send(new, self._config.answer_s)
        except Conflict:
            known = await self._submissions.get(new.resource, new.id)
            if known is None:
                raise
            raise id_used(field=field, state=_bulk_shown(known) if field else None) from None

    def _check_is_done(self, found: Submission, field: str) -> None:
        """Raises ApiError unless the submission has an answer for the front end that is not a failure."""
        shown = _bulk_shown(found) if field else None
        if found.state is Sent.FAILED:
            code, text = found.error_code or "", found.error_text or ""
            state = shown and shown | {"currentState": ERROR_OCCURRED, "lastError": last_error(code, text)}
            raise failed(code, text, field=field, state=state)
        if not found.is_answered:
            raise ApiError(TIMED_OUT, ErrorCode.SERVER_TIMED_OUT.code, _NOT_KNOWN, field=field, state=shown)


def _money(name: str, text: str, currency: str) -> Money:
    return Money(currency=currency, amount=money.format_amount(amount(name, text)))


def _quotes_shown(bulk_quote_id: str, body: BulkQuotePut) -> dict[str, Any]:
    results = []
    for result in body.individual_quote_results or []:
        shown = builtins(result)
        shown.pop("payee", None)
        if (error := shown.pop("errorInformation", None)) is not None:
            shown["lastError"] = last_error(str(error["errorCode"]), error["errorDescription"])
        results.append(shown)
    return {
        "bulkQuoteId": bulk_quote_id,
        "expiration": body.expiration,
        "currentState": COMPLETED,
        "individualQuoteResults": results,
    }


def _bulk_shown(found: Submission) -> dict[str, Any]:
    body = msgspec.json.decode(found.body)
    return {
        "bulkTransferId": found.id,
        "individualTransferResults": [],
        **present(bulkQuoteId=body.get("bulkQuoteId"), homeTransactionId=found.home_id),
    }


def _transfer_results(found: Submission) -> list[dict[str, Any]]:
    body = bodies.read(BulkTransferPut, found.outcome)
    results = []
    # in the order in which the front end sent the transfers
    place = {transfer_id: number for number, transfer_id in enumerate(found.conditions)}
    for result in sorted(body.individual_transfer_results or [], key=lambda one: place.get(one.transfer_id, 0)):
        shown: dict[str, Any] = {"transferId": result.transfer_id}
        if result.fulfilment is not None:
            shown |= {"fulfilment": result.fulfilment, "transferState": "COMMITTED"}
        else:
            error = result.error_information
            shown["transferState"] = "ABORTED"
            if error is not None:
                shown["lastError"] = last_error(str(error.error_code), error.error_description)
        results.append(shown)
    return results
