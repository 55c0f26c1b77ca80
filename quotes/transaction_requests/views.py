"""/transactionRequests (FSPIOP API v1.1, section 6.4)."""

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import time
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.transaction_requests import TransactionRequestPost, TransactionRequestPut
from fspiop.errors import ErrorCode, FspiopError
from fspiop.versions import missing_header
from hub.api import forwarding
from hub.api.openapi import fspiop_schema
from hub.api.views import accepted, taken
from quotes.forwarded import pending_requests
from quotes.transaction_requests import services
from quotes.transaction_requests.services import State
from quotes.views.message_view import MessageView


class TransactionRequestsView(MessageView):
    resource = "transactionRequests"
    id_name = "transactionRequestId"

    @fspiop_schema(
        "transactionRequests", request=TransactionRequestPost, answer=202, summary="Request a payment from a payer"
    )
    def post(self, request: Request) -> HttpResponse:
        body = self.read(TransactionRequestPost)
        destination = self.fspiop.destination or body.payer.fsp_id
        if destination is None:
            raise missing_header("fspiop-destination")
        try:
            payee, payer = forwarding.parties_of(self, destination)
            if payer.id == self.caller:
                raise FspiopError(ErrorCode.VALIDATION_ERROR, "the payer's DFSP is the sender itself")
            forwarding.check_named({"payer.fspId": body.payer.fsp_id}, payer.name)
            forwarding.check_payment(payer=payer, payee=payee, currencies=(body.amount.currency,))
            forwarding.check_account(payer, body.amount.currency)
            self.check_room_at(payer.name)
            services.ask(
                services.Request(
                    transaction_request_id=body.transaction_request_id,
                    payer=payer,
                    expires_at=time.parse_datetime(body.expiration) if body.expiration else None,
                ),
                self.message(),
                send=forwarding.send,
            )
        except FspiopError as error:
            self.refuse(error, body.transaction_request_id)
        return accepted()


class TransactionRequestView(MessageView):
    resource = "transactionRequests"
    id_name = "transactionRequestId"

    @fspiop_schema("transactionRequests", answer=202, summary="Request the state of a transaction request")
    def get(self, request: Request, transaction_request_id: str) -> HttpResponse:
        self.check_id(transaction_request_id)
        path = forwarding.path_of(self.resource, transaction_request_id)
        try:
            found = services.find(transaction_request_id, asker_id=self.caller)
            if found.state in services.ENDS and self.caller == found.payee_id:
                forwarding.send([services.ending(found)])
            else:
                to = found.payer if self.caller == found.payee_id else found.payee
                question = forwarding.pass_on(
                    self,
                    to=to,
                    path=path,
                    subject=found.order_of(transaction_request_id),
                    kind="request-to-pay-state",
                    error_path=path + "/error",
                )
                pending_requests.ask(
                    question, resource=self.resource, subject=transaction_request_id, version=self.accepted_version
                )
        except FspiopError as error:
            forwarding.send([forwarding.refuse_caller(self, error, path=path, subject=transaction_request_id)])
        return accepted()

    @fspiop_schema(
        "transactionRequests",
        request=TransactionRequestPut,
        answer=200,
        summary="Return the state of a transaction request",
    )
    def put(self, request: Request, transaction_request_id: str) -> HttpResponse:
        body = self.read(TransactionRequestPut)
        return self._answer(transaction_request_id, State(body.transaction_request_state))

    def _answer(self, transaction_request_id: str, state: State) -> HttpResponse:
        self.check_id(transaction_request_id)
        try:
            services.answer(transaction_request_id, self.message(), state=state, send=forwarding.send)
        except FspiopError as error:
            if error.code != ErrorCode.MODIFIED_REQUEST.code:
                raise  # A third participant must not learn that the request exists. The HTTP response has the error.
            self.refuse(error, transaction_request_id)
        return taken()


class TransactionRequestErrorView(TransactionRequestView):
    http_method_names = ["put"]

    @fspiop_schema("transactionRequests", request=ErrorPut, answer=200, summary="Reject a transaction request")
    def put(self, request: Request, transaction_request_id: str) -> HttpResponse:
        self.read(ErrorPut)
        return self._answer(transaction_request_id, State.FAILED)
