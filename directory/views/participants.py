"""/participants (FSPIOP API v1.1, section 6.2): which DFSP serves an alias, and registering one's own."""

from django.http import HttpResponse
from rest_framework.request import Request

from directory import oracle
from directory.oracle import Alias
from directory.views.common import TYPES, AliasView
from fspiop import ids
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.participants import ParticipantPost, ParticipantPut, ParticipantsPost, ParticipantsPut
from fspiop.errors import ErrorCode, FspiopError, error_body
from hub.api import passing
from hub.api.docs import fspiop_schema
from hub.api.views import FspiopView, taken


class ParticipantView(AliasView):
    resource = "participants"

    @fspiop_schema("participants", answer=202, summary="Ask which DFSP serves an alias")
    def get(self, request: Request, **_: str) -> HttpResponse:
        return self.answer_later(self._look_up)

    @fspiop_schema("participants", request=ParticipantPost, answer=202, summary="Register an alias")
    def post(self, request: Request, **_: str) -> HttpResponse:
        body = self.read(ParticipantPost)
        return self.answer_later(lambda: self._register(body.fsp_id, body.currency or ""))

    @fspiop_schema("participants", request=ParticipantPut, answer=200, summary="Change an alias, or answer a request")
    def put(self, request: Request, **_: str) -> HttpResponse:
        body = self.read(ParticipantPut)
        if body.fsp_id is None:
            return taken()  # an answer to nobody: the hub asks no participant for this
        fsp_id = body.fsp_id
        self.answer_later(lambda: self._register(fsp_id, body.currency or ""))
        return taken()

    @fspiop_schema("participants", answer=202, summary="Withdraw an alias")
    def delete(self, request: Request, **_: str) -> HttpResponse:
        return self.answer_later(self._withdraw)

    def _look_up(self) -> dict[str, object]:
        oracle.check_type(self.alias)
        owner = oracle.owner_of(self.alias)
        if owner is None:
            raise FspiopError(ErrorCode.PARTY_NOT_FOUND)
        return {"fspId": owner.name}

    def _register(self, fsp_id: str, currency: str) -> dict[str, object]:
        oracle.check_type(self.alias)
        if fsp_id != self.fspiop.source:
            raise FspiopError(ErrorCode.ADD_PARTY_INFO_ERROR, "fspId: a participant registers its own parties only")
        alias = Alias(self.alias.type, self.alias.identifier, self.alias.sub_id, currency or self.alias.currency)
        oracle.register(alias, fsp_id=self.caller)
        return _registered([alias], fsp_id, alias.currency)

    def _withdraw(self) -> dict[str, object]:
        if not oracle.serves(self.alias.type):
            raise FspiopError(ErrorCode.DELETE_PARTY_INFO_ERROR, f"Oracle type: {self.alias.type} not found")
        if not oracle.withdraw(self.alias, fsp_id=self.caller):
            raise FspiopError(ErrorCode.PARTY_NOT_FOUND)
        return {"fspId": self.fspiop.source}


class ParticipantErrorView(AliasView):
    resource = "participants"

    @fspiop_schema("participants", request=ErrorPut, answer=200, summary="Refuse a request about an alias")
    def put(self, request: Request, **_: str) -> HttpResponse:
        self.read(ErrorPut)
        return taken()


class ParticipantsView(FspiopView):
    """Many aliases at once (FSPIOP API v1.1, section 6.2.2.4)."""

    resource = "participants"

    @fspiop_schema("participants", request=ParticipantsPost, answer=200, summary="Register many aliases")
    def post(self, request: Request) -> HttpResponse:
        body = self.read(ParticipantsPost)
        path = passing.path_of("participants", body.request_id)
        results: list[dict[str, object]] = []
        own: list[Alias] = []
        for party in body.party_list:
            alias = Alias(
                party.party_id_type, party.party_identifier, party.party_sub_id_or_type or "", body.currency or ""
            )
            if party.fsp_id != self.fspiop.source:
                results.append(_failed(alias, ErrorCode.PARTY_NOT_FOUND, "fspId is not the sender's"))
            elif not oracle.serves(alias.type):
                results.append(_failed(alias, ErrorCode.ADD_PARTY_INFO_ERROR, f"Oracle type:{alias.type} not found"))
            else:
                own.append(alias)
        elsewhere = set(oracle.register_many(own, fsp_id=self.caller))
        for alias in own:
            if alias in elsewhere:
                results.append(
                    _failed(alias, ErrorCode.ADD_PARTY_INFO_ERROR, "this alias is registered by another participant")
                )
            else:
                results.append({"partyId": _party_id(alias, self.fspiop.source)})
        answer: dict[str, object] = {"partyList": results}
        if body.currency:
            answer["currency"] = body.currency
        passing.send([passing.tell_caller(self, path=path, body=answer, subject=body.request_id, kind="participants")])
        return taken()


class ParticipantsAnswerView(FspiopView):
    """A participant's own answer about many aliases: taken, as the reference hub takes it; the hub asked for none."""

    resource = "participants"

    @fspiop_schema("participants", request=ParticipantsPut, answer=200, summary="Answer about many aliases")
    def put(self, request: Request, request_id: str) -> HttpResponse:
        _check_id(request_id)
        self.read(ParticipantsPut)
        return taken()


class ParticipantsErrorView(FspiopView):
    resource = "participants"

    @fspiop_schema("participants", request=ErrorPut, answer=200, summary="Refuse a request about many aliases")
    def put(self, request: Request, request_id: str) -> HttpResponse:
        if request_id not in TYPES:
            _check_id(request_id)
        self.read(ErrorPut)
        return taken()


def _check_id(request_id: str) -> None:
    if not ids.is_correlation_id(request_id):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "requestId: must be a UUID or a ULID")


def _party_id(alias: Alias, fsp_id: str) -> dict[str, str]:
    found = {"partyIdType": alias.type, "partyIdentifier": alias.identifier, "fspId": fsp_id}
    if alias.sub_id:
        found["partySubIdOrType"] = alias.sub_id
    return found


def _registered(aliases: list[Alias], fsp_id: str, currency: str) -> dict[str, object]:
    # The form of the reference hub's answer; the specification's would be {"fspId": ...}.
    answer: dict[str, object] = {"partyList": [_party_id(alias, fsp_id) for alias in aliases]}
    if currency:
        answer["currency"] = currency
    return answer


def _failed(alias: Alias, code: ErrorCode, detail: str) -> dict[str, object]:
    return {
        "partyId": {
            "partyIdType": alias.type,
            "partyIdentifier": alias.identifier,
            **({"partySubIdOrType": alias.sub_id} if alias.sub_id else {}),
        },
        **error_body(code.code, f"{code.text} - {detail}"),
    }
