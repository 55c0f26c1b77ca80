"""/bulkQuotes (FSPIOP API v1.1, section 6.9)."""

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop.bodies.bulk_quotes import BulkQuotePost, BulkQuotePut
from fspiop.bodies.errors import ErrorPut
from fspiop.errors import ErrorCode, FspiopError
from fspiop.ilp import packet_digest
from fspiop.time import parse_datetime
from hub.api.openapi import fspiop_schema
from quotes import bulk_quote_terms
from quotes.bulk_quote_terms import TermsOfPayment, amount_of
from quotes.models import BulkQuote
from quotes.terms_digest import digest_of
from quotes.views.common import AgreementView
from rules import new_name_screening


class _BulkQuoteView(AgreementView):
    resource = "bulkQuotes"
    kind = BulkQuote
    id_name = "bulkQuoteId"


class BulkQuotesView(_BulkQuoteView):
    is_bulk = True
    has_large_bodies = True

    @fspiop_schema("bulkQuotes", request=BulkQuotePost, answer=202, summary="Request the terms of many payments")
    def post(self, request: Request) -> HttpResponse:
        body = self.read(BulkQuotePost)
        if body.payer.party_id_info.fsp_id not in (None, self.fspiop.source):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "payer.partyIdInfo.fspId: must be the FSPIOP-Source")
        new_name_screening.screen(body.payer, self.fspiop.source)
        return self.ask(
            body.bulk_quote_id,
            named={
                f"individualQuotes[{number}].payee.partyIdInfo.fspId": quote.payee.party_id_info.fsp_id
                for number, quote in enumerate(body.individual_quotes)
            },
            currencies=[
                (currency,) for currency in sorted({quote.amount.currency for quote in body.individual_quotes})
            ],
            expires_at=parse_datetime(body.expiration) if body.expiration else None,
            details=body,
        )


class BulkQuoteView(_BulkQuoteView):
    is_bulk = True
    has_large_bodies = True

    @fspiop_schema("bulkQuotes", answer=202, summary="Request the answer to a bulk quote again")
    def get(self, request: Request, bulk_quote_id: str) -> HttpResponse:
        return self.ask_again(bulk_quote_id)

    @fspiop_schema("bulkQuotes", request=BulkQuotePut, answer=200, summary="Return the terms of each payment")
    def put(self, request: Request, bulk_quote_id: str) -> HttpResponse:
        body = self.read(BulkQuotePut)
        terms = _terms_in(body)
        return self.answer(
            bulk_quote_id,
            BulkQuote.State.ACCEPTED,
            terms=[each.terms for each in terms],
            rule_terms=bulk_quote_terms.to_bytes(terms),
        )


class BulkQuoteErrorView(_BulkQuoteView):
    @fspiop_schema("bulkQuotes", request=ErrorPut, answer=200, summary="Reject a bulk quote")
    def put(self, request: Request, bulk_quote_id: str) -> HttpResponse:
        self.read(ErrorPut)
        return self.answer(bulk_quote_id, BulkQuote.State.REJECTED)


def _terms_in(body: BulkQuotePut) -> list[TermsOfPayment]:
    return [
        TermsOfPayment(
            digest_of(result.condition, packet_digest(result.ilp_packet)),
            result.quote_id,
            amount_of(result.transfer_amount),
            result.transfer_amount.currency if result.transfer_amount else None,
        )
        for result in body.individual_quote_results or []
        if result.condition is not None and result.ilp_packet is not None
    ]
