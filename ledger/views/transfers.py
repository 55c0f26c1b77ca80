"""/transfers (FSPIOP API v1.1, section 6.7)."""

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import time
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.transfers import TransferPost, TransferPut
from fspiop.errors import ErrorCode, FspiopError
from hub.api.openapi import fspiop_schema
from hub.api.views import accepted, taken
from ledger import accounts_and_funds, engine
from ledger.commands_and_outcomes import Fulfil, Prepare, Reject
from ledger.views.common import LedgerView, checked_id, positive, raise_unless_heard
from ledger.views.completed_timestamp import moment_fault
from ledger.views.ilp_packet_check import terms_in


class _TransferView(LedgerView):
    resource = "transfers"


class TransfersView(_TransferView):
    @fspiop_schema("transfers", request=TransferPost, answer=202, summary="Prepare a transfer")
    def post(self, request: Request) -> HttpResponse:
        body = self.read(TransferPost)
        if body.payer_fsp != self.fspiop.source:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payerFsp: must be the FSPIOP-Source")
        amount, currency = positive("amount", body.amount.amount), body.amount.currency
        self.check_room_at(body.payee_fsp)
        engine.submit(
            Prepare(
                transfer_id=body.transfer_id,
                source_id=self.caller,
                payer=body.payer_fsp,
                payee=body.payee_fsp,
                currency=currency,
                amount=amount,
                condition=body.condition,
                expires_at=time.parse_datetime(body.expiration),
                digest=self.digest(),
                message=self.message(),
                destination=self.fspiop.destination,
                ilp_packet=body.ilp_packet,
                terms=terms_in(body.ilp_packet, "ilpPacket", amount=amount, currency=currency, payee=body.payee_fsp),
            )
        )
        return accepted()  # `submit` returns after the database transaction is committed


class TransferView(_TransferView):
    @fspiop_schema("transfers", answer=202, summary="Request the state of a transfer")
    def get(self, request: Request, transfer_id: str) -> HttpResponse:
        accounts_and_funds.tell_state(transfer_id=checked_id(transfer_id, "transferId"), requester=self.requester)
        return accepted()

    @fspiop_schema("transfers", request=TransferPut, answer=200, summary="Fulfil a transfer")
    def put(self, request: Request, transfer_id: str) -> HttpResponse:
        body = self.read(TransferPut)
        if body.transfer_state not in ("COMMITTED", "RESERVED"):
            return taken()  # the hub ignores all other states: the payee must send an abort as PUT .../error
        raise_unless_heard(
            engine.submit(
                Fulfil(
                    transfer_id=checked_id(transfer_id, "transferId"),
                    source_id=self.caller,
                    destination=self.fspiop.destination,
                    fulfilment=body.fulfilment,
                    moment_fault=moment_fault(body.completed_timestamp),
                    wants_patch=body.transfer_state == "RESERVED",
                    digest=self.digest(),
                    message=self.message(),
                )
            )
        )
        return taken()

    @fspiop_schema("transfers", answer=501, summary="Reject every request: only the hub sends this message, to a payee")
    def patch(self, request: Request, transfer_id: str) -> HttpResponse:
        raise FspiopError(ErrorCode.NOT_IMPLEMENTED, "only the hub sends PATCH /transfers/{ID}")


class TransferErrorView(_TransferView):
    @fspiop_schema("transfers", request=ErrorPut, answer=200, summary="Reject a transfer")
    def put(self, request: Request, transfer_id: str) -> HttpResponse:
        error = self.read(ErrorPut).error_information
        raise_unless_heard(
            engine.submit(
                Reject(
                    transfer_id=checked_id(transfer_id, "transferId"),
                    source_id=self.caller,
                    error_code=error.error_code,
                    error_description=error.error_description,
                    digest=self.digest(),
                    message=self.message(),
                    destination=self.fspiop.destination,
                )
            )
        )
        return taken()
