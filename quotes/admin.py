from django.contrib import admin

from quotes.models import Quote


@admin.register(Quote)
class QuoteAdmin(admin.ModelAdmin):
    list_display = ["quote_id", "payer", "payee", "state", "expires_at", "created_at"]
    list_filter = ["state"]
    search_fields = ["=quote_id", "=transaction_id"]
    list_select_related = ["payer", "payee"]
    exclude = ["request", "response", "request_digest", "response_digest"]
    show_full_result_count = False

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False
