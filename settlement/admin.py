from django.contrib import admin
from django.http import HttpRequest

from hub.admin_base import ReadOnlyAdmin
from settlement.models import (
    ContentTotal,
    Inclusion,
    LedgerAccountType,
    Payment,
    Settlement,
    SettlementAccount,
    SettlementEvent,
    SettlementModel,
    Statement,
    StatementLine,
    WindowContent,
)


class _Shown(admin.TabularInline):
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Settlement | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Settlement | None = None) -> bool:
        return False


class AccountInline(_Shown):
    model = SettlementAccount
    fields = ("account", "net", "state", "reason", "external_reference")


class InclusionInline(_Shown):
    model = Inclusion
    fields = ("content", "is_released")


class EventInline(_Shown):
    model = SettlementEvent
    fields = ("at", "account", "state", "reason", "actor")


@admin.register(Settlement)
class SettlementAdmin(ReadOnlyAdmin):
    list_display = ["id", "model", "state", "reason", "created_at", "changed_at"]
    list_filter = ["state", "model"]
    list_select_related = ["model"]
    inlines = [InclusionInline, AccountInline, EventInline]


@admin.register(SettlementModel)
class SettlementModelAdmin(ReadOnlyAdmin):
    list_display = ["name", "delay", "granularity", "interchange", "currency", "ledger_account_type", "is_active"]


@admin.register(LedgerAccountType)
class LedgerAccountTypeAdmin(ReadOnlyAdmin):
    list_display = ["name", "description", "is_active", "is_settleable"]


class TotalInline(_Shown):
    model = ContentTotal
    fields = ("account", "debits", "credits")


@admin.register(WindowContent)
class WindowContentAdmin(ReadOnlyAdmin):
    inlines = [TotalInline]
    list_display = ["window", "currency", "ledger_account_type", "state", "is_gross"]
    list_filter = ["state", "currency"]
    list_select_related = ["window"]


class LineInline(_Shown):
    model = StatementLine
    fields = ("number", "reference", "participant", "amount", "currency", "direction", "finding")


@admin.register(Statement)
class StatementAdmin(ReadOnlyAdmin):
    list_display = ["id", "settlement", "name", "is_exact", "actor", "at"]
    list_filter = ["is_exact"]
    list_select_related = ["settlement"]
    exclude = ["body"]
    inlines = [LineInline]


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    list_display = ["account", "movement", "otherwise", "at"]
    list_select_related = ["account", "movement"]
