"""The kinds of change for funds in and funds out: money that arrives at, or leaves, the settlement bank."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ledger import accounts_and_funds, settlement_holds
from ledger.models import Account, FundsMovement
from portal.changes.change_kind import (
    CanNotBeDone,
    Kind,
    Line,
    Outdated,
    Payload,
    must_still_be,
    participant_named,
    told_amount,
)
from portal.permissions import Right
from portal.queries.positions import Standing, standings


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


def _standing(payload: Payload) -> Standing | None:
    found = standings(participant_named(payload["participant"]))
    return next((standing for standing in found if standing.currency == payload["currency"]), None)


def _circumstances(payload: Payload) -> list[Line]:
    """Returns the cover, and the parts of the cover that are in use."""
    standing, currency = _standing(payload), payload["currency"]
    if standing is None:
        return []
    in_use = max(0, standing.used)
    return [
        Line(_("Cover now"), standing.cover, currency),
        Line(_("On hold for settlements"), standing.on_hold, currency),
        Line(_("Cover in use"), in_use, currency),
        Line(_("Free for a withdrawal"), max(0, standing.cover - in_use), currency),
    ]


def _circumstances_in(payload: Payload) -> list[Line]:
    standing, currency = _standing(payload), payload["currency"]
    if standing is None:
        return []
    return [
        Line(_("Cover now"), standing.cover, currency),
        Line(_("Cover after the change"), standing.cover + payload["amount"], currency),
        Line(_("Cover in use"), max(0, standing.used), currency),
    ]


def _describe_end(payload: Payload) -> list[Line]:
    paid = (
        _("The bank paid the money out")
        if payload["commits"]
        else _("The bank did not pay the money out: the money stays in the account")
    )
    return [*_describe_out(payload), Line(_("Outcome"), paid)]


def _record_in(payload: Payload, actor: str) -> None:
    with _recorded_once():
        accounts_and_funds.record_funds_in(
            _settlement_account(payload),
            transfer_id=payload["transfer_id"],
            amount=payload["amount"],
            reason=payload["reason"],
            external_reference=payload["reference"],
            actor=actor,
            extensions=_extensions(payload),
        )


@contextmanager
def _recorded_once() -> Iterator[None]:
    """Converts the error about a payment that a settlement has recorded to the error of a change."""
    try:
        yield
    except accounts_and_funds.RecordedWithSettlement as refusal:
        told = {"number": refusal.settlement_number}
        raise CanNotBeDone(
            _("The hub has already recorded this payment, together with settlement %(number)s.") % told, refusal=refusal
        ) from None


def _extensions(payload: Payload) -> list[tuple[str, str]]:
    """Returns the extensions that a program's request contains. Requests from the portal have no extensions."""
    return [(key, value) for key, value in payload.get("extensions", [])]


def _reserve_out(payload: Payload, actor: str) -> None:
    try:
        with _recorded_once():
            accounts_and_funds.prepare_funds_out(
                _settlement_account(payload),
                transfer_id=payload["transfer_id"],
                amount=payload["amount"],
                reason=payload["reason"],
                external_reference=payload["reference"],
                actor=actor,
                extensions=_extensions(payload),
            )
    except accounts_and_funds.NotFree as short:
        told = {
            "most": told_amount(short.most, payload["currency"]),
            "amount": told_amount(payload["amount"], payload["currency"]),
        }
        raise CanNotBeDone(
            _("At most %(most)s can be paid out: the rest is in use or on hold. The request is for %(amount)s.") % told,
            refusal=short,
        ) from None


def _check_in_still(payload: Payload) -> None:
    _check_new_still(payload, is_out=False)


def _check_out_still(payload: Payload) -> None:
    _check_new_still(payload, is_out=True)


def _check_new_still(payload: Payload, *, is_out: bool) -> None:
    account = _settlement_account(payload)
    must_still_be(account.closed_at, None)
    must_still_be(FundsMovement.objects.filter(pk=payload["transfer_id"]).exists(), False)
    _check_not_recorded(account, payload["reference"], is_out=is_out)


def _check_not_recorded(account: Account, reference: str, *, is_out: bool) -> None:
    """Raises Outdated if a settlement has recorded the payment meanwhile."""
    try:
        accounts_and_funds.check_not_recorded(account, is_out=is_out, reference=reference)
    except accounts_and_funds.RecordedWithSettlement:
        raise Outdated from None


def _check_end_still(payload: Payload) -> None:
    """Raises Outdated if the withdrawal already has an outcome, or if a settlement has recorded the payment."""
    found = FundsMovement.objects.filter(pk=payload["transfer_id"]).select_related("account").first()
    if found is None:
        return
    must_still_be(found.state, "RESERVED")
    if payload["commits"] and found.hold_id is None:
        _check_not_recorded(found.account, payload["reference"] or found.external_reference, is_out=True)


def _end_out(payload: Payload, actor: str) -> None:
    _check_end_still(payload)
    with _recorded_once():
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
    Kind(
        "funds_in",
        gettext_lazy("Record funds in"),
        *_RIGHTS,
        _describe,
        _record_in,
        circumstances=_circumstances_in,
        check_still=_check_in_still,
    ),
    Kind(
        "funds_out",
        gettext_lazy("Reserve funds out"),
        Right.ASK_WITHDRAWALS,
        Right.CHECK_FUNDS,
        _describe_out,
        _reserve_out,
        circumstances=_circumstances,
        check_still=_check_out_still,
    ),
    Kind(
        "end_funds_out",
        gettext_lazy("Record the outcome of funds out"),
        *_RIGHTS,
        _describe_end,
        _end_out,
        circumstances=_circumstances,
        check_still=_check_end_still,
    ),
]
