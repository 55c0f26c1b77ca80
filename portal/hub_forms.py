"""The forms of the pages about the hub itself."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants.models import Participant
from ledger.models import Account
from portal import scheme_currencies
from portal.views.request_change import AskForm
from portal.words import kinds
from settlement.models import LedgerAccountType, SettlementModel
from settlement.services import settlement_models

_METHODS = (
    "DEFERRED NET MULTILATERAL",
    "DEFERRED NET BILATERAL",
    "DEFERRED GROSS BILATERAL",
    "IMMEDIATE GROSS BILATERAL",
)


def _or_all_others() -> list[tuple[str, Any]]:
    return [("", gettext_lazy("all other currencies")), *scheme_currencies.choices()]


def _none_preselected() -> list[tuple[str, str]]:
    return [("", "–"), *scheme_currencies.choices()]


class NewHubAccount(AskForm):
    type = forms.ChoiceField(
        label=gettext_lazy("Type"),
        choices=[(kind, kind) for kind in (Account.Type.HUB_RECONCILIATION, Account.Type.HUB_MULTILATERAL_SETTLEMENT)],
    )
    currency = forms.ChoiceField(label=gettext_lazy("Currency"), choices=scheme_currencies.choices)

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        found = Account.objects.filter(participant__is_hub=True, currency=said.get("currency"), type=said.get("type"))
        if found.exists():
            raise forms.ValidationError(_("The hub already has this account."))
        return said


class NewModel(AskForm):
    name = forms.RegexField(
        r"\A[A-Za-z0-9_]{2,30}\Z",
        label=gettext_lazy("Name"),
        error_messages={"invalid": gettext_lazy("2 to 30 letters, digits or underscores.")},
    )
    method = forms.ChoiceField(
        label=gettext_lazy("Method"),
        choices=[(name, kinds.WORDS[name]) for name in _METHODS],
        widget=forms.RadioSelect,  # a list would cut the long texts
    )
    currency = forms.ChoiceField(label=gettext_lazy("Currency"), choices=_or_all_others, required=False)
    account_type = forms.ChoiceField(label=gettext_lazy("Account"), initial="POSITION")
    require_liquidity_check = forms.BooleanField(
        label=gettext_lazy("Net debit cap and cover are checked"), required=False, initial=True
    )
    auto_position_reset = forms.BooleanField(label=gettext_lazy("Resets positions"), required=False, initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = LedgerAccountType.objects.filter(is_settleable=True).order_by("name").values_list("name", flat=True)
        self.fields["account_type"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if SettlementModel.objects.filter(name=said.get("name")).exists():
            self.add_error("name", _("A settlement model already has this name."))
        is_immediate = str(said.get("method", "")).startswith("IMMEDIATE")
        if is_immediate and (not said.get("currency") or said.get("account_type") != "POSITION"):
            self.add_error("currency", _("Immediate settlement needs one currency, and settles the account POSITION."))
        same = SettlementModel.objects.filter(
            currency=said.get("currency") or None, ledger_account_type=said.get("account_type"), is_active=True
        )
        if same.exists():
            self.add_error("currency", _("Another active model already settles this currency and account."))
        return said

    @staticmethod
    def payload(said: dict[str, Any]) -> dict[str, Any]:
        delay, granularity, interchange = said["method"].split()
        account_type = said["account_type"]
        return {
            "name": said["name"],
            "granularity": granularity,
            "interchange": interchange,
            "delay": delay,
            "currency": said["currency"] or None,
            "require_liquidity_check": said["require_liquidity_check"],
            "auto_position_reset": said["auto_position_reset"],
            "ledger_account_type": account_type,
            "settlement_account_type": settlement_models.settled_into(account_type),
        }


class NewPair(AskForm):
    participant = forms.ChoiceField(label=gettext_lazy("Participant"))
    source = forms.ChoiceField(label=gettext_lazy("From currency"), choices=_none_preselected)
    target = forms.ChoiceField(label=gettext_lazy("To currency"), choices=_none_preselected)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = Participant.objects.filter(is_hub=False, closed_at__isnull=True).order_by("name")
        choices = [(name, name) for name in names.values_list("name", flat=True)]
        self.fields["participant"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if said.get("source") == said.get("target"):
            self.add_error("target", _("A conversion needs two different currencies."))
        return said
