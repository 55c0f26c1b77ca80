"""The views of participants and their callback addresses, in the hub's administration API."""

from typing import Annotated, Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import time
from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.views import Response
from hub.api.openapi import administration_schema
from hub.participants import services as participants
from hub.participants.models import Participant
from ledger import accounts_and_funds
from ledger.views.administration.common import (
    TAG,
    Currency,
    LedgerAdministrationView,
    Name,
    dfsp_of,
    participant_of,
)

_IS_PROXY = {"": False, "0": False, "false": False, "1": True, "true": True}


class NewParticipant(msgspec.Struct, rename="camel"):
    name: Name
    currency: Currency
    is_proxy: bool = False


class Activity(msgspec.Struct, rename="camel"):
    is_active: bool


class NewEndpoint(msgspec.Struct):
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    value: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


def show_participant(participant: Participant) -> dict[str, Any]:
    return {
        "name": participant.name,
        "id": participant.name,
        "created": time.format_datetime(participant.created_at),
        "isActive": int(participant.is_active),
        "links": {"self": f"/participants/{participant.name}"},
        "isProxy": int(participant.is_proxy),
        "accounts": [
            {
                "id": account.pk,
                "ledgerAccountType": account.type,
                "currency": account.currency,
                "isActive": int(account.is_active),
                "createdBy": "hub",
            }
            for account in sorted(participant.accounts.all(), key=lambda account: account.pk)
        ],
    }


class ParticipantsView(LedgerAdministrationView):
    @administration_schema(TAG, summary="List all participants", query=("isProxy",))
    def get(self, request: Request) -> Response:
        found = Participant.objects.prefetch_related("accounts")
        is_proxy = _IS_PROXY.get(request.query_params.get("isProxy", "").lower())
        if is_proxy is None:
            raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "isProxy: must be true or false")
        if is_proxy:
            found = found.filter(is_proxy=True)
        return Response([show_participant(participant) for participant in found])

    @administration_schema(
        TAG,
        summary="Register a participant, or add a currency to a participant",
        request=NewParticipant,
        answer=201,
        two_people=("register_participant",),
    )
    def post(self, request: Request) -> Response:
        body = self.read(NewParticipant)
        self.needs_two(
            "register_participant",
            subject=body.name,
            payload=lambda: {"participant": body.name, "currency": body.currency, "is_proxy": body.is_proxy},
        )
        participant = accounts_and_funds.register_participant(
            name=body.name, currency=body.currency, is_proxy=body.is_proxy, actor=self.actor
        )
        return Response(show_participant(participant), status=201)


class ParticipantView(LedgerAdministrationView):
    @administration_schema(TAG, summary="Show a participant")
    def get(self, request: Request, name: str) -> Response:
        return Response(show_participant(participant_of(name)))

    @administration_schema(TAG, summary="Enable or disable a participant", request=Activity, two_people=("set_active",))
    def put(self, request: Request, name: str) -> Response:
        body, dfsp = self.read(Activity), dfsp_of(name)
        self.needs_two(
            "set_active",
            subject=name,
            payload=lambda: {"participant": name, "before": dfsp.is_active, "is_active": body.is_active},
        )
        participant = accounts_and_funds.set_participant_active(dfsp, is_active=body.is_active, actor=self.actor)
        return Response(show_participant(participant))


class EndpointsView(LedgerAdministrationView):
    @administration_schema(TAG, summary="List a participant's endpoints, or show one type's endpoint", query=("type",))
    def get(self, request: Request, name: str) -> Response:
        found = [{"type": endpoint.type, "value": endpoint.value} for endpoint in participant_of(name).endpoints.all()]
        wanted = request.query_params.get("type")
        if wanted:
            return Response(next((endpoint for endpoint in found if endpoint["type"] == wanted), {}))
        return Response(found)

    @administration_schema(
        TAG, summary="Add or replace an endpoint", request=NewEndpoint, answer=201, two_people=("set_endpoint",)
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        body, participant = self.read(NewEndpoint), participant_of(name)
        self.needs_two(
            "set_endpoint",
            subject=name,
            payload=lambda: {
                "participant": name,
                "type": body.type,
                "before": dict(participant.endpoints.values_list("type", "value")).get(body.type, ""),
                "value": body.value,
            },
        )
        participants.set_endpoint(participant, endpoint_type=body.type, value=body.value, actor=self.actor)
        return HttpResponse(status=201, content_type="application/json")
