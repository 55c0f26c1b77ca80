"""/parties (FSPIOP API v1.1, section 6.3): forwards lookups to the DFSP of an alias, and forwards the answers."""

from dataclasses import replace

from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from directory import alias_registry, party_lookups, trial_lookups
from directory.lookup_commands import AnswerParty, AskParty
from directory.views.common import AliasView
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.parties import PartyPut
from fspiop.errors import ErrorCode, FspiopError
from hub import sql_execution
from hub.agreement_outcomes import AtOracles
from hub.api import forwarding, lookup_admission
from hub.api.openapi import fspiop_schema
from hub.api.views import accepted, taken
from hub.outbox.messages import ReceivedMessage
from rules import new_name_screening


class PartyView(AliasView):
    resource = "parties"

    @fspiop_schema("parties", answer=202, summary="Look up a party")
    def get(self, request: Request, **_: str) -> HttpResponse:
        lookup_admission.check(self.caller)
        question = self._question()
        outcome = party_lookups.ask(question)
        if isinstance(outcome, AtOracles):
            try:
                owner = alias_registry.owner_of(self.alias, caller=self.caller)
            except FspiopError as error:
                forwarding.send([forwarding.refuse_caller(self, error, path=self.path, subject=self.subject)])
                return accepted()
            sql_execution.give_back()
            outcome = party_lookups.ask(replace(question, owner=owner.name))
        forwarding.check_obeyed(self, outcome)
        return accepted()

    @fspiop_schema("parties", request=PartyPut, answer=200, summary="Return the party of a lookup")
    def put(self, request: Request, **_: str) -> HttpResponse:
        body = self.read(PartyPut)
        if self.fspiop.destination == settings.HUB_NAME:
            is_asked = trial_lookups.take_answer(self.caller, self.fspiop.source, self.alias, body)
            return _of_trial(is_asked)
        response = _bring_back(self, self.path)
        new_name_screening.screen(body.party, self.fspiop.source)
        return response

    def _question(self) -> AskParty:
        query = f"?currency={self.alias.currency}" if self.alias.currency else ""
        return AskParty(
            requester=self.requester,
            alias=self.alias,
            destination=self.fspiop.destination,
            owner=None,
            message=ReceivedMessage(self.raw_body, self.forwarded_headers()),
            path=self.path,
            forwarded_path=self.signed_uri or self.path + query,
            # Two lookups of the same alias by different DFSPs do not wait for each other.
            subject=forwarding.subject_of(f"{self.path} for {self.fspiop.source}"),
            refusal_subject=self.subject,
        )


class PartyErrorView(AliasView):
    resource = "parties"

    @fspiop_schema("parties", request=ErrorPut, answer=200, summary="Report an error about a lookup")
    def put(self, request: Request, **_: str) -> HttpResponse:
        body = self.read(ErrorPut)
        if self.fspiop.destination == settings.HUB_NAME:
            code = body.error_information.error_code
            return _of_trial(trial_lookups.take_error(self.caller, self.alias, code))
        return _bring_back(self, self.path + "/error")


def _of_trial(is_asked: bool) -> HttpResponse:
    """Responds to an answer whose FSPIOP-Destination is the hub itself."""
    if not is_asked:
        raise FspiopError(ErrorCode.CLIENT_ERROR, "the hub has not requested this party from the sender")
    return taken()


def _bring_back(view: AliasView, path: str) -> HttpResponse:
    to = view.fspiop.destination
    answer = AnswerParty(
        sender_id=view.caller,
        destination=to,
        message=ReceivedMessage(view.raw_body, view.forwarded_headers()),
        # DFSPs encode aliases in different ways, so the hub forwards a signed message with the path exactly as the
        # signer encoded it.
        path=view.signed_uri or path,
        subject=forwarding.subject_of(f"{view.path} for {to}"),
    )
    forwarding.check_obeyed(view, party_lookups.answer(answer))
    return taken()
