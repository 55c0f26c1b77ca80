from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from quotes.models import Quote


@admin.register(Quote)
class QuoteAdmin(ReadOnlyAdmin):
    list_display = ["quote_id", "payer", "payee", "state", "expires_at", "created_at"]
    list_filter = ["state"]
    search_fields = ["=quote_id", "=transaction_id"]
    list_select_related = ["payer", "payee"]
    exclude = ["request", "response", "request_digest", "response_digest"]
