"""/participants (FSPIOP API v1.1, section 6.2): finds the DFSP of an alias, and registers a DFSP's own aliases."""

from django.http import HttpResponse
from rest_framework.request import Request

from directory import alias_registry
from directory.aliases import TYPES, Alias
from directory.views.common import AliasView
from fspiop import correlation_ids
from fspiop.bodies.common import PartyIdInfo
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.participants import ParticipantPost, ParticipantPut, ParticipantsPost, ParticipantsPut
from fspiop.errors import ErrorCode, FspiopError
from hub.api import forwarding
from hub.api.openapi import fspiop_schema
from hub.api.views import FspiopView, accepted, taken
from hub.participants import queries as participants
from hub.participants.models import Participant


class ParticipantView(AliasView):
    resource = "participants"

    @fspiop_schema("participants", answer=202, summary="Find the DFSP that serves an alias")
    def get(self, request: Request, **_: str) -> HttpResponse:
        return self.answer_later(self._look_up)

    @fspiop_schema("participants", request=ParticipantPost, answer=202, summary="Register an alias")
    def post(self, request: Request, **_: str) -> HttpResponse:
        body = self.read(ParticipantPost)
        return self.answer_later(lambda: self._register(body.fsp_id, body.currency or ""))

    @fspiop_schema(
        "participants", request=ParticipantPut, answer=200, summary="Change an alias, or return the DFSP that serves it"
    )
    def put(self, request: Request, **_: str) -> HttpResponse:
        body = self.read(ParticipantPut)
        if body.fsp_id is None:
            return taken()  # the callback has no recipient, because the hub never forwards requests of this kind
        fsp_id = body.fsp_id
        self.answer_later(lambda: self._register(fsp_id, body.currency or ""))
        return taken()

    @fspiop_schema("participants", answer=202, summary="Withdraw an alias")
    def delete(self, request: Request, **_: str) -> HttpResponse:
        return self.answer_later(self._withdraw)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        # The hub cannot send a callback to a requester that is not a participant. The reference hub answers an unknown
        # requester with 202 and then drops the request. Provisioning scripts rely on this 202. If callers must
        # authenticate, this hub has already refused an unknown requester.
        if self.request.method == "POST" and getattr(exc, "code", "") == ErrorCode.ID_NOT_FOUND.code:
            return accepted()
        return super().handle_exception(exc)

    def _look_up(self) -> dict[str, object]:
        return {"fspId": alias_registry.owner_of(self.alias, caller=self.caller).name}

    def _register(self, fsp_id: str, currency: str) -> dict[str, object]:
        if fsp_id != self.fspiop.source:
            raise FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, "fspId: must be the FSPIOP-Source")
        alias = Alias(self.alias.type, self.alias.identifier, self.alias.sub_id, currency or self.alias.currency)
        alias_registry.register(alias, _caller(self))
        # This is the form of the reference hub's callback. The specification's form would be {"fspId": ...}.
        answer: dict[str, object] = {"partyList": [_party_id(alias, fsp_id)]}
        return answer | ({"currency": alias.currency} if alias.currency else {})

    def _withdraw(self) -> dict[str, object]:
        alias_registry.withdraw(self.alias, _caller(self))
        # The reference hub returns the name of the withdrawing DFSP. The specification's body would be empty.
        return {"fspId": self.fspiop.source}


class ParticipantErrorView(AliasView):
    resource = "participants"

    @fspiop_schema("participants", request=ErrorPut, answer=200, summary="Report an error about an alias")
    def put(self, request: Request, **_: str) -> HttpResponse:
        self.read(ErrorPut)
        return taken()


class ParticipantsView(FspiopView):
    """POST /participants: one request with many aliases (FSPIOP API v1.1, section 6.2.2.4)."""

    resource = "participants"
    is_bulk = True
    has_large_bodies = True

    @fspiop_schema("participants", request=ParticipantsPost, answer=200, summary="Register many aliases")
    def post(self, request: Request) -> HttpResponse:
        body = self.read(ParticipantsPost)
        path = forwarding.path_of("participants", body.request_id)
        try:
            answer = self._register(body)
            message = forwarding.tell_caller(self, path=path, body=answer, subject=body.request_id, kind="participants")
        except FspiopError as error:
            message = forwarding.refuse_caller(self, error, path=path, subject=body.request_id)
        forwarding.send([message])
        return taken()

    def _register(self, body: ParticipantsPost) -> dict[str, object]:
        currency = body.currency or ""
        aliases = [_alias_of(party, currency) for party in body.party_list]
        own = [alias for alias, party in zip(aliases, body.party_list, strict=True) if self._is_own(party)]
        refused = alias_registry.register_many(own, _caller(self)) if own else {}
        results: list[dict[str, object]] = []
        errors: list[FspiopError] = []
        for alias, party in zip(aliases, body.party_list, strict=True):
            error = refused.get(alias) if self._is_own(party) else FspiopError(ErrorCode.PARTY_NOT_FOUND)
            if error is not None:
                errors.append(error)
            results.append({"partyId": _party_id(alias, party.fsp_id)} | (error.body() if error else {}))
        if len(errors) == len(results) and len({(error.code, error.description) for error in errors}) == 1:
            raise errors[0]  # FSPIOP API v1.1, section 6.2.5.2: the request failed as a whole
        answer: dict[str, object] = {"partyList": results}
        return answer | ({"currency": currency} if currency else {})

    def _is_own(self, party: PartyIdInfo) -> bool:
        return party.fsp_id == self.fspiop.source


class ParticipantsAnswerView(FspiopView):
    """A participant's answer about many aliases. Like the reference hub, this hub accepts an answer about many aliases.
    But this hub never sends the requests to which these answers belong.
    """

    resource = "participants"

    @fspiop_schema("participants", request=ParticipantsPut, answer=200, summary="Return the results for many aliases")
    def put(self, request: Request, request_id: str) -> HttpResponse:
        _check_id(request_id)
        self.read(ParticipantsPut)
        return taken()


class ParticipantsErrorView(FspiopView):
    resource = "participants"

    @fspiop_schema("participants", request=ErrorPut, answer=200, summary="Report an error about many aliases")
    def put(self, request: Request, request_id: str) -> HttpResponse:
        if request_id not in TYPES:
            _check_id(request_id)
        self.read(ErrorPut)
        return taken()


def _check_id(request_id: str) -> None:
    if not correlation_ids.is_correlation_id(request_id):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "requestId: must be a UUID or a ULID")


def _caller(view: FspiopView) -> Participant:
    """Reads the caller from the database, because a disabled participant must not register or withdraw aliases."""
    found = participants.active(view.fspiop.source)
    if found is None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"participant {view.fspiop.source} is not active")
    return found


def _alias_of(party: PartyIdInfo, currency: str) -> Alias:
    return Alias(party.party_id_type, party.party_identifier, party.party_sub_id_or_type or "", currency)


def _party_id(alias: Alias, fsp_id: str | None) -> dict[str, str]:
    found = {"partyIdType": alias.type, "partyIdentifier": alias.identifier}
    if alias.sub_id:
        found["partySubIdOrType"] = alias.sub_id
    return found | ({"fspId": fsp_id} if fsp_id else {})
