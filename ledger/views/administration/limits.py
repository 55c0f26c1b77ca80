"""The views of net debit caps, and of the positions that the caps limit."""

from typing import Any, Literal

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import time
from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.views import Response
from hub.api.administration.whole_numbers_in_bodies import Percentage
from hub.api.openapi import administration_schema
from ledger import accounts_and_funds, queries
from ledger.models import Account
from ledger.views.administration.common import (
    TAG,
    AmountText,
    Currency,
    LedgerAdministrationView,
    amount_of,
    as_number,
    currency_asked_for,
    dfsp_of,
    participant_of,
)

_CAP = "NET_DEBIT_CAP"


class NewLimit(msgspec.Struct, rename="camel"):
    type: Literal["NET_DEBIT_CAP"]
    value: AmountText


class Limit(NewLimit):
    alarm_percentage: Percentage


class InitialLimit(msgspec.Struct, rename="camel"):
    currency: Currency
    limit: NewLimit
    initial_position: AmountText = 0


class ChangedLimit(msgspec.Struct):
    currency: Currency
    limit: Limit


def _show_limit(account: Account) -> dict[str, Any]:
    assert account.net_debit_cap is not None
    return {
        "currency": account.currency,
        "limit": {
            "type": _CAP,
            "value": as_number(account.net_debit_cap),
            "alarmPercentage": account.alarm_percentage,
        },
    }


def _is_about_caps(request: Request) -> bool:
    return request.query_params.get("type") in (None, "", _CAP)


class InitialLimitView(LedgerAdministrationView):
    @administration_schema(
        TAG,
        summary="Set the first limit and activate",
        request=InitialLimit,
        answer=201,
        two_people=("set_initial_limit",),
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        body = self.read(InitialLimit)
        if amount_of(body.initial_position, "initialPosition") != 0:
            raise FspiopError(
                ErrorCode.VALIDATION_ERROR, "initialPosition: must be 0; a position comes from transfers alone"
            )
        dfsp, ndc = dfsp_of(name), amount_of(body.limit.value, "limit.value")
        self.needs_two(
            "set_initial_limit",
            subject=name,
            payload=lambda: {"participant": name, "currency": body.currency, "ndc": ndc},
        )
        accounts_and_funds.set_initial_limit(dfsp, currency=body.currency, ndc=ndc, actor=self.actor)
        return HttpResponse(status=201, content_type="application/json")


class LimitsView(LedgerAdministrationView):
    @administration_schema(TAG, summary="List a participant's limits", query=("currency", "type"))
    def get(self, request: Request, name: str) -> Response:
        positions = queries.positions_of(participant_of(name), currency_asked_for(request))
        shown = [_show_limit(account) for account in positions if account.net_debit_cap is not None]
        return Response(shown if _is_about_caps(request) else [])

    @administration_schema(TAG, summary="Change a net debit cap", request=ChangedLimit, two_people=("change_cap",))
    def put(self, request: Request, name: str) -> Response:
        body = self.read(ChangedLimit)
        dfsp, ndc = dfsp_of(name), amount_of(body.limit.value, "limit.value")
        self.needs_two(
            "change_cap",
            subject=name,
            payload=lambda: {
                "participant": name,
                "currency": body.currency,
                "ndc_before": accounts_and_funds.position_with_cap(dfsp, body.currency).net_debit_cap,
                "ndc": ndc,
                "alarm_percentage": body.limit.alarm_percentage,
            },
        )
        account = accounts_and_funds.change_ndc(
            dfsp,
            currency=body.currency,
            ndc=ndc,
            alarm_percentage=body.limit.alarm_percentage,
            actor=self.actor,
        )
        return Response(_show_limit(account))


class AllLimitsView(LedgerAdministrationView):
    @administration_schema(TAG, summary="List the limits of all participants", query=("currency", "type"))
    def get(self, request: Request) -> Response:
        found = queries.limits(currency_asked_for(request)) if _is_about_caps(request) else []
        return Response([{"name": account.participant.name, **_show_limit(account)} for account in found])


class PositionsView(LedgerAdministrationView):
    @administration_schema(
        TAG, summary="List a participant's positions, or show one currency's position", query=("currency",)
    )
    def get(self, request: Request, name: str) -> Response:
        currency = currency_asked_for(request)
        shown = [
            {
                "currency": account.currency,
                "value": as_number(queries.value_of(account)),
                "changedDate": time.format_datetime(account.changed_at),
            }
            for account in queries.positions_of(participant_of(name), currency)
        ]
        if currency:
            return Response(shown[0] if shown else {})
        return Response(shown)
