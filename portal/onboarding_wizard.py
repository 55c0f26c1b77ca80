"""The steps of onboarding, with the form of each step.

The session stores the values of the forms until the request is submitted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants import certificate_authority
from hub.participants.models import Credential, Participant
from portal import scheme_currencies
from portal.changes import Payload
from portal.changes.credentials import read as read_credential
from portal.fields import (
    CSR_HELP,
    PHONE,
    AmountField,
    NetworksField,
    PemField,
    callback_url,
    check_minor_unit,
    readable,
)

Said = Mapping[str, Mapping[str, Any]]  # the values of each step, by the step's name

MOST_CURRENCIES = 3
MOST_CONTACTS = 3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{1,29}\Z")
_RESERVED = frozenset({"switch", "new"})


class StepForm(forms.Form):
    """The form of one step of onboarding. `said` has the values that the user entered in the earlier steps."""

    def __init__(self, *args: Any, said: Said, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.said = said


class Identity(StepForm):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=30,
        help_text=gettext_lazy("The participant's name in the FSPIOP-Source header, such as greenbank."),
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not _NAME.match(name):
            raise forms.ValidationError(_("2 to 30 letters, digits, dots, hyphens or underscores."))
        if name.lower() in {settings.HUB_NAME.lower(), *_RESERVED}:
            raise forms.ValidationError(_("This name is reserved. Choose another name."))
        if Participant.objects.filter(name__iexact=name).exists():
            raise forms.ValidationError(_("A participant already has this name, or a name that differs only in case."))
        return name


class Money(StepForm):
    """The rows for currencies. Each row has a currency and the cap in this currency. The first row is required."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for row in range(MOST_CURRENCIES):
            self.fields[f"currency_{row}"] = forms.ChoiceField(
                label=_("Currency"), choices=[("", "–"), *scheme_currencies.choices()], required=row == 0
            )
            self.fields[f"ndc_{row}"] = AmountField(label=_("Net debit cap"), may_be_zero=True, required=row == 0)

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        chosen: set[str] = set()
        for row in range(MOST_CURRENCIES):
            currency, ndc = said.get(f"currency_{row}"), said.get(f"ndc_{row}")
            if currency in chosen:
                self.add_error(f"currency_{row}", _("This currency is already in the list."))
            elif currency:
                chosen.add(currency)
            if currency and ndc is None and f"ndc_{row}" not in self.errors:
                self.add_error(f"ndc_{row}", _("Enter a cap for this currency. The cap may be 0."))
            if ndc is not None and not currency and f"currency_{row}" not in self.errors:
                self.add_error(f"currency_{row}", _("Choose a currency for this cap."))
            check_minor_unit(self, f"ndc_{row}", ndc, currency or "")
        return said


class Connection(StepForm):
    endpoint = forms.CharField(
        label=gettext_lazy("Callback URL"),
        max_length=512,
        required=False,
        help_text=gettext_lazy(
            "The base address of the participant's FSPIOP API. The hub appends the path of each callback to this"
            " address."
        ),
    )
    networks = NetworksField()

    def clean_endpoint(self) -> str:
        return callback_url(self.cleaned_data["endpoint"])


class Security(StepForm):
    csr = PemField(
        label=gettext_lazy("Signing request"),
        required=False,
        help_text=CSR_HELP,
    )
    key = PemField(
        label=gettext_lazy("Public signing key"),
        required=False,
        help_text=gettext_lazy("PEM, X.509 or JWK. The key must be RSA with 2048 to 4096 bits."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not certificate_authority.is_set_up():
            self.fields["csr"].disabled = True
            self.fields["csr"].help_text = _(
                "This hub has no certificate authority yet, so it cannot sign certificates."
            )

    def clean_csr(self) -> str:
        text: str = self.cleaned_data["csr"] or ""
        if text:
            readable(lambda: certificate_authority.read_request(text, name=self.said["identity"]["name"]))
        return text

    def clean_key(self) -> str:
        text: str = self.cleaned_data["key"]
        if text:
            readable(lambda: read_credential(Credential.Kind.SIGNING_KEY, text))
        return text


class Contacts(StepForm):
    """The rows for contacts. Each row has one contact. Empty rows are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for row in range(MOST_CONTACTS):
            self.fields[f"role_{row}"] = forms.CharField(label=_("Role"), max_length=64, required=False)
            self.fields[f"name_{row}"] = forms.CharField(label=_("Name"), max_length=128, required=False)
            self.fields[f"email_{row}"] = forms.EmailField(label=_("Email"), required=False)
            self.fields[f"phone_{row}"] = forms.RegexField(PHONE, label=_("Telephone"), max_length=32, required=False)

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        for row in range(MOST_CONTACTS):
            role, name, email, phone = (said.get(f"{part}_{row}") for part in ("role", "name", "email", "phone"))
            if not any((role, name, email, phone)):
                continue
            if not role:
                self.add_error(f"role_{row}", _("Enter the role of this person."))
            if not name:
                self.add_error(f"name_{row}", _("Enter the name of this person."))
            if not (email or phone) and not {f"email_{row}", f"phone_{row}"} & set(self.errors):
                self.add_error(f"email_{row}", _("Enter an email address or a telephone number."))
        return said


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    title: Promise
    form: type[StepForm]
    rows: int = 1  # the maximum number of rows in the form; all rows have the same fields


STEPS = (
    Step("identity", gettext_lazy("Identity"), Identity),
    Step("money", gettext_lazy("Currencies and caps"), Money, MOST_CURRENCIES),
    Step("connection", gettext_lazy("Connection"), Connection),
    Step("security", gettext_lazy("Certificates and keys"), Security),
    Step("contacts", gettext_lazy("Contacts"), Contacts, MOST_CONTACTS),
)
REVIEW = "review"


def payload_of(said: Said) -> Payload:
    """Returns the payload of the request, from the values of all steps."""
    money, contacts = said["money"], said["contacts"]
    parts = ("role", "name", "email", "phone")
    return {
        "participant": said["identity"]["name"],
        "currencies": [
            {"currency": money[f"currency_{row}"], "ndc": money[f"ndc_{row}"]}
            for row in range(MOST_CURRENCIES)
            if money[f"currency_{row}"]
        ],
        "endpoint": said["connection"]["endpoint"],
        "networks": said["connection"]["networks"],
        "csr": said["security"]["csr"],
        "days": settings.CLIENT_CERTIFICATE_DAYS,
        "key": said["security"]["key"],
        "contacts": [
            {part: contacts[f"{part}_{row}"] for part in parts}
            for row in range(MOST_CONTACTS)
            if contacts[f"name_{row}"]
        ],
    }
