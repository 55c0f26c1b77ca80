"""The views of the conversions that a participant offers, in the hub's administration API."""

from typing import Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from hub.api.administration.views import Response
from hub.api.openapi import administration_schema
from hub.participants import services as participants
from hub.participants.models import CurrencyPair
from ledger.views.administration.common import TAG, Currency, LedgerAdministrationView, dfsp_of


class Pair(msgspec.Struct, rename="camel"):
    source_currency: Currency
    target_currency: Currency


def _show(pair: CurrencyPair) -> dict[str, Any]:
    return {"sourceCurrency": pair.source_currency, "targetCurrency": pair.target_currency}


class CurrencyPairsView(LedgerAdministrationView):
    @administration_schema(TAG, summary="List the conversions that a participant offers")
    def get(self, request: Request, name: str) -> Response:
        return Response([_show(pair) for pair in dfsp_of(name).currency_pairs.all()])

    @administration_schema(
        TAG,
        summary="Register a participant as an FXP for a conversion",
        request=Pair,
        answer=201,
        two_people=("offer_pair",),
    )
    def post(self, request: Request, name: str) -> Response:
        body, dfsp = self.read(Pair), dfsp_of(name)
        self.needs_two(
            "offer_pair",
            subject=name,
            payload=lambda: {"participant": name, "source": body.source_currency, "target": body.target_currency},
        )
        pair = participants.offer_pair(
            dfsp,
            source_currency=body.source_currency,
            target_currency=body.target_currency,
            actor=self.actor,
        )
        return Response(_show(pair), status=201)


class CurrencyPairView(LedgerAdministrationView):
    @administration_schema(
        TAG, summary="Remove a conversion that a participant offers", answer=204, two_people=("withdraw_pair",)
    )
    def delete(self, request: Request, name: str, source_currency: str, target_currency: str) -> HttpResponse:
        dfsp = dfsp_of(name)
        self.needs_two(
            "withdraw_pair",
            subject=name,
            payload=lambda: {"participant": name, "source": source_currency, "target": target_currency},
        )
        participants.withdraw_pair(
            dfsp, source_currency=source_currency, target_currency=target_currency, actor=self.actor
        )
        return HttpResponse(status=204)
