"""Shared code of the views of all agreements: request, answer, repeated request and refusal.

The model names the kind.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.http import HttpResponse

from fspiop.errors import ErrorCode, FspiopError
from hub.api import forwarding
from hub.api.views import accepted, taken
from hub.participants.queries import Party
from quotes import services
from quotes.models import Agreement
from quotes.services import Request
from quotes.views.messages import MessageView

Currencies = tuple[str, ...]
"""A currency, or several of which one will do."""


class AgreementView(MessageView):
    kind: ClassVar[type[Agreement]]

    def ask(
        self,
        agreement_id: str,
        *,
        to: str | None = None,
        named: Mapping[str, str | None] | None = None,
        currencies: Iterable[Currencies],
        **columns: Any,
    ) -> HttpResponse:
        """POST: stores the request and forwards it to `to`, or else to FSPIOP-Destination.

        A refusal is sent as an error callback. `named` has the recipient as elements of the message name it, by their
        paths. The payee must have an account in one currency of each element of `currencies`.
        """
        expires_at = columns.pop("expires_at")
        try:
            caller, payee = forwarding.parties_of(self, to or self.fspiop.destination)
            if payee.id == self.caller:
                raise FspiopError(ErrorCode.VALIDATION_ERROR, "FSPIOP-Destination is the sender itself")
            forwarding.check_named(named or {}, payee.name)
            self.check_parties(caller, payee)
            for each in currencies:
                forwarding.check_account(payee, *each)
            self.check_room_at(payee.name)
            request = Request(agreement_id, payee, expires_at, columns)
            services.ask(self.kind, request, self.message())
        except FspiopError as error:
            self.refuse(error, agreement_id)
        return accepted()

    def check_parties(self, caller: Party, payee: Party) -> None:
        """Refuses a request for terms if the payment itself would be refused."""
        forwarding.check_payment(payer=caller, payee=payee)

    def ask_again(self, agreement_id: str) -> HttpResponse:
        """GET: sends the stored answer, or forwards the GET to the other party."""
        self.check_id(agreement_id)
        path = forwarding.path_of(self.resource, agreement_id)
        try:
            agreement = services.find(self.kind, agreement_id, asker_id=self.caller)
            if agreement.state == Agreement.State.PENDING or self.caller != agreement.payer_id:
                to = agreement.payee if self.caller == agreement.payer_id else agreement.payer
                message = forwarding.pass_on(
                    self, to=to, path=path, subject=agreement_id, kind="quote-state", error_path=path + "/error"
                )
            else:
                message = services.answer_again(agreement)
        except FspiopError as error:
            message = forwarding.refuse_caller(self, error, path=path, subject=agreement_id)
        forwarding.send([message])
        return accepted()

    def answer(self, agreement_id: str, state: Agreement.State, **columns: Any) -> HttpResponse:
        """PUT: the payee's terms, or either party's refusal."""
        self.check_id(agreement_id)
        try:
            services.answer(self.kind, agreement_id, self.message(), state=state, columns=columns)
        except FspiopError as error:
            if error.code != ErrorCode.MODIFIED_REQUEST.code:
                raise  # other participants must not see that it exists, and get the error at once
            self.refuse(error, agreement_id)
        return taken()
