"""The kinds of change that add a participant with its first settings, or add a currency to a participant."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants import credentials, networks_and_contacts
from hub.participants import services as participants
from hub.participants.endpoint_types_and_urls import BASE
from hub.participants.models import Credential, Participant
from ledger import accounts_and_funds
from ledger.models import Account
from portal import go_live_checks
from portal.changes.change_kind import (
    CanNotBeDone,
    Kind,
    Line,
    Payload,
    must_still_be,
    must_still_be_open,
    participant_named,
)
from portal.changes.credentials import described_key, described_request
from portal.changes.networks_and_contacts import told_contact, told_networks
from portal.permissions import Right


def _currencies(payload: Payload) -> list[dict[str, Any]]:
    # Older requests have a single currency, because a new participant could not have several currencies at that time.
    return payload.get("currencies") or [{"currency": payload["currency"], "ndc": payload["ndc"]}]


def described(payload: Payload) -> list[Line]:
    """Returns lines with all settings of a new participant, for the requester and the approver."""
    name = payload["participant"]
    lines = [Line(_("Participant"), name), _heading(_("Currencies and caps"))]
    for found in _currencies(payload):
        lines.append(Line(_("Net debit cap"), found["ndc"], found["currency"]))
    lines += [
        _heading(_("Connection")),
        Line(_("Callback URL"), payload["endpoint"] or "–"),
        Line(_("Allowed source addresses"), told_networks(payload.get("networks", []))),
    ]
    if payload.get("csr"):
        lines.append(_heading(_("Client certificate")))
        lines += described_request(payload["csr"], name=name, days=payload["days"])
    if payload.get("key"):
        lines.append(_heading(_("Signing key")))
        lines += described_key(Credential.Kind.SIGNING_KEY, payload["key"])
    if payload.get("contacts"):
        lines.append(_heading(_("Contacts")))
    return lines + [Line(_("Contact"), told_contact(contact)) for contact in payload.get("contacts", [])]


def _heading(text: str) -> Line:
    return Line(text, is_heading=True)


def _onboard(payload: Payload, actor: str) -> None:
    name = payload["participant"]
    for found in _currencies(payload):
        participant = _open(name, found["currency"], found["ndc"], actor, is_live=False)
    if payload["endpoint"]:
        participants.set_endpoint(participant, endpoint_type=BASE, value=payload["endpoint"], actor=actor)
    if payload.get("networks"):
        networks_and_contacts.set_networks(participant, networks=payload["networks"], actor=actor)
    for contact in payload.get("contacts", []):
        networks_and_contacts.add_contact(participant, **contact, actor=actor)
    if payload.get("csr"):
        credentials.issue_certificate(participant, csr=payload["csr"], days=payload["days"], actor=actor)
    if payload.get("key"):
        credentials.add_signing_key(participant, key=payload["key"], actor=actor)


def _open(name: str, currency: str, ndc: int, actor: str, *, is_live: bool) -> Participant:
    held = set(Account.objects.filter(participant__is_hub=True, currency=currency).values_list("type", flat=True))
    for account_type in (Account.Type.HUB_RECONCILIATION, Account.Type.HUB_MULTILATERAL_SETTLEMENT):
        if account_type not in held:
            accounts_and_funds.open_hub_account(account_type=account_type, currency=currency, actor=actor)
    participant = accounts_and_funds.register_participant(
        name=name, currency=currency, is_proxy=False, actor=actor, is_live=is_live
    )
    accounts_and_funds.set_initial_limit(participant, currency=currency, ndc=ndc, actor=actor)
    return participant


def _check_new_still(payload: Payload) -> None:
    """Raises Outdated if a participant has the name meanwhile. Names that differ only in case count as equal."""
    must_still_be(Participant.objects.filter(name__iexact=payload["participant"]).exists(), False)


def check_currency_still(payload: Payload) -> None:
    """Raises Outdated if the participant has the currency meanwhile, or was closed permanently."""
    found = must_still_be_open(payload)
    must_still_be(found.accounts.filter(currency=payload["currency"]).exists(), False)


def _describe_currency(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Net debit cap"), payload["ndc"], payload["currency"]),
    ]


def _add_currency(payload: Payload, actor: str) -> None:
    _open(participant_named(payload["participant"]).name, payload["currency"], payload["ndc"], actor, is_live=True)


def _describe_go_live(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("After"), _("live: may send and receive payments")),
    ]


def _checks_now(payload: Payload) -> list[Line]:
    found = go_live_checks.checks_of(participant_named(payload["participant"]))
    return [Line(str(check.title), f"{check.word}: {check.text}") for check in found]


def _check_still_onboarding(payload: Payload) -> None:
    must_still_be(must_still_be_open(payload).onboarding_since is not None, True)


def _go_live(payload: Payload, actor: str) -> None:
    _check_still_onboarding(payload)
    participant = participant_named(payload["participant"])
    failed = next((check for check in go_live_checks.checks_of(participant) if check.stops), None)
    if failed is not None:
        raise CanNotBeDone(
            _("%(name)s cannot go live yet. %(check)s: %(why)s")
            % {"name": participant.name, "check": failed.title, "why": failed.text}
        )
    participants.go_live(participant, actor=actor)


_RIGHTS = (Right.ASK_PARTICIPANTS, Right.CHECK_PARTICIPANTS)
KINDS = [
    Kind(
        "onboard",
        gettext_lazy("Onboard a participant"),
        *_RIGHTS,
        described,
        _onboard,
        check_still=_check_new_still,
        done=gettext_lazy(
            "Request approved. The participant exists, but it is not live: it cannot send or receive payments yet. The "
            "page Go-live shows what is missing."
        ),
    ),
    Kind(
        "go_live",
        gettext_lazy("Let a participant go live"),
        *_RIGHTS,
        _describe_go_live,
        _go_live,
        circumstances=_checks_now,
        check_still=_check_still_onboarding,
    ),
    Kind(
        "add_currency",
        gettext_lazy("Add a currency"),
        *_RIGHTS,
        _describe_currency,
        _add_currency,
        check_still=check_currency_still,
    ),
]
