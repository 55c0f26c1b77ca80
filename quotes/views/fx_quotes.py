"""/fxQuotes (FSPIOP API v2.0)."""

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.fx_quotes import FxConversion, FxQuotePost, FxQuotePut
from fspiop.errors import ErrorCode, FspiopError
from fspiop.time import parse_datetime
from hub.api.openapi import fspiop_schema
from quotes.models import FxQuote
from quotes.views.common import AgreementView


class _FxQuoteView(AgreementView):
    resource = "fxQuotes"
    kind = FxQuote
    id_name = "conversionRequestId"


class FxQuotesView(_FxQuoteView):
    @fspiop_schema("fxQuotes", request=FxQuotePost, answer=202, summary="Request the terms of a conversion")
    def post(self, request: Request) -> HttpResponse:
        body = self.read(FxQuotePost)
        terms = body.conversion_terms
        if terms.initiating_fsp != self.fspiop.source:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "conversionTerms.initiatingFsp: must be the FSPIOP-Source")
        if self.fspiop.destination not in (None, terms.counter_party_fsp):
            raise FspiopError(
                ErrorCode.VALIDATION_ERROR, "conversionTerms.counterPartyFsp: must be the FSPIOP-Destination"
            )
        _check(terms)
        return self.ask(
            body.conversion_request_id,
            to=terms.counter_party_fsp,
            currencies=[(terms.source_amount.currency,), (terms.target_amount.currency,)],
            conversion_id=terms.conversion_id,
            determining_transfer_id=terms.determining_transfer_id,
            expires_at=parse_datetime(terms.expiration),
            details=body,
        )


class FxQuoteView(_FxQuoteView):
    @fspiop_schema("fxQuotes", answer=202, summary="Request the answer to an FX quote again")
    def get(self, request: Request, conversion_request_id: str) -> HttpResponse:
        return self.ask_again(conversion_request_id)

    @fspiop_schema("fxQuotes", request=FxQuotePut, answer=200, summary="Return the terms of a conversion")
    def put(self, request: Request, conversion_request_id: str) -> HttpResponse:
        body = self.read(FxQuotePut)
        _check(body.conversion_terms)
        return self.answer(conversion_request_id, FxQuote.State.ACCEPTED, condition=body.condition)


class FxQuoteErrorView(_FxQuoteView):
    @fspiop_schema("fxQuotes", request=ErrorPut, answer=200, summary="Reject an FX quote")
    def put(self, request: Request, conversion_request_id: str) -> HttpResponse:
        self.read(ErrorPut)
        return self.answer(conversion_request_id, FxQuote.State.REJECTED)


def _check(terms: FxConversion) -> None:
    if terms.source_amount.currency == terms.target_amount.currency:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "conversionTerms.targetAmount.currency: is the source currency")
