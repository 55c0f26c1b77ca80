"""The base class for the views of all agreements. The class has methods for requests, answers, repeated requests and
refusals.

In each view, the attribute `model` is the Django model for one kind of agreement.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.http import HttpResponse

from fspiop.bodies.bulk_quotes import BulkQuotePost
from fspiop.bodies.fx_quotes import FxQuotePost
from fspiop.bodies.quotes import QuotePost
from fspiop.errors import ErrorCode, FspiopError
from hub.agreement_outcomes import Forwarded, NotObeyed, Outcome
from hub.api import forwarding
from hub.api.bulk_concurrency import Answered
from hub.api.views import accepted, taken
from quotes import services
from quotes.commands_and_facts import AskTerms, GiveTerms, State
from quotes.models import Agreement
from quotes.views.message_view import MessageView

Currencies = tuple[str, ...]
"""One or several currencies. The payee needs an account in only one of these currencies."""


class AgreementView(MessageView):
    kind: ClassVar[type[Agreement]]

    def ask(
        self,
        agreement_id: str,
        *,
        to: str | None = None,
        named: Mapping[str, str | None] | None = None,
        currencies: Iterable[Currencies],
        expires_at: datetime | None,
        details: QuotePost | BulkQuotePost | FxQuotePost,
        **columns: Any,
    ) -> HttpResponse:
        """POST: stores the request and forwards it to the participant `to`. If `to` is None, the header
        FSPIOP-Destination names the recipient.

        If the hub refuses the request, the view sends an error callback. `AskTerms` explains `named` and `currencies`.
        """
        command = AskTerms(
            resource=self.resource,
            agreement_id=agreement_id,
            requester=self.requester,
            message=self.message(),
            to=to or self.fspiop.destination,
            named=named or {},
            currencies=tuple(currencies),
            expires_at=expires_at,
            columns=columns,
            details=details,
        )
        forwarding.check_obeyed(self, services.ask(command))
        return accepted()

    def ask_again(self, agreement_id: str) -> HttpResponse:
        """GET: sends the stored answer to the payer. If there is no answer yet, or if the payee sent the GET, forwards
        the GET to the other party."""
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

    def answer(
        self, agreement_id: str, state: Agreement.State, *, expires_at: datetime | None = None, **columns: Any
    ) -> HttpResponse:
        """PUT: stores and forwards the payee's terms, or a refusal from the payer or the payee."""
        self.check_id(agreement_id)
        command = GiveTerms(
            resource=self.resource,
            agreement_id=agreement_id,
            sender=self.requester,
            message=self.message(),
            state=State(state),
            not_found=self.kind.not_found,
            columns=columns,
            expires_at=expires_at,
        )
        outcome = services.answer(command)
        self.answered = _answered(outcome)
        forwarding.check_obeyed(self, outcome)
        return taken()


def _answered(outcome: Outcome) -> Answered:
    """Returns the kind of bulk quote to which an answer with this outcome belongs: an open bulk quote, an ended bulk
    quote, or no bulk quote. A late answer belongs to an ended bulk quote."""
    match outcome:
        case Forwarded():
            return Answered.BULK
        case NotObeyed(error=error) if error is not ErrorCode.QUOTE_EXPIRED:
            return Answered.NOTHING
        case _:
            return Answered.ENDED_BULK
