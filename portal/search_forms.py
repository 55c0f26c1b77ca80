"""Search forms.

An invalid value never causes an error page: the form ignores the value and shows an error at its field.
"""

from datetime import date, datetime, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

# Days outside this range are refused, because a change of time zone or a step to the next day could exceed Python's
# range.
_FIRST, _LAST = date(1970, 1, 2), date(9999, 12, 29)


class DayField(forms.DateField):
    """Reads a day in the visitor's time zone, and returns the time at which the day begins.

    With `is_end`, returns the time at which the day ends.
    """

    def __init__(self, *, is_end: bool = False, **kwargs: Any) -> None:
        self.is_end = is_end
        super().__init__(widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"), **kwargs)

    def clean(self, value: Any) -> datetime | None:  # type: ignore[override]
        day: date | None = super().clean(value)
        if day is None:
            return None
        if not _FIRST <= day <= _LAST:
            raise forms.ValidationError(_("This date is out of range."))
        if self.is_end:
            day += timedelta(days=1)
        return datetime(day.year, day.month, day.day, tzinfo=timezone.get_current_timezone())


class Search(forms.Form):
    """A search form, which is submitted by GET."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            kind = "form-select" if isinstance(field.widget, forms.Select) else "form-control"
            field.widget.attrs.setdefault("class", f"{kind} {kind}-sm")

    def filtered(self, rows: "QuerySet[Any]", **lookups: str) -> "QuerySet[Any]":
        """Filters `rows` by each field that has a valid value. `lookups` has the Django lookup for each field."""
        self.is_valid()
        for name, lookup in lookups.items():
            value = self.cleaned_data.get(name)
            if value not in (None, ""):
                rows = rows.filter(**{lookup: value})
        return rows
