"""The steps in which programs onboard a participant. In the portal, one request contains all steps of an onboarding."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants.models import Participant
from ledger import accounts_and_funds
from ledger.models import Account
from portal.changes.change_kind import (
    CanNotBeDone,
    Kind,
    Line,
    Payload,
    must_still_be,
    must_still_be_open,
    participant_named,
)
from portal.changes.onboarding import check_currency_still
from portal.permissions import Right


def _describe_hub_account(payload: Payload) -> list[Line]:
    return [Line(_("Type"), payload["type"]), Line(_("Currency"), payload["currency"])]


def _open_hub_account(payload: Payload, actor: str) -> None:
    accounts_and_funds.open_hub_account(account_type=payload["type"], currency=payload["currency"], actor=actor)


def _check_hub_account_still(payload: Payload) -> None:
    found = Account.objects.filter(participant__is_hub=True, type=payload["type"], currency=payload["currency"])
    must_still_be(found.exists(), False)


def _describe_participant(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Currency"), payload["currency"]),
        Line(_("Proxy of another scheme"), _("yes") if payload["is_proxy"] else _("no")),
    ]


def _check_participant_still(payload: Payload) -> None:
    """Raises Outdated if the participant has the currency meanwhile or was closed permanently, or if another
    participant has a name that differs only in case."""
    name = payload["participant"]
    if Participant.objects.filter(name=name, is_hub=False).exists():
        check_currency_still(payload)
    else:
        must_still_be(Participant.objects.filter(name__iexact=name).exists(), False)


def _register(payload: Payload, actor: str) -> None:
    accounts_and_funds.register_participant(
        name=payload["participant"], currency=payload["currency"], is_proxy=payload["is_proxy"], actor=actor
    )


def _describe_limit(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Net debit cap"), payload["ndc"], payload["currency"]),
    ]


def _check_limit_still(payload: Payload) -> None:
    """Raises Outdated if the account has a net debit cap meanwhile, or if the participant was closed permanently."""
    positions = Account.objects.filter(
        participant=must_still_be_open(payload), currency=payload["currency"], type=Account.Type.POSITION
    )
    must_still_be(positions.filter(net_debit_cap__isnull=False).exists(), False)


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


def _account(payload: Payload) -> Account:
    participant = participant_named(payload["participant"])
    account = Account.objects.filter(participant=participant, pk=payload["account"]).first()
    if account is None:
        raise CanNotBeDone(_("This account does not exist."))
    return account


def _check_activity_still(payload: Payload) -> None:
    account = _account(payload)
    must_still_be((account.is_active, account.closed_at), (payload["before"], None))


def _set_active(payload: Payload, actor: str) -> None:
    _check_activity_still(payload)
    account = _account(payload)
    accounts_and_funds.set_account_active(account, is_active=payload["is_active"], actor=actor)


_RIGHTS = (Right.ASK_PARTICIPANTS, Right.CHECK_PARTICIPANTS)
KINDS = [
    Kind(
        "open_hub_account",
        gettext_lazy("Open an account of the hub"),
        *_RIGHTS,
        _describe_hub_account,
        _open_hub_account,
        check_still=_check_hub_account_still,
    ),
    Kind(
        "register_participant",
        gettext_lazy("Register a participant"),
        *_RIGHTS,
        _describe_participant,
        _register,
        check_still=_check_participant_still,
    ),
    Kind(
        "set_initial_limit",
        gettext_lazy("Set the first net debit cap"),
        Right.ASK_LIMITS,
        Right.CHECK_LIMITS,
        _describe_limit,
        _set_limit,
        check_still=_check_limit_still,
    ),
    Kind(
        "set_account_active",
        gettext_lazy("Activate or deactivate an account"),
        *_RIGHTS,
        _describe_activity,
        _set_active,
        check_still=_check_activity_still,
    ),
]
