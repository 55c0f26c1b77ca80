from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from hub.audit.models import Entry


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor", "action", "subject"]
    list_filter = ["action"]
    search_fields = ["subject", "actor"]
