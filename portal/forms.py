"""What is asked for: one form for each kind of change."""

import re
from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop import money
from hub.participants import endpoints
from hub.participants.models import Participant
from portal.fields import AmountField
from portal.permissions import PARTICIPANT_ROLES, Role
from portal.views.asking import AskForm
from settlement.models import SettlementModel

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{1,29}\Z")
_CURRENCIES = [(code, code) for code in sorted(money.CURRENCIES)]


def _callback_url(text: str) -> str:
    if text and not endpoints.is_callback_url(text):
        raise forms.ValidationError(_("Write an http or https address without user or spaces."))
    return text


class Onboarding(AskForm):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=30,
        help_text=gettext_lazy("As it calls itself in FSPIOP-Source, such as greenbank."),
    )
    currency = forms.ChoiceField(label=gettext_lazy("Currency"), choices=_CURRENCIES)
    ndc = AmountField(label=gettext_lazy("Net debit cap"), may_be_zero=True)
    endpoint = forms.CharField(
        label=gettext_lazy("Callbacks go to"),
        max_length=512,
        required=False,
        help_text=gettext_lazy("The base address of its FSPIOP API; each callback's path is put behind it."),
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not _NAME.match(name):
            raise forms.ValidationError(_("2 to 30 letters, digits, dots, hyphens or underscores."))
        if name.lower() in (settings.HUB_NAME.lower(), "switch"):
            raise forms.ValidationError(_("This name is reserved; choose another."))
        return name

    def clean_endpoint(self) -> str:
        return _callback_url(self.cleaned_data["endpoint"])

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        name = said.get("name", "")
        same = Participant.objects.filter(name__iexact=name).first()
        if same is not None and same.name != name:
            self.add_error("name", _("A participant differs from this only in case."))
        elif same is not None and same.accounts.filter(currency=said.get("currency")).exists():
            self.add_error("currency", _("This participant has this currency already."))
        return said


class Cap(AskForm):
    ndc = AmountField(
        label=gettext_lazy("New net debit cap"),
        may_be_zero=True,
        help_text=gettext_lazy("Below the present position it only stops new payments."),
    )
    alarm_percentage = forms.IntegerField(
        label=gettext_lazy("Alarm when less than this much of the limit is free, in per cent"),
        min_value=0,
        max_value=100,
    )


class Funds(AskForm):
    amount = AmountField(label=gettext_lazy("Amount"))
    reference = forms.CharField(label=gettext_lazy("Bank's reference"), max_length=512, required=False)


class FundsEnd(AskForm):
    outcome = forms.ChoiceField(
        label=gettext_lazy("What happened"),
        choices=[
            ("paid", gettext_lazy("The bank paid it out")),
            ("stays", gettext_lazy("It stays: the bank did not pay it out")),
        ],
        widget=forms.RadioSelect,
    )
    reference = forms.CharField(label=gettext_lazy("Bank's reference"), max_length=512, required=False)


class EndpointChange(AskForm):
    type = forms.CharField(label=gettext_lazy("Type"), max_length=64)
    value = forms.CharField(label=gettext_lazy("Address"), max_length=512)

    def clean_type(self) -> str:
        name: str = self.cleaned_data["type"]
        if not endpoints.is_known_type(name):
            raise forms.ValidationError(_("This is no type of endpoint."))
        return name

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if said.get("type") not in endpoints.EMAIL_TYPES | endpoints.ALARM_NUMBER_TYPES and "value" in said:
            try:
                _callback_url(said["value"])
            except forms.ValidationError as error:
                self.add_error("value", error)
        return said


class NewUser(AskForm):
    username = forms.CharField(label=gettext_lazy("User name"), max_length=40)
    email = forms.EmailField(label=gettext_lazy("Email"), help_text=gettext_lazy("One person, one address."))
    roles = forms.MultipleChoiceField(
        label=gettext_lazy("Roles"), choices=Role.choices, widget=forms.CheckboxSelectMultiple
    )
    participant = forms.ModelChoiceField(
        label=gettext_lazy("Participant"),
        queryset=Participant.objects.filter(is_hub=False).order_by("name"),
        required=False,
        empty_label=gettext_lazy("none: one of the hub's own people"),
    )


class Roles(AskForm):
    roles = forms.MultipleChoiceField(label=gettext_lazy("Roles"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, is_participants: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["roles"].choices = [  # type: ignore[attr-defined]
            (role.value, role.label) for role in Role if (role in PARTICIPANT_ROLES) == is_participants
        ]


class SettlementStep(AskForm):
    to = forms.ChoiceField(label=gettext_lazy("As far as"), widget=forms.RadioSelect)

    def __init__(self, *args: Any, steps: Sequence[tuple[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to"].choices = steps  # type: ignore[attr-defined]


class Reason(forms.Form):
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=512)


class StatementFile(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("The bank's statement, as CSV or camt.053"),
        max_length=128,
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.xml,text/csv,application/xml"}),
    )


class NewSettlement(Reason):
    model = forms.ModelChoiceField(
        label=gettext_lazy("Model"),
        queryset=SettlementModel.objects.filter(is_active=True, delay="DEFERRED"),
        to_field_name="name",
    )
