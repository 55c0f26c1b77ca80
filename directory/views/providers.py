"""/services/FXP (FSPIOP API v2.0): the participants that convert currencies.

The hub answers from the data that operators have stored about participants. A participant can also send PUT
/services/FXP. The hub ignores the content of this PUT, so no participant can make itself an FXP.
"""

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import money
from fspiop.bodies.services import MAX_PROVIDERS, ServicesFxpPut
from fspiop.errors import ErrorCode, FspiopError
from hub.api import forwarding
from hub.api.openapi import fspiop_schema
from hub.api.views import FspiopView, accepted, taken
from hub.participants import queries


class _ProvidersView(FspiopView):
    resource = "services"

    def tell(self, path: str, providers: list[str]) -> HttpResponse:
        body = {"providers": providers[:MAX_PROVIDERS]}
        subject = forwarding.subject_of(path)
        forwarding.send([forwarding.tell_caller(self, path=path, body=body, subject=subject, kind="providers")])
        return accepted()

    def take(self) -> HttpResponse:
        self.read(ServicesFxpPut)
        return taken()


class ProvidersView(_ProvidersView):
    @fspiop_schema("services", answer=202, summary="Find the participants that convert currencies")
    def get(self, request: Request) -> HttpResponse:
        return self.tell("/services/FXP", queries.providers())

    @fspiop_schema(
        "services", request=ServicesFxpPut, answer=200, summary="Return the participants that convert currencies"
    )
    def put(self, request: Request) -> HttpResponse:
        return self.take()


class ProvidersOfPairView(_ProvidersView):
    @fspiop_schema("services", answer=202, summary="Find the participants that convert one currency into another")
    def get(self, request: Request, source_currency: str, target_currency: str) -> HttpResponse:
        _check(source_currency, target_currency)
        path = forwarding.path_of("services", "FXP", source_currency, target_currency)
        return self.tell(path, queries.providers(source_currency, target_currency))

    @fspiop_schema(
        "services",
        request=ServicesFxpPut,
        answer=200,
        summary="Return the participants that convert one currency into another",
    )
    def put(self, request: Request, source_currency: str, target_currency: str) -> HttpResponse:
        _check(source_currency, target_currency)
        return self.take()


def _check(source_currency: str, target_currency: str) -> None:
    for name, currency in (("SourceCurrency", source_currency), ("TargetCurrency", target_currency)):
        if currency not in money.CURRENCIES:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: is not a currency")
