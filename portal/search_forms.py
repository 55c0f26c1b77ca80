"""Search forms.

An invalid value in a search never causes an error page. The form shows the error at the field, and the search finds
nothing. A search that left out the invalid condition would find the wrong rows.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants.models import Participant
from portal import scheme_currencies
from portal.amounts_and_durations import money
from portal.fields import AmountField
from portal.history import UNKNOWN
from portal.parse_typed_values import forms_of_identifier, shown_identifier

# Days outside this range are refused, because a change of time zone or a step to the next day could exceed Python's
# range.
_FIRST, _LAST = date(1970, 1, 2), date(9999, 12, 29)
_SHOWN = "%Y-%m-%dT%H:%M"
_ONLY_A_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_USE_CASES = ("DEPOSIT", "PAYMENT", "REFUND", "TRANSFER", "WITHDRAWAL")
_WITHOUT_DECIMALS = "XAF"  # the format for an amount without a currency: only the decimals that the amount has


class DayField(forms.DateField):
    """Reads a day in the visitor's time zone, and returns the time at which the day begins.

    If `is_end` is true, returns the time at which the day ends.
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


class MomentField(forms.DateTimeField):
    """Reads a time in the visitor's time zone, to the minute, and returns this time. A text that is only a day means
    the beginning of the day. The text in a link can also have an offset from UTC.

    If `is_end` is true, returns the end of the minute or of the day.
    """

    def __init__(self, *, is_end: bool = False, **kwargs: Any) -> None:
        self.is_end = is_end
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_SHOWN)
        super().__init__(required=False, widget=widget, **kwargs)

    def clean(self, value: Any) -> datetime | None:  # type: ignore[override]
        found: datetime | None = super().clean(value)
        if found is None:
            return None
        if not _FIRST.year < found.year < _LAST.year:
            raise forms.ValidationError(_("This date is out of range."))
        if not self.is_end:
            return found
        if _ONLY_A_DAY.match(value.strip()):
            day = timezone.localtime(found).date() + timedelta(days=1)
            return datetime(day.year, day.month, day.day, tzinfo=timezone.get_current_timezone())
        return found + timedelta(minutes=1)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Returns the text for the page's field, which accepts only a local time without an offset."""
        try:
            found = self.clean(data)
        except forms.ValidationError:
            found = None
        if found is None:
            return data
        return timezone.localtime(found - timedelta(minutes=1) if self.is_end else found).strftime(_SHOWN)


class ParticipantField(forms.CharField):
    """Reads the name of a participant, and returns the participant's id."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=30, **kwargs)

    def clean(self, value: Any) -> int | None:  # type: ignore[override]
        name = super().clean(value)
        if not name:
            return None
        found = dict(Participant.objects.filter(name__iexact=name).values_list("name", "pk"))
        participant_id = found.get(name) or next(iter(found.values()), None)
        if participant_id is None:
            raise forms.ValidationError(_("No participant has this name."))
        return participant_id


class CurrencyField(forms.ChoiceField):
    """Reads a currency in capital or small letters. The list begins with the scheme's currencies."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, choices=lambda: [("", "–"), *scheme_currencies.choices()], **kwargs)

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).upper()


class UseCaseField(forms.ChoiceField):
    """Reads a use case of payments, as the history of payments knows the use cases (`portal.history`)."""

    def __init__(self, **kwargs: Any) -> None:
        choices = [("", "–"), *((name, name) for name in _USE_CASES), (UNKNOWN, gettext_lazy("unknown"))]
        super().__init__(required=False, choices=choices, **kwargs)


class IdentifierField(forms.CharField):
    """Reads the identifier of a party of any type, and returns the text as it is written.

    The search looks for each identifier that the text can mean (`forms_of_identifier`).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=128, required=False, widget=forms.TextInput(attrs={"autocomplete": "off"}), **kwargs
        )

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        forms_of_identifier(text)
        return text


class Search(forms.Form):
    """A search form, which is submitted by GET."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            kind = "form-select" if isinstance(field.widget, forms.Select) else "form-control"
            field.widget.attrs.setdefault("class", f"{kind} {kind}-sm")

    @property
    def said(self) -> dict[str, Any]:
        """Returns the fields' values, without empty fields. If the form has an error, returns no values."""
        if not self.is_valid():
            return {}
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}

    @property
    def understood(self) -> str:
        """Returns a text with the identifiers and amounts that the hub has read from the form. The text can be
        empty."""
        return ", ".join(self._understood())

    def _understood(self) -> Iterator[str]:
        for name, value in self.said.items():
            field = self.fields[name]
            if isinstance(field, AmountField):
                yield f"{field.label} {money(value, self.said.get('currency') or _WITHOUT_DECIMALS)}"
            elif isinstance(field, IdentifierField):
                yield shown_identifier(value)

    def filtered(self, rows: "QuerySet[Any]", **lookups: str) -> "QuerySet[Any]":
        """Filters `rows` by each field with a value. For each field, `lookups` has the keyword of a Django filter, such
        as `transfer__payer`.

        Returns no rows if a field has an error.
        """
        if not self.is_valid():
            return rows.none()
        said = self.said
        return rows.filter(**{lookup: said[name] for name, lookup in lookups.items() if name in said})


def no_file(request: HttpRequest, page: str) -> HttpResponse:
    """If the file of a search cannot be made, returns to the page of the search. The page of the search shows the error
    at the field."""
    return redirect(f"{page}?{request.GET.urlencode()}")
