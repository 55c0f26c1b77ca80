from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from hub.audit.models import Approval, Consent, Entry


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor", "action", "subject"]
    list_filter = ["action"]
    search_fields = ["subject", "actor"]


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    list_display = ["kind", "subject", "asked_by", "asked_at", "state", "checker", "decided_at"]
    list_filter = ["state", "kind"]
    list_select_related = ["maker", "checker"]


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    list_display = ["approval", "checker", "at"]
    list_select_related = ["approval", "checker"]
