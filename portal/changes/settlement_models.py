"""The kinds of change for the scheme's settlement models and types of account."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.changes.change_kind import Kind, Line, Payload, must_still_be
from portal.permissions import Right
from settlement.models import LedgerAccountType, SettlementModel
from settlement.services import settlement_models


def _yes(is_so: bool) -> str:
    return _("yes") if is_so else _("no")


def _describe_model(payload: Payload) -> list[Line]:
    how = (payload["delay"], payload["granularity"], payload["interchange"])
    return [
        Line(_("Settlement model"), payload["name"]),
        Line(_("Method"), ", ".join(how)),
        Line(_("Currency"), payload["currency"] or _("all")),
        Line(_("Account"), f"{payload['ledger_account_type']} → {payload['settlement_account_type']}"),
        Line(_("Net debit cap and cover are checked"), _yes(payload["require_liquidity_check"])),
        Line(_("Resets positions"), _yes(payload["auto_position_reset"])),
    ]


def _check_model_still(payload: Payload) -> None:
    must_still_be(SettlementModel.objects.filter(name=payload["name"]).exists(), False)


def _create_model(payload: Payload, actor: str) -> None:
    settlement_models.create_model(**payload, actor=actor)


def _describe_activity(payload: Payload) -> list[Line]:
    after = _("active") if payload["is_active"] else _("inactive: the hub no longer settles with this model")
    return [Line(_("Settlement model"), payload["name"]), Line(_("After"), after)]


def _check_activity_still(payload: Payload) -> None:
    found = SettlementModel.objects.filter(name=payload["name"])
    must_still_be(found.values_list("is_active", flat=True).first(), not payload["is_active"])


def _set_active(payload: Payload, actor: str) -> None:
    settlement_models.set_model_active(payload["name"], is_active=payload["is_active"], actor=actor)


def _describe_type(payload: Payload) -> list[Line]:
    return [
        Line(_("Type"), payload["name"]),
        Line(_("Description"), payload["description"]),
        Line(_("Can be settled"), _yes(payload["is_settleable"])),
    ]


def _check_type_still(payload: Payload) -> None:
    must_still_be(LedgerAccountType.objects.filter(name=payload["name"]).exists(), False)


def _create_type(payload: Payload, actor: str) -> None:
    settlement_models.create_account_type(**payload, actor=actor)


_RIGHTS = (Right.ASK_SETTLEMENT, Right.CHECK_SETTLEMENT)
KINDS = [
    Kind(
        "create_settlement_model",
        gettext_lazy("Create a settlement model"),
        *_RIGHTS,
        _describe_model,
        _create_model,
        check_still=_check_model_still,
    ),
    Kind(
        "set_settlement_model_active",
        gettext_lazy("Activate or deactivate a settlement model"),
        *_RIGHTS,
        _describe_activity,
        _set_active,
        check_still=_check_activity_still,
    ),
    Kind(
        "create_account_type",
        gettext_lazy("Create a type of account"),
        *_RIGHTS,
        _describe_type,
        _create_type,
        check_still=_check_type_still,
    ),
]
