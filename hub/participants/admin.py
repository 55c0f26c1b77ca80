from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from hub.participants.models import AllowedNetwork, Contact, Credential, CurrencyPair, Endpoint, Participant


class EndpointInline(admin.TabularInline):
    model = Endpoint
    extra = 0


@admin.register(Participant)
class ParticipantAdmin(admin.ModelAdmin):
    list_display = ["name", "is_active", "is_hub", "created_at"]
    list_filter = ["is_active"]
    search_fields = ["name"]
    readonly_fields = ["name", "is_hub", "is_proxy", "created_at"]
    inlines = [EndpointInline]


@admin.register(Credential)
class CredentialAdmin(ReadOnlyAdmin):
    """These admin pages are read-only, because `hub.participants.credentials` must check every registration."""

    list_display = ["participant", "kind", "label", "valid_from", "valid_until", "revoked_at"]
    list_filter = ["kind"]
    search_fields = ["participant__name", "label"]
    exclude = ["sha256"]


@admin.register(CurrencyPair)
class CurrencyPairAdmin(ReadOnlyAdmin):
    list_display = ["participant", "source_currency", "target_currency"]
    list_filter = ["source_currency", "target_currency"]
    search_fields = ["participant__name"]
    list_select_related = ["participant"]


@admin.register(AllowedNetwork)
class AllowedNetworkAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "participant"]
    list_select_related = ["participant"]


@admin.register(Contact)
class ContactAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "participant"]
    list_select_related = ["participant"]
