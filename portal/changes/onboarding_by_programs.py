"""The steps in which programs onboard a participant. In the portal, one request contains all steps of an onboarding."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ledger import accounts_and_funds
from ledger.models import Account
from portal.changes.change_kind import CanNotBeDone, Kind, Line, Payload, must_still_be, participant_named
from portal.permissions import Right


def _describe_hub_account(payload: Payload) -> list[Line]:
    return [Line(_("Type"), payload["type"]), Line(_("Currency"), payload["currency"])]


def _open_hub_account(payload: Payload, actor: str) -> None:
    accounts_and_funds.open_hub_account(account_type=payload["type"], currency=payload["currency"], actor=actor)


def _describe_participant(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Currency"), payload["currency"]),
        Line(_("Proxy of another scheme"), _("yes") if payload["is_proxy"] else _("no")),
    ]


def _register(payload: Payload, actor: str) -> None:
    accounts_and_funds.register_participant(
        name=payload["participant"], currency=payload["currency"], is_proxy=payload["is_proxy"], actor=actor
    )


def _describe_limit(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Net debit cap"), payload["ndc"], payload["currency"]),
    ]


def _set_limit(payload: Payload, actor: str) -> None:
    participant = participant_named(payload["participant"])
    accounts_and_funds.set_initial_limit(participant, currency=payload["currency"], ndc=payload["ndc"], actor=actor)


def _describe_activity(payload: Payload) -> list[Line]:
    after = _("active") if payload["is_active"] else _("inactive: no payments in this currency")
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Account"), f"{payload['account']}, {payload['type']}, {payload['currency']}"),
        Line(_("After"), after),
    ]


def _set_active(payload: Payload, actor: str) -> None:
    participant = participant_named(payload["participant"])
    account = Account.objects.filter(participant=participant, pk=payload["account"]).first()
    if account is None:
        raise CanNotBeDone(_("This account does not exist."))
    must_still_be(account.is_active, payload["before"])
    accounts_and_funds.set_account_active(account, is_active=payload["is_active"], actor=actor)


_RIGHTS = (Right.ASK_PARTICIPANTS, Right.CHECK_PARTICIPANTS)
KINDS = [
    Kind(
        "open_hub_account",
        gettext_lazy("Open an account of the hub"),
        *_RIGHTS,
        _describe_hub_account,
        _open_hub_account,
    ),
    Kind("register_participant", gettext_lazy("Register a participant"), *_RIGHTS, _describe_participant, _register),
    Kind(
        "set_initial_limit",
        gettext_lazy("Set the first net debit cap"),
        Right.ASK_LIMITS,
        Right.CHECK_LIMITS,
        _describe_limit,
        _set_limit,
    ),
    Kind(
        "set_account_active",
        gettext_lazy("Activate or deactivate an account"),
        *_RIGHTS,
        _describe_activity,
        _set_active,
    ),
]
