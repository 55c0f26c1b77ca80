"""The kinds of change for funds in and funds out: money that arrives at, or leaves, the settlement bank."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ledger import accounts_and_funds, settlement_holds
from ledger.models import Account
from portal.changes.change_kind import CanNotBeDone, Kind, Line, Payload, participant_named
from portal.permissions import Right


def _settlement_account(payload: Payload) -> Account:
    found = (
        Account.objects.select_related("participant")
        .filter(
            participant=participant_named(payload["participant"]),
            currency=payload["currency"],
            type=Account.Type.SETTLEMENT,
        )
        .first()
    )
    if found is None:
        raise CanNotBeDone(_("This account does not exist."))
    return found


def _describe(payload: Payload) -> list[Line]:
    return [
        Line(_("Participant"), payload["participant"]),
        Line(_("Amount"), payload["amount"], payload["currency"]),
        Line(_("Bank's reference"), payload["reference"]),
        Line(_("Movement"), payload["transfer_id"]),
        *(Line(key, value) for key, value in _extensions(payload)),
    ]


def _describe_out(payload: Payload) -> list[Line]:
    lines = _describe(payload)
    if settlement_holds.is_named_by(payload["participant"], payload["currency"], payload["reference"]):
        number = {"number": payload["reference"]}
        lines.append(
            Line(_("Cover on hold"), _("This payment uses the cover on hold for settlement %(number)s") % number)
        )
    return lines


def _describe_end(payload: Payload) -> list[Line]:
    paid = (
        _("The bank paid the money out")
        if payload["commits"]
        else _("The bank did not pay the money out: the money stays in the account")
    )
    return [*_describe_out(payload), Line(_("Outcome"), paid)]


def _record_in(payload: Payload, actor: str) -> None:
    accounts_and_funds.record_funds_in(
        _settlement_account(payload),
        transfer_id=payload["transfer_id"],
        amount=payload["amount"],
        reason=payload["reason"],
        external_reference=payload["reference"],
        actor=actor,
        extensions=_extensions(payload),
    )


def _extensions(payload: Payload) -> list[tuple[str, str]]:
    """Returns the extensions in a program's request. Requests from the portal have no extensions."""
    return [(key, value) for key, value in payload.get("extensions", [])]


def _reserve_out(payload: Payload, actor: str) -> None:
    accounts_and_funds.prepare_funds_out(
        _settlement_account(payload),
        transfer_id=payload["transfer_id"],
        amount=payload["amount"],
        reason=payload["reason"],
        external_reference=payload["reference"],
        actor=actor,
        extensions=_extensions(payload),
    )


def _end_out(payload: Payload, actor: str) -> None:
    accounts_and_funds.end_funds_out(
        _settlement_account(payload),
        transfer_id=payload["transfer_id"],
        commits=payload["commits"],
        reason=payload["reason"],
        external_reference=payload["reference"],
        actor=actor,
    )


_RIGHTS = (Right.ASK_FUNDS, Right.CHECK_FUNDS)
KINDS = [
    Kind("funds_in", gettext_lazy("Record funds in"), *_RIGHTS, _describe, _record_in),
    Kind(
        "funds_out",
        gettext_lazy("Reserve funds out"),
        Right.ASK_WITHDRAWALS,
        Right.CHECK_FUNDS,
        _describe_out,
        _reserve_out,
    ),
    Kind("end_funds_out", gettext_lazy("Record the outcome of funds out"), *_RIGHTS, _describe_end, _end_out),
]
