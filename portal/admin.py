from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from portal.models import (
    AccountMark,
    Alarm,
    Certification,
    CertificationCase,
    Confirmation,
    HistoryMark,
    HistoryOpen,
    HistoryRow,
    Invitation,
    LedgerBlock,
    LedgerCheck,
    LimitUse,
    Profile,
    RuleReplay,
    SavedView,
)


@admin.register(Profile)
class ProfileAdmin(ReadOnlyAdmin):
    list_display = ["user", "participant", "confirmed_at", "signed_in_at", "time_zone", "language"]
    list_select_related = ["user", "participant"]


@admin.register(Confirmation)
class ConfirmationAdmin(ReadOnlyAdmin):
    list_display = ["user", "signed_in_at", "confirmed_by", "confirmed_at"]
    list_select_related = ["user", "confirmed_by"]


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ["user", "link_holder", "code_holder", "made_at", "expires_at", "ended_at", "is_used"]
    list_select_related = ["user", "link_holder", "code_holder"]
    exclude = ["link_hash", "code_hash"]


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


@admin.register(SavedView)
class SavedViewAdmin(ReadOnlyAdmin):
    list_display = ["user", "name", "query", "created_at"]
    list_select_related = ["user"]


@admin.register(RuleReplay)
class RuleReplayAdmin(ReadOnlyAdmin):
    list_display = ["id", "version", "state", "since", "until", "done", "asked_by", "asked_at", "ended_at"]
    list_select_related = ["version"]
    list_filter = ["state"]


@admin.register(HistoryRow)
class HistoryRowAdmin(ReadOnlyAdmin):
    list_display = [
        "source",
        "grain",
        "at",
        "payer_id",
        "payee_id",
        "use_case",
        "currency",
        "ended",
        "succeeded",
        "value",
    ]
    list_filter = ["source", "grain"]


@admin.register(HistoryMark)
class HistoryMarkAdmin(ReadOnlyAdmin):
    list_display = ["source", "up_to", "time_zone"]


@admin.register(HistoryOpen)
class HistoryOpenAdmin(ReadOnlyAdmin):
    list_display = ["source", "row_id"]


@admin.register(Certification)
class CertificationAdmin(ReadOnlyAdmin):
    list_display = ["id", "participant", "state", "asked_by", "asked_at", "started_at", "ended_at", "fault"]
    list_filter = ["state"]
    list_select_related = ["participant"]


@admin.register(CertificationCase)
class CertificationCaseAdmin(ReadOnlyAdmin):
    list_display = ["certification", "number", "name", "verdict", "started_at", "ended_at"]
    list_filter = ["verdict"]
    list_select_related = ["certification"]


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    list_display = ["kind", "subject", "raised_at", "ended_at", "acknowledged_by", "assigned_to", "notified_at"]
    list_filter = ["kind"]
    list_select_related = ["assigned_to"]


@admin.register(LimitUse)
class LimitUseAdmin(ReadOnlyAdmin):
    list_display = ["account", "minute", "percent"]
    list_select_related = ["account"]
