"""The forms of change requests, with one form for each kind of change."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from directory import aliases
from fspiop.errors import FspiopError
from hub.participants import certificate_authority, endpoint_types_and_urls
from hub.participants.models import Credential, Participant
from ledger.models import SettlementWindow
from portal import scheme_currencies
from portal.changes.credentials import KIND_NAMES
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
from portal.may_send_or_receive_choices import Direction
from portal.parse_typed_values import read_telephone_number
from portal.permissions import PARTICIPANT_ROLES, Role
from portal.views.request_change import AskForm
from settlement import queries
from settlement.models import SettlementModel
from settlement.states import State


class NewCurrency(AskForm):
    currency = forms.ChoiceField(label=gettext_lazy("Currency"), choices=scheme_currencies.choices)
    ndc = AmountField(label=gettext_lazy("Net debit cap"), may_be_zero=True)

    def __init__(self, *args: Any, participant: Participant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.participant = participant

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"]
        if self.participant.accounts.filter(currency=currency).exists():
            raise forms.ValidationError(_("This participant already has this currency."))
        return currency

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        check_minor_unit(self, "ndc", said.get("ndc"), said.get("currency", ""))
        return said


class Networks(AskForm):
    networks = NetworksField()


class NewContact(AskForm):
    role = forms.CharField(
        label=gettext_lazy("Role"),
        max_length=64,
        help_text=gettext_lazy("For example operations, settlement or fraud."),
    )
    name = forms.CharField(label=gettext_lazy("Name"), max_length=128)
    email = forms.EmailField(label=gettext_lazy("Email"), required=False)
    phone = forms.RegexField(PHONE, label=gettext_lazy("Telephone"), max_length=32, required=False)

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if not self.errors and not (said["email"] or said["phone"]):
            self.add_error("email", _("Enter an email address or a telephone number."))
        return said


class CurrencyForm(AskForm):
    """A form for an amount. The page shows the currency of the amount."""

    amount_field = "amount"

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        check_minor_unit(self, self.amount_field, said.get(self.amount_field), self.currency)
        return said


class Cap(CurrencyForm):
    amount_field = "ndc"
    ndc = AmountField(
        label=gettext_lazy("New net debit cap"),
        may_be_zero=True,
        help_text=gettext_lazy("A cap below the current position only stops new payments."),
    )
    alarm_percentage = forms.IntegerField(
        label=gettext_lazy("Alarm when less than this percentage of the limit is available"),
        min_value=0,
        max_value=100,
    )


class Funds(CurrencyForm):
    amount = AmountField(label=gettext_lazy("Amount"))
    reference = forms.CharField(label=gettext_lazy("Bank's reference"), max_length=512, required=False)


class FundsEnd(AskForm):
    outcome = forms.ChoiceField(
        label=gettext_lazy("Outcome"),
        choices=[
            ("paid", gettext_lazy("The bank paid the money out")),
            ("stays", gettext_lazy("The bank did not pay the money out: the money stays in the account")),
        ],
        widget=forms.RadioSelect,
    )
    reference = forms.CharField(label=gettext_lazy("Bank's reference"), max_length=512, required=False)


class EndpointChange(AskForm):
    type = forms.CharField(label=gettext_lazy("Type"), max_length=64)
    value = forms.CharField(label=gettext_lazy("Address"), max_length=512)

    def clean_type(self) -> str:
        name: str = self.cleaned_data["type"]
        if not endpoint_types_and_urls.is_known_type(name):
            raise forms.ValidationError(_("This is not an endpoint type."))
        return name

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if (
            said.get("type") not in endpoint_types_and_urls.EMAIL_TYPES | endpoint_types_and_urls.ALARM_NUMBER_TYPES
            and "value" in said
        ):
            try:
                callback_url(said["value"], said.get("type", endpoint_types_and_urls.BASE))
            except forms.ValidationError as error:
                self.add_error("value", error)
        return said


class Directions(AskForm):
    direction = forms.ChoiceField(
        label=gettext_lazy("Permissions"),
        choices=[(found.value, found.label) for found in (Direction.BOTH, Direction.SEND, Direction.RECEIVE)],
        widget=forms.RadioSelect,
    )


class SigningRequest(AskForm):
    csr = PemField(
        label=gettext_lazy("Signing request"),
        help_text=CSR_HELP,
    )

    def __init__(self, *args: Any, participant: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.participant = participant

    def clean_csr(self) -> str:
        text: str = self.cleaned_data["csr"]
        readable(lambda: certificate_authority.read_request(text, name=self.participant))
        return text


class NewCredential(AskForm):
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=[(kind.value, KIND_NAMES[kind]) for kind in (Credential.Kind.SIGNING_KEY, Credential.Kind.CERTIFICATE)],
        widget=forms.RadioSelect,
        initial=Credential.Kind.SIGNING_KEY,
    )
    text = PemField(
        label=gettext_lazy("Public key or certificate"),
        help_text=gettext_lazy(
            "Enter a signing key as PEM, X.509 or JWK, or a TLS client certificate as X.509 in PEM."
        ),
    )

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if "kind" in said and "text" in said:
            try:
                readable(lambda: read_credential(said["kind"], said["text"]))
            except forms.ValidationError as error:
                self.add_error("text", error)
        return said


class NewUser(AskForm):
    username = forms.CharField(label=gettext_lazy("User name"), max_length=40)
    email = forms.EmailField(
        label=gettext_lazy("Email"), help_text=gettext_lazy("Each person must have their own address.")
    )
    roles = forms.MultipleChoiceField(
        label=gettext_lazy("Roles"), choices=Role.choices, widget=forms.CheckboxSelectMultiple
    )
    participant = forms.ModelChoiceField(
        label=gettext_lazy("Participant"),
        queryset=Participant.objects.filter(is_hub=False, closed_at=None).order_by("name"),
        required=False,
        empty_label=gettext_lazy("none: a user of the hub"),
    )


class NewEmail(AskForm):
    email = forms.EmailField(
        label=gettext_lazy("New email address"), help_text=gettext_lazy("Each person must have their own address.")
    )


class Roles(AskForm):
    roles = forms.MultipleChoiceField(label=gettext_lazy("Roles"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, is_participants: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["roles"].choices = [  # type: ignore[attr-defined]
            (role.value, role.label) for role in Role if (role in PARTICIPANT_ROLES) == is_participants
        ]


class OracleTerms(AskForm):
    type = forms.ChoiceField(label=gettext_lazy("Type"), choices=[(name, name) for name in sorted(aliases.TYPES)])
    currency = forms.ChoiceField(
        label=gettext_lazy("Currency"),
        required=False,
        choices=lambda: [("", gettext_lazy("all")), *scheme_currencies.choices()],
    )
    endpoint = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=512,
        help_text=gettext_lazy("The base address. The hub appends /participants/... to this address."),
    )
    is_default = forms.BooleanField(label=gettext_lazy("Default oracle if a request names no currency"), required=False)

    def clean_endpoint(self) -> str:
        return callback_url(self.cleaned_data["endpoint"])


class TestNumber(forms.Form):
    type = forms.ChoiceField(label=gettext_lazy("Type"), choices=[(name, name) for name in sorted(aliases.TYPES)])
    identifier = forms.CharField(label=gettext_lazy("Test number"), max_length=128)

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if not self.errors:
            if said["type"] == "MSISDN":
                written = "".join(said["identifier"].split())
                said["identifier"] = read_telephone_number(written) or written
            try:
                aliases.check_form(aliases.Alias(said["type"], said["identifier"]))
            except FspiopError as error:
                self.add_error("identifier", error.detail or error.description)
        return said


class Porting(AskForm):
    to = forms.ModelChoiceField(label=gettext_lazy("To"), queryset=Participant.objects.none(), to_field_name="name")

    def __init__(self, *args: Any, but: Participant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = Participant.objects.filter(is_hub=False, is_active=True).exclude(pk=but.pk)
        self.fields["to"].queryset = others.order_by("name")  # type: ignore[attr-defined]


class SettlementStep(AskForm):
    to = forms.ChoiceField(label=gettext_lazy("Continue up to"), widget=forms.RadioSelect)
    without_statement = forms.BooleanField(label=gettext_lazy("Settle without a bank statement"), required=False)
    because = forms.CharField(
        label=gettext_lazy("Explanation of the missing statement, and other evidence that the money moved"),
        required=False,
        max_length=512,
    )

    def __init__(self, *args: Any, steps: Sequence[tuple[str, Any]], lacks_statement: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to"].choices = steps  # type: ignore[attr-defined]
        self.lacks_statement = lacks_statement
        if not lacks_statement:
            del self.fields["without_statement"], self.fields["because"]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if said.get("to") != State.SETTLED or not self.lacks_statement:
            said["because"] = ""
        elif not said.get("without_statement"):
            self.add_error(
                "without_statement",
                _(
                    "No bank statement has been uploaded. Upload a statement first, or tick this box and "
                    "explain why there is none."
                ),
            )
        elif not said.get("because", "").strip():
            self.add_error("because", _("Explain why there is no statement."))
        return said


class Reason(forms.Form):
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=512)


class StatementFile(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("The bank's statement, as CSV or camt.053"),
        max_length=128,
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.xml,text/csv,application/xml"}),
    )


class SettlementModelField(forms.ModelChoiceField):
    """Offers the models with the currency and the account that each model settles."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name} ({obj.currency or _('all other currencies')}, {obj.ledger_account_type})"


class NewSettlement(Reason):
    """Offers the models that can settle a part of the window. A window can need a settlement for each model."""

    model = SettlementModelField(
        label=gettext_lazy("Model"), queryset=SettlementModel.objects.none(), empty_label="–", to_field_name="name"
    )

    def __init__(self, *args: Any, window: SettlementWindow, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["model"].queryset = queries.models_for(window)  # type: ignore[attr-defined]
