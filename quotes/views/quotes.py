"""/quotes (FSPIOP API v1.1, section 6.5)."""

from collections.abc import Iterator

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.errors import ErrorCode, FspiopError
from fspiop.ilp import packet_digest
from fspiop.time import parse_datetime
from hub.api.openapi import fspiop_schema
from hub.api.views import taken
from quotes.bulk_quote_terms import amount_of
from quotes.models import Quote
from quotes.views.common import AgreementView, Currencies
from rules import new_name_screening


class _QuoteView(AgreementView):
    resource = "quotes"
    kind = Quote
    id_name = "quoteId"


class QuotesView(_QuoteView):
    @fspiop_schema("quotes", request=QuotePost, answer=202, summary="Request the terms of a payment")
    def post(self, request: Request) -> HttpResponse:
        body = self.read(QuotePost)
        if body.payer.party_id_info.fsp_id not in (None, self.fspiop.source):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payer.partyIdInfo.fspId: must be the FSPIOP-Source")
        new_name_screening.screen(body.payer, self.fspiop.source)
        return self.ask(
            body.quote_id,
            named={"payee.partyIdInfo.fspId": body.payee.party_id_info.fsp_id},
            currencies=_currencies(body),
            transaction_id=body.transaction_id,
            expires_at=parse_datetime(body.expiration) if body.expiration else None,
            details=body,
        )


def _currencies(body: QuotePost) -> Iterator[Currencies]:
    """Yields sets of currencies. The payee of a quote must have an account in at least one currency of each set.

    A payee that converts the money can have an account in another currency. If the payee has not named a currency yet,
    the set is empty. The payee then needs an account in any one currency.
    """
    if body.converter != "PAYEE":
        yield (body.amount.currency,)
    elif body.currency_conversion is not None:
        yield (body.amount.currency, body.currency_conversion.target_amount.currency)
    else:
        yield ()


class QuoteView(_QuoteView):
    @fspiop_schema("quotes", answer=202, summary="Request the answer to a quote again")
    def get(self, request: Request, quote_id: str) -> HttpResponse:
        return self.ask_again(quote_id)

    @fspiop_schema("quotes", request=QuotePut, answer=200, summary="Return the terms")
    def put(self, request: Request, quote_id: str) -> HttpResponse:
        body = self.read(QuotePut)
        if "vnd.interoperability" in self.request.META.get("HTTP_ACCEPT", ""):
            # FSPIOP API v1.1, table 1: a callback has no Accept header. The reference hub also refuses such a header
            # with an error callback. HTTP clients add "*/*", so the hub allows this value.
            error = FspiopError(ErrorCode.VALIDATION_ERROR, 'a callback must not have an "accept" header')
            self.refuse(error, quote_id)
            return taken()
        expires_at = parse_datetime(body.expiration)
        return self.answer(
            quote_id,
            Quote.State.ACCEPTED,
            expires_at=expires_at,
            terms_expire_at=expires_at,
            condition=body.condition,
            packet_sha256=packet_digest(body.ilp_packet),
            transfer_amount=amount_of(body.transfer_amount),
            transfer_currency=body.transfer_amount.currency,
        )


class QuoteErrorView(_QuoteView):
    @fspiop_schema("quotes", request=ErrorPut, answer=200, summary="Reject a quote")
    def put(self, request: Request, quote_id: str) -> HttpResponse:
        self.read(ErrorPut)
        return self.answer(quote_id, Quote.State.REJECTED)
