"""The forms for common rules. The forms are built from the templates of the language of rules."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop import money
from hub.participants.models import Participant
from ledger.models import Account
from portal import scheme_currencies
from portal.fields import AmountField
from portal.rules import fault_texts
from portal.rules.sentences import MODES, ON_MISSING
from portal.words import kinds
from rules.language.durations import parse_duration
from rules.language.faults import Fault
from rules.language.templates import Parameter, Template, TemplateError, make_rules
from rules.lists.models import PartyList

UNITS = [
    ("S", gettext_lazy("seconds")),
    ("M", gettext_lazy("minutes")),
    ("H", gettext_lazy("hours")),
    ("D", gettext_lazy("days")),
]
_CHOICES: Mapping[str, Promise] = {
    "payer": gettext_lazy("Payer"),
    "payee": gettext_lazy("Payee"),
    "alias": gettext_lazy("Payee's identifier"),
    "payer_dfsp": gettext_lazy("Payer DFSP"),
    "payee_dfsp": gettext_lazy("Payee DFSP"),
    "pair": gettext_lazy("Payer together with payee"),
    "quote": gettext_lazy("Quote"),
    "transfer": gettext_lazy("Transfer"),
    "refuse": gettext_lazy("Refuse the payment"),
    "alert": gettext_lazy("Raise an alert"),
}
# the fields that the places of these faults do not name
_FIELD_OF_FAULT: Mapping[str, str] = {"limit_too_high": "most_payments"}
_SEPARATOR = re.compile(r"[\s,;]+")


class TextsField(forms.CharField):
    """Reads a text as a list. Spaces or commas separate the items."""

    def clean(self, value: Any) -> list[str]:  # type: ignore[override]
        return [text for text in _SEPARATOR.split(super().clean(value)) if text]


class NewRule(forms.Form):
    """The form of one template. `values` has the values for the template."""

    id = forms.RegexField(
        r"^[a-z0-9][a-z0-9-]{0,50}\Z",
        label=gettext_lazy("Id"),
        help_text=gettext_lazy("Small letters, digits and hyphens, for example p2p-daily."),
        error_messages={"invalid": gettext_lazy("Only small letters, digits and hyphens.")},
    )
    title = forms.CharField(label=gettext_lazy("Title"), max_length=200)
    mode = forms.ChoiceField(
        label=gettext_lazy("Mode"),
        choices=list(MODES.items()),
        initial="shadow",
        help_text=gettext_lazy(
            "Begin with the mode shadow. A shadow rule only reports its hits, and has no effect on payments."
        ),
    )
    on_missing = forms.ChoiceField(
        label=gettext_lazy("If the hub does not know a fact"), choices=list(ON_MISSING.items()), initial="open"
    )

    def __init__(self, *args: Any, template: Template, is_first: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.template = template
        for parameter in template.parameters:
            self.fields.update(_fields_of(parameter))
        common = ["id", "title"]
        if is_first:
            self.fields["rules_name"] = forms.CharField(label=_("Name of the rules"), max_length=100)
            zones = [(zone, zone) for zone in sorted(available_timezones())]
            self.fields["time_zone"] = forms.ChoiceField(label=_("Time zone"), choices=zones, initial="UTC")
            common = ["rules_name", "time_zone", *common]
        self.order_fields([*common, *(name for name in self.fields if name not in {*common, "mode", "on_missing"})])

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        for parameter in self.template.parameters:
            currency = f"{parameter.name}_currency"
            has_amount = parameter.unit == "amount" and said.get(parameter.name) is not None
            if has_amount and not said.get(currency) and currency not in self.errors:
                self.add_error(currency, _("Choose the currency of the amount."))
        return said

    def rules(self) -> list[dict[str, Any]] | None:
        """Returns the rules of a valid form. If the template refuses the values, the function adds the error and
        returns None."""
        said = self.cleaned_data
        values = {name: said[name] for name in ("id", "title", "mode", "on_missing")}
        for parameter in self.template.parameters:
            values[parameter.name] = _value_of(parameter, said)
        try:
            return make_rules(self.template.name, values)
        except TemplateError as error:
            self.add_error(error.parameter if error.parameter in self.fields else None, _("This value is missing."))
            return None

    def add_faults(self, faults: Sequence[Fault]) -> None:
        """Shows each fault of the rules at the form field that caused the fault."""
        for fault in faults:
            field, text = self._field_of(fault), fault_texts.text_of(fault)
            if text not in self.errors.get(field or NON_FIELD_ERRORS, ()):  # a form can make several rules
                self.add_error(field, text)

    def _field_of(self, fault: Fault) -> str | None:
        if fault.code in _FIELD_OF_FAULT and _FIELD_OF_FAULT[fault.code] in self.fields:
            return _FIELD_OF_FAULT[fault.code]
        path = fault.path
        found = next((name for name in self.fields if path.endswith(f".{name}") or f".{name}[" in path), None)
        if found is None and path.endswith((".value.amount", ".value.currency", ".value")):
            found = next((each.name for each in self.template.parameters if each.unit == "amount"), None)
        if found is None and path.endswith((".then.for", ".window")):
            wanted = "hold_for" if path.endswith(".for") else "window"
            found = wanted if wanted in self.fields else None
        return found


def _fields_of(parameter: Parameter) -> dict[str, forms.Field]:
    name, title, required = parameter.name, _(parameter.title), parameter.is_required
    match parameter.unit:
        case "amount":
            return {
                name: AmountField(label=title, required=required, may_be_zero=True),
                f"{name}_currency": _currency_field(required=required),
            }
        case "count":
            return {name: forms.IntegerField(label=title, required=required, min_value=0, max_value=10**9)}
        case "duration":
            number, unit = _number_and_unit(parameter.default)
            return {
                name: forms.IntegerField(label=title, required=required, min_value=0, max_value=99_999, initial=number),
                f"{name}_unit": forms.ChoiceField(label=_("Unit"), choices=UNITS, initial=unit),
            }
        case "time":
            widget = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
            return {name: forms.TimeField(label=title, required=required, widget=widget)}
        case "yes_or_no":
            return {name: forms.BooleanField(label=title, required=False, initial=bool(parameter.default))}
        case "choice":
            choices = [(choice, _CHOICES.get(choice, choice)) for choice in parameter.choices]
            return {name: forms.ChoiceField(label=title, required=required, choices=choices, initial=parameter.default)}
        case "texts":
            return {name: _texts_field(parameter)}
    return {name: forms.CharField(label=title, required=required, max_length=200)}


def _currency_field(*, required: bool) -> forms.ChoiceField:
    """Returns the field of an amount's currency. A rule with an amount applies only to payments in the amount's
    currency. So if there are several currencies, none is preselected."""
    choices = _currencies()
    none = [("", "–")] if len(choices) > 1 else []
    return forms.ChoiceField(label=_("Currency"), required=required, choices=[*none, *choices])


def _texts_field(parameter: Parameter) -> forms.Field:
    name, title, required = parameter.name, _(parameter.title), parameter.is_required
    if parameter.choices:
        choices = [(choice, kinds.word_of(choice) if name == "markers" else choice) for choice in parameter.choices]
        widget: Any = forms.CheckboxSelectMultiple
    elif name in _KNOWN_TEXTS:
        choices = _KNOWN_TEXTS[name]()
        widget = forms.SelectMultiple(attrs={"size": min(6, max(2, len(choices)))})
    else:
        return TextsField(
            label=title, required=required, max_length=4000, help_text=_("Separate the values by spaces or commas.")
        )
    help_text = "" if required else _("None selected: all.")
    if name == "lists" and not choices:
        help_text = _("There is no list yet. Make a list on the page Lists and markers.")
    return forms.MultipleChoiceField(
        label=title, required=required, choices=choices, widget=widget, help_text=help_text
    )


def _dfsps() -> list[tuple[str, str]]:
    names = Participant.objects.filter(is_hub=False, closed_at=None).order_by("name").values_list("name", flat=True)
    return [(name, name) for name in names]


def _currencies() -> list[tuple[str, str]]:
    """Returns the currencies of the hub's accounts, or all currencies if the hub has no account yet."""
    found = sorted(set(Account.objects.order_by().values_list("currency", flat=True).distinct()))
    return [(code, scheme_currencies.name_of(code)) for code in found or sorted(money.CURRENCIES)]


def _lists() -> list[tuple[str, str]]:
    return [(name, name) for name in PartyList.objects.order_by("name").values_list("name", flat=True)]


_KNOWN_TEXTS = {"currencies": _currencies, "payer_dfsps": _dfsps, "payee_dfsps": _dfsps, "lists": _lists}


def _number_and_unit(text: str | None) -> tuple[int | None, str]:
    seconds = parse_duration(text) if text else None
    if seconds is None:
        return None, "H"
    sizes = ((3_600, "H"), (60, "M"), (1, "S"))
    return next((seconds // size, unit) for size, unit in sizes if seconds % size == 0)


def _value_of(parameter: Parameter, said: Mapping[str, Any]) -> Any:
    value = said.get(parameter.name)
    if value is None or value == "":
        return None
    match parameter.unit:
        case "amount":
            return {"amount": money.format_amount(value), "currency": said[f"{parameter.name}_currency"]}
        case "duration":
            unit = said[f"{parameter.name}_unit"]
            return f"P{value}D" if unit == "D" else f"PT{value}{unit}"
        case "time":
            return f"{value:%H:%M}"
    return value
