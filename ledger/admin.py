from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from hub.admin_base import ReadOnlyAdmin
from ledger.bulk.models import BulkTransfer
from ledger.held_transfers.models import HeldTransfer
from ledger.models import (
    Account,
    CoverHold,
    Entry,
    FundsMovement,
    FxTransfer,
    FxTransferEvent,
    SettlementWindow,
    Transfer,
    TransferEvent,
)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ["participant", "currency", "type", "is_active", "posted_debits", "posted_credits", "pending_debits"]
    list_filter = ["type", "currency"]
    list_select_related = ["participant"]


class _EventInline(admin.TabularInline):
    extra = 0
    can_delete = False
    fields = ("at", "state", "reason")
    readonly_fields = ("at", "state", "reason")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).defer("body", "headers")

    def has_add_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return False


class TransferEventInline(_EventInline):
    model = TransferEvent


class FxTransferEventInline(_EventInline):
    model = FxTransferEvent


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ["transfer_id", "payer", "payee_name", "amount", "currency", "state", "reason", "received_at"]
    list_filter = ["state", "currency"]
    search_fields = ["=transfer_id"]
    list_select_related = ["payer"]
    inlines = [TransferEventInline]


@admin.register(BulkTransfer)
class BulkTransferAdmin(ReadOnlyAdmin):
    list_display = ["bulk_transfer_id", "payer", "payee_name", "item_count", "reserved_items", "state", "reason"]
    list_filter = ["state"]
    search_fields = ["=bulk_transfer_id"]
    list_select_related = ["payer"]
    exclude = ["request", "answer", "digest", "answer_digest"]
    not_listed = ["request_headers", "answer_headers"]


@admin.register(FxTransfer)
class FxTransferAdmin(ReadOnlyAdmin):
    list_display = ["commit_request_id", "initiator", "fxp_name", "side", "state", "reason", "received_at"]
    list_filter = ["state", "side"]
    search_fields = ["=commit_request_id", "=determining_transfer_id"]
    list_select_related = ["initiator"]
    inlines = [FxTransferEventInline]


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["id", "kind", "transfer_id", "debit_account", "credit_account", "amount", "currency", "window"]
    list_filter = ["kind"]
    search_fields = ["=transfer_id"]
    list_select_related = ["debit_account__participant", "credit_account__participant", "window"]


@admin.register(SettlementWindow)
class SettlementWindowAdmin(ReadOnlyAdmin):
    list_display = ["id", "state", "created_at", "closed_at", "reason"]


@admin.register(FundsMovement)
class FundsMovementAdmin(ReadOnlyAdmin):
    list_display = ["transfer_id", "account", "kind", "amount", "state", "created_at"]
    list_filter = ["kind", "state"]


@admin.register(CoverHold)
class CoverHoldAdmin(ReadOnlyAdmin):
    list_display = ["account", "settlement_number", "amount", "remaining", "created_at", "released_at"]


@admin.register(HeldTransfer)
class HeldTransferAdmin(ReadOnlyAdmin):
    list_display = ["transfer", "state", "until", "rules_version", "held_at", "ended_at", "refusal_code"]
    list_filter = ["state"]
    search_fields = ["=transfer__transfer_id"]
