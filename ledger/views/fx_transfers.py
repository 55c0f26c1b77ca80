"""/fxTransfers (FSPIOP API v2.0)."""

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import time
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.fx_transfers import FxTransferPost, FxTransferPut
from fspiop.errors import ErrorCode, FspiopError
from hub.api.openapi import fspiop_schema
from hub.api.views import accepted, taken
from hub.participants import queries as participants
from hub.test_currency import NEVER_CONVERTED, TEST_CURRENCY
from ledger import engine
from ledger.fx import state_answers
from ledger.fx.commands_and_outcomes import FxFulfil, FxPrepare, FxReject
from ledger.views.common import LedgerView, checked_id, positive, raise_unless_heard
from ledger.views.completed_timestamp import moment_fault


class _FxTransferView(LedgerView):
    resource = "fxTransfers"


class FxTransfersView(_FxTransferView):
    @fspiop_schema("fxTransfers", request=FxTransferPost, answer=202, summary="Prepare a conversion")
    def post(self, request: Request) -> HttpResponse:
        body = self.read(FxTransferPost)
        if body.initiating_fsp != self.fspiop.source:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "initiatingFsp: must be the FSPIOP-Source")
        # In the API, a request without these two fields exchanges currency without a payment. This hub refuses such a
        # request.
        if body.determining_transfer_id is None:
            raise FspiopError(ErrorCode.MISSING_ELEMENT, "determiningTransferId is required")
        if body.determining_transfer_id == body.commit_request_id:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "determiningTransferId: is the commitRequestId")
        if body.expiration is None:
            raise FspiopError(ErrorCode.MISSING_ELEMENT, "expiration is required")
        if body.source_amount.currency == body.target_amount.currency:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "targetAmount.currency: is the source currency")
        currencies = (body.source_amount.currency, body.target_amount.currency)
        if TEST_CURRENCY in currencies and participants.has_certifier():
            raise FspiopError(ErrorCode.VALIDATION_ERROR, NEVER_CONVERTED)
        self.check_room_at(body.counter_party_fsp)
        engine.submit(
            FxPrepare(
                commit_request_id=body.commit_request_id,
                determining_transfer_id=body.determining_transfer_id,
                source_id=self.caller,
                initiator=body.initiating_fsp,
                fxp=body.counter_party_fsp,
                source_currency=body.source_amount.currency,
                source_amount=positive("sourceAmount", body.source_amount.amount),
                target_currency=body.target_amount.currency,
                target_amount=positive("targetAmount", body.target_amount.amount),
                condition=body.condition,
                expires_at=time.parse_datetime(body.expiration),
                digest=self.digest(),
                message=self.message(),
                destination=self.fspiop.destination,
            )
        )
        return accepted()  # `submit` returns after the database transaction is committed


class FxTransferView(_FxTransferView):
    @fspiop_schema("fxTransfers", answer=202, summary="Request the state of a conversion")
    def get(self, request: Request, commit_request_id: str) -> HttpResponse:
        commit_request_id = checked_id(commit_request_id, "commitRequestId")
        state_answers.tell_state(commit_request_id=commit_request_id, requester=self.requester)
        return accepted()

    @fspiop_schema("fxTransfers", request=FxTransferPut, answer=200, summary="Fulfil a conversion")
    def put(self, request: Request, commit_request_id: str) -> HttpResponse:
        body = self.read(FxTransferPut)
        if body.conversion_state not in ("COMMITTED", "RESERVED"):
            return taken()  # the hub ignores all other states: the FXP must send an abort as PUT .../error
        raise_unless_heard(
            engine.submit(
                FxFulfil(
                    commit_request_id=checked_id(commit_request_id, "commitRequestId"),
                    source_id=self.caller,
                    destination=self.fspiop.destination,
                    fulfilment=body.fulfilment,
                    says_reserved=body.conversion_state == "RESERVED",
                    digest=self.digest(),
                    message=self.message(),
                    moment_fault=moment_fault(body.completed_timestamp),
                )
            )
        )
        return taken()

    @fspiop_schema("fxTransfers", answer=501, summary="Reject every request: only the hub sends PATCH")
    def patch(self, request: Request, commit_request_id: str) -> HttpResponse:
        raise FspiopError(ErrorCode.NOT_IMPLEMENTED, "only the hub sends PATCH /fxTransfers/{ID}")


class FxTransferErrorView(_FxTransferView):
    @fspiop_schema("fxTransfers", request=ErrorPut, answer=200, summary="Reject a conversion")
    def put(self, request: Request, commit_request_id: str) -> HttpResponse:
        error = self.read(ErrorPut).error_information
        raise_unless_heard(
            engine.submit(
                FxReject(
                    commit_request_id=checked_id(commit_request_id, "commitRequestId"),
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
