from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin
from hub.sweeps.models import Erasure, SkippedRow


@admin.register(SkippedRow)
class SkippedRowAdmin(ReadOnlyAdmin):
    list_display = ["batch", "row", "error", "attempts", "first_at", "last_at", "due_at"]
    list_filter = ["batch"]
    search_fields = ["=row"]


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    list_display = ["kind", "up_to", "position", "at"]
