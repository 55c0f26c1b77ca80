"""/bulkTransfers (FSPIOP API v1.1, section 6.10)."""

import hashlib

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import time
from fspiop.bodies.bulk_transfers import BulkTransferPost, BulkTransferPut, IndividualTransfer
from fspiop.bodies.errors import ErrorPut
from fspiop.errors import ErrorCode, FspiopError
from hub.api.bulk_concurrency import Answered
from hub.api.openapi import fspiop_schema
from hub.api.views import accepted, taken
from ledger.bulk import engine, state_answers_and_expiry
from ledger.bulk.commands_and_outcomes import (
    BulkEnded,
    BulkFulfil,
    BulkImplausible,
    BulkOutcome,
    BulkPrepare,
    BulkReject,
    BulkUnknown,
    ItemResult,
)
from ledger.bulk.states import BulkState
from ledger.commands_and_outcomes import PaymentMessage, Prepare
from ledger.views.common import LedgerView, checked_id, positive
from ledger.views.completed_timestamp import implausible, moment_fault
from ledger.views.ilp_packet_check import terms_in


class _BulkTransferView(LedgerView):
    resource = "bulkTransfers"

    def _obey(self, outcome: BulkOutcome) -> None:
        """Raises an error for an outcome that the payee must get in the HTTP response. The hub reports all other
        outcomes by callbacks."""
        if isinstance(outcome, BulkUnknown):
            # A sender that is not the bulk's payee gets the same answer as for an unknown bulk. Other participants must
            # not find out that the bulk exists.
            raise FspiopError(ErrorCode.BULK_TRANSFER_ID_NOT_FOUND, http_status=400)
        if isinstance(outcome, BulkImplausible):
            raise implausible(outcome.command.moment_fault)
        self.answered = Answered.BULK if isinstance(outcome, BulkEnded) else Answered.ENDED_BULK


class BulkTransfersView(_BulkTransferView):
    is_bulk = True
    has_large_bodies = True

    @fspiop_schema("bulkTransfers", request=BulkTransferPost, answer=202, summary="Prepare many transfers at once")
    def post(self, request: Request) -> HttpResponse:
        body = self.read(BulkTransferPost)
        if body.payer_fsp != self.fspiop.source:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payerFsp: must be the FSPIOP-Source")
        _check_once("individualTransfers", [item.transfer_id for item in body.individual_transfers])
        self.check_room_at(body.payee_fsp)
        engine.submit(self._prepare(body))
        return accepted()  # `submit` returns after the database transaction is committed

    def _prepare(self, body: BulkTransferPost) -> BulkPrepare:
        digest, expires_at = self.digest(), time.parse_datetime(body.expiration)
        kept_with_the_bulk = PaymentMessage(b"", {}, self.content_version)

        def item_of(number: int, item: IndividualTransfer) -> Prepare:
            where, currency = f"individualTransfers[{number}]", item.transfer_amount.currency
            amount = positive(f"{where}.transferAmount", item.transfer_amount.amount)
            return Prepare(
                transfer_id=item.transfer_id,
                source_id=self.caller,
                payer=body.payer_fsp,
                payee=body.payee_fsp,
                currency=currency,
                amount=amount,
                condition=item.condition,
                expires_at=expires_at,
                # The digest of an item includes the digest of the item's bulk. So items of two bulks never count as the
                # same message.
                digest=hashlib.sha256(digest + item.transfer_id.encode()).digest(),
                message=kept_with_the_bulk,
                destination=self.fspiop.destination,
                bulk_id=body.bulk_transfer_id,
                ilp_packet=item.ilp_packet,
                bulk_quote_id=body.bulk_quote_id,
                terms=terms_in(
                    item.ilp_packet,
                    f"{where}.ilpPacket",
                    amount=amount,
                    currency=currency,
                    payee=body.payee_fsp,
                    bulk_quote_id=body.bulk_quote_id,
                ),
            )

        return BulkPrepare(
            bulk_id=body.bulk_transfer_id,
            quote_id=body.bulk_quote_id,
            source_id=self.caller,
            payer=body.payer_fsp,
            payee=body.payee_fsp,
            expires_at=expires_at,
            items=[item_of(number, item) for number, item in enumerate(body.individual_transfers)],
            digest=digest,
            message=self.message(),
        )


class BulkTransferView(_BulkTransferView):
    is_bulk = True
    has_large_bodies = True

    @fspiop_schema("bulkTransfers", answer=202, summary="Request the state and results of a bulk transfer")
    def get(self, request: Request, bulk_transfer_id: str) -> HttpResponse:
        state_answers_and_expiry.tell_state(
            bulk_id=checked_id(bulk_transfer_id, "bulkTransferId"), requester=self.requester
        )
        return accepted()

    @fspiop_schema(
        "bulkTransfers", request=BulkTransferPut, answer=200, summary="Return the results of a bulk transfer, once"
    )
    def put(self, request: Request, bulk_transfer_id: str) -> HttpResponse:
        body = self.read(BulkTransferPut)
        results = _results(body)
        if body.bulk_transfer_state not in ("COMPLETED", "REJECTED"):
            # This message only reports the payee's progress and first results, so the hub stores and sends nothing.
            self.answered = self._reported_on(checked_id(bulk_transfer_id, "bulkTransferId"))
            return taken()
        is_rejection = body.bulk_transfer_state == "REJECTED"
        if is_rejection and any(result.fulfilment for result in results.values()):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "bulkTransferState: REJECTED, but a fulfilment is set")
        self._obey(
            engine.submit(
                BulkFulfil(
                    bulk_id=checked_id(bulk_transfer_id, "bulkTransferId"),
                    source_id=self.caller,
                    destination=self.fspiop.destination,
                    state=BulkState.REJECTED if is_rejection else BulkState.COMPLETED,
                    results=results,
                    digest=self.digest(),
                    message=self.message(),
                    moment_fault=moment_fault(body.completed_timestamp),
                )
            )
        )
        return taken()

    def _reported_on(self, bulk_id: str) -> Answered:
        """Returns the kind of bulk that a progress report is about: an open bulk, an ended bulk, or no bulk. The
        function considers only a bulk from the named payer to the sender of the report."""
        bulk = state_answers_and_expiry.find(bulk_id)
        if bulk is None or (bulk.payer_id, bulk.payee_id) != (self._payer(), self.caller):
            return Answered.NOTHING
        return Answered.BULK if bulk.state is BulkState.ACCEPTED else Answered.ENDED_BULK


class BulkTransferErrorView(_BulkTransferView):
    is_bulk = True

    @fspiop_schema("bulkTransfers", request=ErrorPut, answer=200, summary="Reject a whole bulk transfer")
    def put(self, request: Request, bulk_transfer_id: str) -> HttpResponse:
        error = self.read(ErrorPut).error_information
        self._obey(
            engine.submit(
                BulkReject(
                    bulk_id=checked_id(bulk_transfer_id, "bulkTransferId"),
                    source_id=self.caller,
                    destination=self.fspiop.destination,
                    error_code=error.error_code,
                    error_description=error.error_description,
                    digest=self.digest(),
                    message=self.message(),
                )
            )
        )
        return taken()


def _results(body: BulkTransferPut) -> dict[str, ItemResult]:
    """Returns the payee's result for each item's id. Leaves out an item that has no result in the payee's answer."""
    results = body.individual_transfer_results or []
    _check_once("individualTransferResults", [result.transfer_id for result in results])
    found = {}
    for number, result in enumerate(results):
        error = result.error_information
        if error is not None and result.fulfilment is not None:
            raise FspiopError(
                ErrorCode.VALIDATION_ERROR,
                f"individualTransferResults[{number}]: has both a fulfilment and an errorInformation",
            )
        if error is not None:
            found[result.transfer_id] = ItemResult(None, error.error_code, error.error_description)
        elif result.fulfilment is not None:
            found[result.transfer_id] = ItemResult(result.fulfilment)
    return found


def _check_once(where: str, transfer_ids: list[str]) -> None:
    if len(set(transfer_ids)) != len(transfer_ids):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}: a transferId occurs twice")
