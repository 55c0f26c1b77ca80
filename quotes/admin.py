from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from quotes.models import BulkQuote, BulkQuoteItem, FxQuote, Question, Quote, TransactionRequest


class _AgreementAdmin(ReadOnlyAdmin):
    list_filter = ["state"]
    list_select_related = ["payer", "payee"]
    not_listed = ["request_headers", "response_headers"]
    exclude = ["request", "response", "request_digest", "response_digest", "packet_sha256", "terms"]


@admin.register(Quote)
class QuoteAdmin(_AgreementAdmin):
    list_display = ["quote_id", "payer", "payee", "state", "expires_at", "created_at"]
    search_fields = ["=quote_id", "=transaction_id"]


@admin.register(BulkQuote)
class BulkQuoteAdmin(_AgreementAdmin):
    list_display = ["bulk_quote_id", "payer", "payee", "state", "expires_at", "created_at"]
    search_fields = ["=bulk_quote_id"]


@admin.register(BulkQuoteItem)
class BulkQuoteItemAdmin(ReadOnlyAdmin):
    list_display = ["quote_id", "transaction_id", "bulk_quote_id", "place", "currency", "created_at"]
    search_fields = ["=quote_id", "=transaction_id", "=bulk_quote__bulk_quote_id"]
    exclude = ["payer_alias", "payee_alias"]


@admin.register(FxQuote)
class FxQuoteAdmin(_AgreementAdmin):
    list_display = ["conversion_request_id", "payer", "payee", "state", "expires_at", "created_at"]
    search_fields = ["=conversion_request_id", "=conversion_id", "=determining_transfer_id"]


@admin.register(TransactionRequest)
class TransactionRequestAdmin(_AgreementAdmin):
    list_display = ["transaction_request_id", "payee", "payer", "state", "expires_at", "created_at"]
    search_fields = ["=transaction_request_id"]


@admin.register(Question)
class QuestionAdmin(ReadOnlyAdmin):
    list_display = ["resource", "subject", "asker", "asked", "asked_at", "answer_by", "ended_at"]
    list_filter = ["resource"]
    list_select_related = ["asker", "asked"]
    search_fields = ["=subject"]
