"""Base class for Django admin pages that only show tables. The pages cannot change the tables, because only services
may write these tables."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import BinaryField, QuerySet
from django.http import HttpRequest


class NoChanges(admin.ModelAdmin):
    """A page of Django's admin that has no buttons for changes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(NoChanges):
    show_full_result_count = False
    not_listed: Sequence[str] = ()  # columns that only the page of a single row loads

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Returns the rows, but loads only the columns that lists show. If lists loaded all columns, a list of messages
        could load hundreds of megabytes."""
        fields = self.model._meta.get_fields()
        unseen = [field.name for field in fields if isinstance(field, BinaryField)]
        return super().get_queryset(request).defer(*unseen, *self.not_listed)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Every person whom the site admits may read this table. The site admits only staff with two factors."""
        return bool(self.admin_site.has_permission(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)
