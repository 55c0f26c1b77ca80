"""/quotes (FSPIOP API v1.1, section 6.5)."""

from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import ids, strictjson, time
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.errors import ErrorCode, FspiopError
from hub.api import passing
from hub.api.docs import fspiop_schema
from hub.api.views import FspiopView, accepted, taken
from quotes import services
from quotes.models import Quote
from quotes.services import Letter


class _QuoteView(FspiopView):
    resource = "quotes"

    def letter(self) -> Letter:
        digest = strictjson.digest(strictjson.loads(self.raw_body))
        return Letter(self.caller, self.raw_body, self.forwarded_headers(), digest)

    def refuse(self, error: FspiopError, quote_id: str) -> None:
        """Tells the caller by PUT /quotes/{ID}/error why nothing came of it."""
        path = passing.path_of("quotes", quote_id)
        passing.send([passing.refuse_caller(self, error, path=path, subject=quote_id)])


class QuotesView(_QuoteView):
    @fspiop_schema("quotes", request=QuotePost, answer=202, summary="Ask for the terms of a payment")
    def post(self, request: Request) -> HttpResponse:
        if not self.fspiop.destination:
            raise FspiopError(ErrorCode.MISSING_ELEMENT, "/header must have required property 'fspiop-destination'")
        body = self.read(QuotePost)
        try:
            payee = passing.destination_of(self)
            if payee.pk == self.caller:
                raise FspiopError(ErrorCode.VALIDATION_ERROR, "FSPIOP-Destination is the sender itself")
            services.ask(
                services.Request(
                    quote_id=body.quote_id,
                    transaction_id=body.transaction_id,
                    payee=payee,
                    expires_at=time.parse_datetime(body.expiration) if body.expiration else None,
                ),
                self.letter(),
                send=passing.send,
            )
        except FspiopError as error:
            self.refuse(error, body.quote_id)
        return accepted()


class QuoteView(_QuoteView):
    @fspiop_schema("quotes", answer=202, summary="Ask for a quote's answer again")
    def get(self, request: Request, quote_id: str) -> HttpResponse:
        _check_id(quote_id)
        path = passing.path_of("quotes", quote_id)
        try:
            quote = services.find(quote_id, asker_id=self.caller)
            if quote.state == Quote.State.PENDING or self.caller != quote.payer_id:
                to = quote.payee if self.caller == quote.payer_id else quote.payer
                message = passing.pass_on(
                    self, to=to, path=path, subject=quote_id, kind="quote-state", error_path=path + "/error"
                )
            else:
                message = services.answer_again(quote)
        except FspiopError as error:
            message = passing.refuse_caller(self, error, path=path, subject=quote_id)
        passing.send([message])
        return accepted()

    @fspiop_schema("quotes", request=QuotePut, answer=200, summary="Answer with the terms")
    def put(self, request: Request, quote_id: str) -> HttpResponse:
        body = self.read(QuotePut)
        return self._answer(quote_id, Quote.State.ACCEPTED, body.condition)

    def _answer(self, quote_id: str, state: Quote.State, condition: str | None) -> HttpResponse:
        _check_id(quote_id)
        try:
            services.answer(quote_id, self.letter(), state=state, condition=condition, send=passing.send)
        except FspiopError as error:
            if error.code != ErrorCode.MODIFIED_REQUEST.code:
                raise  # a stranger learns nothing, and is told so at once
            self.refuse(error, quote_id)
        return taken()


class QuoteErrorView(QuoteView):
    http_method_names = ["put"]

    @fspiop_schema("quotes", request=ErrorPut, answer=200, summary="Refuse a quote")
    def put(self, request: Request, quote_id: str) -> HttpResponse:
        self.read(ErrorPut)
        return self._answer(quote_id, Quote.State.REJECTED, None)


def _check_id(quote_id: str) -> None:
    if not ids.is_correlation_id(quote_id):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "quoteId: must be a UUID or a ULID")
