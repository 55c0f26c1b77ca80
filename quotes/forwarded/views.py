"""/authorizations and /transactions (FSPIOP API v1.1, sections 6.6 and 6.8). The hub forwards the requests and the
answers between two DFSPs.

The path of a GET contains the id of a transaction request or the id of a transaction. If the hub has stored the
transaction request, or a quote of the transaction, the hub forwards the GET to the other party. Otherwise, the hub
forwards the GET to the DFSP that FSPIOP-Destination names. The hub forwards a PUT only to the DFSP that sent the GET.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import bodies, correlation_ids
from fspiop.bodies.authorizations import AuthorizationPut, AuthorizationQuery
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.transactions import TransactionPut
from fspiop.errors import ErrorCode, FspiopError
from hub import whole_minor_units
from hub.api import forwarding
from hub.api.openapi import fspiop_schema
from hub.api.views import FspiopView, accepted, taken
from hub.participants import queries
from hub.participants.participant_checks import Party
from quotes.forwarded import pending_requests
from quotes.models import REFUSED_BY_RULES, Quote, TransactionRequest

_LONGEST_QUERY = 512

Parties = Collection[tuple[int, int]]


class _RelayView(FspiopView, ABC):
    id_name: str
    not_found: ErrorCode

    @abstractmethod
    def parties_of(self, subject_id: str) -> Parties:
        """For each stored object with this id, returns the ids of the payer DFSP and the payee DFSP."""

    def ask(self, subject_id: str, query: str = "") -> HttpResponse:
        """Forwards a GET from one DFSP to another DFSP. If the hub finds no recipient for a GET, the GET's sender gets
        an error callback."""
        path = forwarding.path_of(self.resource, subject_id)
        try:
            to = self._other_side(subject_id)
            order = pending_requests.order_of(self.resource, subject_id, self.caller)
            question = forwarding.pass_on(
                self, to=to, path=path + query, subject=order, kind="request", error_path=path + "/error"
            )
            pending_requests.ask(question, resource=self.resource, subject=subject_id, version=self.accepted_version)
        except FspiopError as error:
            forwarding.send([forwarding.refuse_caller(self, error, path=path, subject=subject_id)])
        return accepted()

    def answer(self, subject_id: str, ending: str = "") -> HttpResponse:
        """Forwards a callback from one DFSP to another DFSP.

        If the hub cannot forward the callback, the HTTP response contains the error. The sender of a callback never
        gets a callback.
        """
        path = forwarding.path_of(self.resource, subject_id) + ending
        to = self._asker(subject_id)
        order = pending_requests.order_of(self.resource, subject_id, to.id)
        reply = forwarding.pass_on(self, to=to, path=path, subject=order, kind="answer")
        if not pending_requests.answer(reply, resource=self.resource, subject=subject_id, answerer_id=self.caller):
            raise self._unasked()
        return taken()

    def check_id(self, subject_id: str) -> None:
        if not correlation_ids.is_correlation_id(subject_id):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{self.id_name}: must be a UUID or a ULID")

    def _other_side(self, subject_id: str) -> Party:
        known = self.parties_of(subject_id)
        others = {
            second if first == self.caller else first for first, second in known if self.caller in (first, second)
        }
        if known and not others:
            raise FspiopError(self.not_found)  # a third participant must not learn that the object exists
        if self.fspiop.destination:
            to = forwarding.destination_of(self)
            if others and to.id not in others:
                raise FspiopError(self.not_found)
            return to
        if len(others) != 1:
            raise FspiopError(self.not_found)
        return forwarding.active_participant(queries.name_of(others.pop()))

    def _asker(self, subject_id: str) -> Party:
        """Returns the participant that FSPIOP-Destination names.

        If this header is missing, returns the only DFSP that has sent the caller a GET about this id.
        """
        if self.fspiop.destination:
            return forwarding.destination_of(self)
        askers = pending_requests.askers_of(self.resource, subject_id, asked_id=self.caller)
        if len(askers) != 1:
            raise self._unasked()
        return forwarding.active_participant(queries.name_of(askers[0]))

    def _unasked(self) -> FspiopError:
        return FspiopError(self.not_found, "the DFSP in FSPIOP-Destination has not sent such a request to the sender")


class AuthorizationView(_RelayView):
    resource = "authorizations"
    id_name = "transactionRequestId"
    not_found = ErrorCode.TRANSACTION_REQUEST_ID_NOT_FOUND

    def parties_of(self, subject_id: str) -> Parties:
        return TransactionRequest.objects.filter(pk=subject_id).values_list("payer_id", "payee_id")

    @fspiop_schema(
        "authorizations", query=AuthorizationQuery, answer=202, summary="Request an authorization value from the payer"
    )
    def get(self, request: Request, subject_id: str) -> HttpResponse:
        self.check_id(subject_id)
        query = bodies.read_query(AuthorizationQuery, dict(request._request.GET.lists()))
        whole_minor_units.check_message(query)
        if len(request._request.META["QUERY_STRING"]) > _LONGEST_QUERY:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"the query has more than {_LONGEST_QUERY} characters")
        return self.ask(subject_id, "?" + bodies.write_query(query))

    @fspiop_schema(
        "authorizations",
        request=AuthorizationPut,
        answer=200,
        summary="Return the authorization value that the payer entered",
    )
    def put(self, request: Request, subject_id: str) -> HttpResponse:
        self.check_id(subject_id)
        self.read(AuthorizationPut)
        return self.answer(subject_id)


class AuthorizationErrorView(AuthorizationView):
    http_method_names = ["put"]

    @fspiop_schema("authorizations", request=ErrorPut, answer=200, summary="Report an error about an authorization")
    def put(self, request: Request, subject_id: str) -> HttpResponse:
        self.check_id(subject_id)
        self.read(ErrorPut)
        return self.answer(subject_id, "/error")


class TransactionView(_RelayView):
    resource = "transactions"
    id_name = "transactionId"
    not_found = ErrorCode.TRANSACTION_ID_NOT_FOUND

    def parties_of(self, subject_id: str) -> Parties:
        known = Quote.objects.filter(transaction_id=subject_id).exclude(REFUSED_BY_RULES)
        return known.values_list("payer_id", "payee_id").distinct()

    @fspiop_schema("transactions", answer=202, summary="Request the state of a transaction")
    def get(self, request: Request, subject_id: str) -> HttpResponse:
        self.check_id(subject_id)
        return self.ask(subject_id)

    @fspiop_schema("transactions", request=TransactionPut, answer=200, summary="Return the state of a transaction")
    def put(self, request: Request, subject_id: str) -> HttpResponse:
        self.check_id(subject_id)
        self.read(TransactionPut)
        return self.answer(subject_id)


class TransactionErrorView(TransactionView):
    http_method_names = ["put"]

    @fspiop_schema("transactions", request=ErrorPut, answer=200, summary="Report an error about a transaction")
    def put(self, request: Request, subject_id: str) -> HttpResponse:
        self.check_id(subject_id)
        self.read(ErrorPut)
        return self.answer(subject_id, "/error")
