from django.contrib import admin

from ledger.models import Account, Entry, FundsMovement, SettlementWindow, Transfer, TransferEvent


class ReadOnlyAdmin(admin.ModelAdmin):
    """The ledger is changed by its services alone, never by a form."""

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ["participant", "currency", "type", "is_active", "posted_debits", "posted_credits", "pending_debits"]
    list_filter = ["type", "currency"]
    list_select_related = ["participant"]


class TransferEventInline(admin.TabularInline):
    model = TransferEvent
    extra = 0
    can_delete = False
    fields = readonly_fields = ["at", "state", "reason"]

    def has_add_permission(self, request, obj=None):
        return False


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ["transfer_id", "payer", "payee_name", "amount", "currency", "state", "reason", "received_at"]
    list_filter = ["state", "currency"]
    search_fields = ["=transfer_id"]
    list_select_related = ["payer"]
    show_full_result_count = False
    inlines = [TransferEventInline]


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["id", "kind", "transfer_id", "debit_account", "credit_account", "amount", "currency", "window"]
    list_filter = ["kind"]
    search_fields = ["=transfer_id"]
    list_select_related = ["debit_account__participant", "credit_account__participant", "window"]
    show_full_result_count = False


@admin.register(SettlementWindow)
class SettlementWindowAdmin(ReadOnlyAdmin):
    list_display = ["id", "state", "created_at", "closed_at", "reason"]


@admin.register(FundsMovement)
class FundsMovementAdmin(ReadOnlyAdmin):
    list_display = ["transfer_id", "account", "kind", "amount", "state", "created_at"]
    list_filter = ["kind", "state"]
