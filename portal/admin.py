from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from portal.models import AccountMark, LedgerBlock, LedgerCheck, Profile


@admin.register(Profile)
class ProfileAdmin(ReadOnlyAdmin):
    list_display = ["user", "participant", "time_zone", "language"]
    list_select_related = ["user", "participant"]


@admin.register(LedgerCheck)
class LedgerCheckAdmin(ReadOnlyAdmin):
    list_display = ["at", "seconds", "breaks"]


@admin.register(LedgerBlock)
class LedgerBlockAdmin(ReadOnlyAdmin):
    list_display = ["number", "through_at"]


@admin.register(AccountMark)
class AccountMarkAdmin(ReadOnlyAdmin):
    list_display = ["account", "block", "debits", "credits", "entries"]
    list_select_related = ["account__participant"]
    list_filter = ["account__currency"]
