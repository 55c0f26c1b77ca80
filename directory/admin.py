from django.contrib import admin

from directory.models import EndedLookup, Oracle, PartyIdentifier, PartyLookup, TrialLookup
from hub.admin_base import ReadOnlyAdmin


@admin.register(PartyIdentifier)
class PartyIdentifierAdmin(ReadOnlyAdmin):
    list_display = ["type", "identifier", "sub_id", "currency", "fsp", "changed_at"]
    list_filter = ["type", "fsp"]
    search_fields = ["=identifier"]
    list_select_related = ["fsp"]


@admin.register(Oracle)
class OracleAdmin(ReadOnlyAdmin):
    list_display = ["type", "currency", "endpoint", "is_default", "changed_at"]
    list_filter = ["type"]


@admin.register(PartyLookup)
class PartyLookupAdmin(ReadOnlyAdmin):
    list_display = ["requester", "owner", "asked_at", "answer_by", "ended_at"]
    list_select_related = ["requester", "owner"]
    exclude = ["error_path"]


@admin.register(TrialLookup)
class TrialLookupAdmin(ReadOnlyAdmin):
    list_display = ["participant", "alias_type", "shown", "asked_at", "answered_at", "is_right", "fault"]
    list_select_related = ["participant"]


@admin.register(EndedLookup)
class EndedLookupAdmin(ReadOnlyAdmin):
    list_display = ["requester", "owner", "asked_at", "ended_at", "is_answered"]
    list_select_related = ["requester", "owner"]
