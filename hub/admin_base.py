"""What Django admin shows and never changes: tables that only their services write."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import BinaryField, QuerySet
from django.http import HttpRequest


class ReadOnlyAdmin(admin.ModelAdmin):
    show_full_result_count = False
    not_listed: Sequence[str] = ()  # read for one row, when it is looked at

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Without what nobody is shown: a page of messages could be hundreds of megabytes."""
        fields = self.model._meta.get_fields()
        unseen = [field.name for field in fields if isinstance(field, BinaryField)]
        return super().get_queryset(request).defer(*unseen, *self.not_listed)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
