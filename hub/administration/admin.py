from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from hub.administration.models import AdministrationClient


@admin.register(AdministrationClient)
class AdministrationClientAdmin(ReadOnlyAdmin):
    list_display = ["key", "may_read", "may_write", "holder", "valid_until", "revoked_at", "last_used_at"]
    list_select_related = ["holder"]
    search_fields = ["key"]
    exclude = ["sha256"]
