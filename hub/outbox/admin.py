from django.contrib import admin

from hub.outbox.models import Delivery, Message


class _ReadOnly(admin.ModelAdmin):
    show_full_result_count = False
    list_select_related = ["destination"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(Message)
class MessageAdmin(_ReadOnly):
    list_display = ["id", "destination", "method", "kind", "subject", "state", "attempts", "due_at", "last_error"]
    list_filter = ["state", "destination", "kind"]
    search_fields = ["=subject"]
    exclude = ["body"]


@admin.register(Delivery)
class DeliveryAdmin(_ReadOnly):
    list_display = ["message_id", "destination", "method", "kind", "subject", "attempts", "status", "delivered_at"]
    list_filter = ["destination", "kind"]
    search_fields = ["=subject"]
