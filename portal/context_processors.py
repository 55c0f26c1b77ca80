"""The context that every page of the portal has: the menu with the pages that this visitor may open."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from hub.audit.models import Approval, Consent
from portal import changes, first_sign_in_confirmation
from portal.alarms import queries as alarms
from portal.permissions import Right
from portal.visitor import Visitor, visitor_of


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the menu. `pages` has the URL names of further pages that belong to this item."""

    text: Promise
    icon: str
    name: str
    right: Right
    pages: tuple[str, ...] = ()


MENU = [
    Item(_("Overview"), "overview", "overview", Right.SEE_OVERVIEW, ("skipped_rows",)),
    Item(_("Find a payment"), "search", "payments", Right.SEE_TRANSFERS, ("quote", "request_to_pay")),
    Item(_("Alarms"), "alarm", "alarms", Right.SEE_ALARMS, ("runbook",)),
    Item(_("Transfers"), "transfers", "transfers", Right.SEE_TRANSFERS, ("transfer",)),
    Item(_("History"), "history", "history", Right.SEE_TRANSFERS),
    Item(
        _("Conversions"),
        "conversions",
        "conversions",
        Right.SEE_TRANSFERS,
        ("conversion", "terms_of_conversions"),
    ),
    Item(_("Callbacks"), "callbacks", "callbacks", Right.SEE_CALLBACKS),
    Item(
        _("Directory"),
        "directory",
        "directory",
        Right.SEE_DIRECTORY,
        ("shared_aliases", "port_alias", "add_oracle", "change_oracle", "remove_oracle"),
    ),
    Item(
        _("Participants"),
        "participants",
        "participants",
        Right.SEE_PARTICIPANTS,
        ("participant", "onboard", "account_statement", "certifications", "certify", "certification"),
    ),
    Item(
        _("Settlement"),
        "settlement",
        "settlement",
        Right.SEE_SETTLEMENT,
        ("settlements", "window", "settlement_of", "advance_settlement", "statement"),
    ),
    # For a participant's users, the first item of the menu leads to the participant's page.
    Item(_("Participant"), "participants", "home", Right.SEE_OWN_SETTLEMENT, ("participant", "account_statement")),
    Item(_("Settlement"), "settlement", "own_settlement", Right.SEE_OWN_SETTLEMENT),
    Item(
        _("Rules"),
        "rules",
        "rules",
        Right.SEE_RULES,
        (
            "rules_version",
            "import_rules",
            "switch_rules_off",
            "cancel_rules",
            "add_exception",
            "end_exception",
            "activate_rules",
            "rule_templates",
            "add_rule",
        ),
    ),
    Item(_("Held transfers"), "clock", "held_transfers", Right.SEE_FRAUD_CONTROL, ("release_held", "refuse_held")),
    Item(
        _("Alerts"),
        "alert",
        "alerts",
        Right.SEE_FRAUD_CONTROL,
        (
            "alert",
            "block_from_alert",
            "mark_from_alert",
            "stop_from_alert",
            "release_from_alert",
            "refuse_from_alert",
        ),
    ),
    Item(
        _("Lists and markers"),
        "lists",
        "lists",
        Right.SEE_FRAUD_CONTROL,
        (
            "create_list",
            "list",
            "import_list",
            "add_to_list",
            "remove_from_list",
            "name_matches",
            "clear_match",
            "markers",
            "file_marker",
            "lift_marker",
            "reject_appeal",
            "kill_switches",
            "switch_on",
            "switch_off",
        ),
    ),
    Item(
        _("Hub"),
        "hub",
        "hub_accounts",
        Right.SEE_HUB,
        (
            "open_hub_account",
            "settlement_models",
            "create_settlement_model",
            "set_settlement_model_active",
            "currency_pairs",
            "offer_pair",
            "withdraw_pair",
            "hub_certificates",
            "settings_in_force",
        ),
    ),
    Item(_("Approvals"), "approvals", "approvals", Right.SEE_APPROVALS, ("approval",)),
    Item(
        _("Users"),
        "users",
        "users",
        Right.SEE_USERS,
        ("user", "create_user", "change_roles", "change_user_activity", "reset_second_factor", "change_email"),
    ),
    Item(_("API clients"), "account", "clients", Right.SEE_USERS, ("create_client", "client_secret", "revoke_client")),
    Item(_("Notifications"), "notifications", "notifications", Right.SEE_NOTIFICATIONS),
    Item(_("Audit trail"), "audit", "audit", Right.SEE_AUDIT),
]


def portal(request: HttpRequest) -> dict[str, Any]:
    """Returns the template context of pages below /portal/. The template context of all other pages is empty."""
    if not request.path_info.startswith("/portal/"):
        return {}
    visitor = visitor_of(request)
    match = request.resolver_match
    here = match.url_name if match else ""
    if not visitor.has_second_factor:
        return {"visitor": visitor, "menu": [], "may": {}, "hub_name": settings.HUB_NAME}
    counts = _counts(visitor)
    menu = [
        {
            "text": item.text,
            "icon": item.icon,
            "url": reverse(item.name),
            "is_here": here in (item.name, *item.pages),
            "count": counts.get(item.name, 0),
        }
        for item in MENU
        if visitor.may(item.right)
    ]
    may = {right.name.lower(): True for right in visitor.rights}
    return {"visitor": visitor, "menu": menu, "may": may, "hub_name": settings.HUB_NAME}


def _counts(visitor: Visitor) -> dict[str, int]:
    """Returns how many requests, alarms and first sign-ins wait for this visitor. Three items of the menu show these
    numbers. Runs one SQL statement."""
    kinds = [kind.name for kind in changes.KINDS.values() if visitor.may(kind.check)]
    if visitor.user is None:
        return {}
    waiting = Approval.objects.filter(state=Approval.State.PENDING, expires_at__gt=timezone.now(), kind__in=kinds)
    mine = Q(maker=visitor.user) | Q(holder=visitor.user)
    counted: dict[str, Subquery] = {}
    if kinds:
        agreed = Exists(Consent.objects.filter(approval=OuterRef("pk"), checker=visitor.user))
        counted["approvals"] = _count(waiting.exclude(mine).exclude(agreed))
    if visitor.may(Right.SEE_ALARMS):
        counted["alarms"] = _count(alarms.new())
    if visitor.may(Right.CONFIRM_USERS):
        counted["users"] = _count(first_sign_in_confirmation.waiting())
    if not counted:
        return {}
    found = User.objects.filter(pk=visitor.user.pk).values_list(*counted.values()).get()
    return {name: count or 0 for name, count in zip(counted, found, strict=True)}


def _count(rows: "QuerySet[Any]") -> Subquery:
    return Subquery(rows.order_by().annotate(one=Value(1)).values("one").annotate(rows=Count("*")).values("rows"))
