from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from hub.notifications.models import Notification


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = ["id", "kind", "channel", "shown_recipient", "state", "attempts", "created_at", "ended_at"]
    list_filter = ["state", "channel", "kind"]
    exclude = ["recipient", "text", "sealed"]
    readonly_fields = ["shown_recipient"]
