from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from portal.models import LedgerCheck, Profile


@admin.register(Profile)
class ProfileAdmin(ReadOnlyAdmin):
    list_display = ["user", "participant", "time_zone", "language"]
    list_select_related = ["user", "participant"]


@admin.register(LedgerCheck)
class LedgerCheckAdmin(ReadOnlyAdmin):
    list_display = ["at", "seconds", "breaks"]
