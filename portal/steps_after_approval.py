"""The steps that people take after the approval of a request, as links for the page of the request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from hub.audit.models import Approval
from hub.participants.models import Participant
from ledger.models import FundsMovement
from portal.permissions import Right
from portal.visitor import Visitor

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Next:
    text: str
    url: str


def of(approval: Approval, visitor: Visitor) -> list[Next]:
    """Returns the steps that come after this request, if the visitor may take these steps."""
    make = _STEPS.get(approval.kind)
    return make(approval.payload, visitor) if make is not None else []


def _participant(payload: Payload, _visitor: Visitor) -> list[Next]:
    name = payload.get("participant", "")
    if not Participant.objects.filter(name=name, is_hub=False).exists():
        return []
    return [Next(_("Open the participant's page"), reverse("participant", args=[name]))]


def _onboarded(payload: Payload, visitor: Visitor) -> list[Next]:
    found = _participant(payload, visitor)
    currencies = payload.get("currencies") or [payload]
    if found:
        found.append(Next(_("Open the page Go-live"), reverse("go_live", args=[payload["participant"]])))
    if found and visitor.may(Right.ASK_FUNDS):
        name = payload["participant"]
        found += [
            Next(
                _("Record the first funds in %(currency)s") % {"currency": each["currency"]},
                reverse("funds_in", args=[name, each["currency"]]),
            )
            for each in currencies
            if each.get("currency")
        ]
    return found


def _withdrawn(payload: Payload, visitor: Visitor) -> list[Next]:
    found = _participant(payload, visitor)
    waits = FundsMovement.objects.filter(pk=payload["transfer_id"], state="RESERVED").exists()
    if found and waits and visitor.may(Right.ASK_FUNDS):
        url = reverse("end_funds_out", args=[payload["participant"], payload["transfer_id"]])
        found.insert(0, Next(_("When the bank has paid: record the outcome"), url))
    return found


def _settlement(payload: Payload, visitor: Visitor) -> list[Next]:
    number = payload.get("settlement") or payload.get("id")
    if not isinstance(number, int) or not visitor.may(Right.SEE_SETTLEMENT):
        return []
    return [Next(_("Open the settlement"), reverse("settlement_of", args=[number]))]


def _rules(payload: Payload, visitor: Visitor) -> list[Next]:
    return [Next(_("Open the rules"), reverse("rules"))] if visitor.may(Right.SEE_RULES) else []


def _page(right: Right, name: str, text: Callable[[], str]) -> Callable[[Payload, Visitor], list[Next]]:
    return lambda _payload, visitor: [Next(text(), reverse(name))] if visitor.may(right) else []


_STEPS: dict[str, Callable[[Payload, Visitor], list[Next]]] = {
    **dict.fromkeys(
        (
            "change_cap",
            "funds_in",
            "end_funds_out",
            "add_currency",
            "set_active",
            "set_directions",
            "set_endpoint",
            "sign_certificate",
            "add_credential",
            "revoke_credential",
            "set_networks",
            "add_client",
            "set_jws_compat",
            "add_contact",
            "remove_contact",
            "set_initial_limit",
            "set_account_active",
            "go_live",
        ),
        _participant,
    ),
    "onboard": _onboarded,
    "register_participant": _participant,
    "funds_out": _withdrawn,
    **dict.fromkeys(
        (
            "advance_settlement",
            "move_settlement",
            "abort_settlement",
            "release_hold",
            "settle_with_payments",
        ),
        _settlement,
    ),
    **dict.fromkeys(("activate_rules", "cancel_rules", "grant_variance"), _rules),
    "add_administration_client": _page(Right.SEE_USERS, "clients", lambda: _("Hand over the client's secret")),
    **dict.fromkeys(
        ("create_settlement_model", "set_settlement_model_active"),
        _page(Right.SEE_HUB, "settlement_models", lambda: _("Open the settlement models")),
    ),
    **dict.fromkeys(
        ("offer_pair", "withdraw_pair"), _page(Right.SEE_HUB, "currency_pairs", lambda: _("Open the currency pairs"))
    ),
    "open_hub_account": _page(Right.SEE_HUB, "hub_accounts", lambda: _("Open the hub's accounts")),
}
