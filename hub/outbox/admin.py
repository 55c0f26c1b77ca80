from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from hub.outbox.models import Delivery, Message


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_select_related = ["destination"]
    list_display = ["id", "destination", "method", "kind", "subject", "state", "attempts", "due_at", "last_error"]
    list_filter = ["state", "destination", "kind"]
    search_fields = ["=subject"]
    exclude = ["body"]
    not_listed = ["headers"]


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_select_related = ["destination"]
    list_display = ["message_id", "destination", "method", "kind", "subject", "attempts", "status", "delivered_at"]
    list_filter = ["destination", "kind"]
    search_fields = ["=subject"]
