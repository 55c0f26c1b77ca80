"""/parties (FSPIOP API v1.1, section 6.3): forwards lookups to the DFSP of an alias, and forwards the answers."""

from django.http import HttpResponse
from rest_framework.request import Request

from directory import alias_registry, party_lookups
from directory.views.common import AliasView
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.parties import PartyPut
from fspiop.errors import FspiopError
from hub.api import forwarding
from hub.api.docs import fspiop_schema
from hub.api.views import accepted, taken
from hub.outbox.messages import Outgoing
from hub.participants.queries import Party


class PartyView(AliasView):
    resource = "parties"

    @fspiop_schema("parties", answer=202, summary="Look up a party")
    def get(self, request: Request, **_: str) -> HttpResponse:
        try:
            party_lookups.ask(self._question_to(self._owner()), version=self.accepted_version)
        except FspiopError as error:
            forwarding.send([forwarding.refuse_caller(self, error, path=self.path, subject=self.subject)])
        return accepted()

    @fspiop_schema("parties", request=PartyPut, answer=200, summary="Return the party of a lookup")
    def put(self, request: Request, **_: str) -> HttpResponse:
        self.read(PartyPut)
        return _bring_back(self, self.path)

    def _owner(self) -> Party:
        if self.fspiop.destination:
            asker, owner = forwarding.parties_of(self, self.fspiop.destination)
        else:
            asker, owner = forwarding.caller_of(self), alias_registry.owner_of(self.alias, caller=self.caller)
        _check_some_payment(asker, owner)
        return owner

    def _question_to(self, owner: Party) -> Outgoing:
        query = f"?currency={self.alias.currency}" if self.alias.currency else ""
        return forwarding.pass_on(
            self,
            to=owner,
            path=self.signed_uri or self.path + query,
            # Two lookups of the same alias by different DFSPs do not wait for each other.
            subject=forwarding.subject_of(f"{self.path} for {self.fspiop.source}"),
            kind="party-request",
            error_path=self.path + "/error",
        )


def _check_some_payment(asker: Party, owner: Party) -> None:
    """Refuses the lookup if neither party may pay the other: it may begin a payment, or a request to be paid."""
    if not (asker.may_receive and owner.may_send):
        forwarding.check_payment(payer=asker, payee=owner)


class PartyErrorView(AliasView):
    resource = "parties"

    @fspiop_schema("parties", request=ErrorPut, answer=200, summary="Report an error about a lookup")
    def put(self, request: Request, **_: str) -> HttpResponse:
        self.read(ErrorPut)
        return _bring_back(self, self.path + "/error")


def _bring_back(view: AliasView, path: str) -> HttpResponse:
    to = forwarding.destination_of(view)
    subject = forwarding.subject_of(f"{view.path} for {to.name}")
    # A signed message is forwarded to the path as its signer encoded it, because DFSPs encode aliases differently.
    reply = forwarding.pass_on(view, to=to, path=view.signed_uri or path, subject=subject, kind="party-answer")
    party_lookups.answer(reply, answerer_id=view.caller)
    return taken()
