from django.contrib import admin

from directory.models import PartyIdentifier


@admin.register(PartyIdentifier)
class PartyIdentifierAdmin(admin.ModelAdmin):
    list_display = ["type", "identifier", "sub_id", "currency", "fsp", "changed_at"]
    list_filter = ["type", "fsp"]
    search_fields = ["=identifier"]
    list_select_related = ["fsp"]
    show_full_result_count = False
