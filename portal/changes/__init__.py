"""Changes that need two people: one person requests a change, and another person approves the change.

`KINDS` lists the kinds of change.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from fspiop.errors import FspiopError
from hub.audit import approvals
from hub.audit.approvals import NotApproved
from hub.audit.models import Approval
from hub.sweeps import isolating_batches
from portal.changes import (
    clients,
    conversions,
    credentials,
    dfsp_submissions,
    directory,
    fraud_control,
    funds,
    limits,
    networks_and_contacts,
    offboarding,
    onboarding,
    onboarding_by_programs,
    participants,
    rules,
    settlement_models,
    settlements_and_cover_holds,
    try_out,
    users,
)
from portal.changes.change_kind import CanNotBeDone, Kind, Line, Outdated, Payload, by_name
from portal.users import Refused
from portal.visitor import Visitor, visitor_for
from portal.words.errors import words_for

_OUTDATED = "outdated-requests"
KINDS = by_name(
    *limits.KINDS,
    *funds.KINDS,
    *onboarding.KINDS,
    *participants.KINDS,
    *credentials.KINDS,
    *networks_and_contacts.KINDS,
    *offboarding.KINDS,
    *users.KINDS,
    *settlements_and_cover_holds.KINDS,
    *directory.KINDS,
    *onboarding_by_programs.KINDS,
    *conversions.KINDS,
    *settlement_models.KINDS,
    *clients.KINDS,
    *rules.KINDS,
    *fraud_control.KINDS,
    *dfsp_submissions.KINDS,
)


def ask(visitor: Visitor, kind: str, *, subject: str, payload: Payload, reason: str) -> Approval:
    """Submits a request for a change.

    Raises NotApproved with the reason if this visitor may not request this change, or if the change is impossible now.
    """
    if visitor.user is not None and not visitor.is_confirmed:
        raise NotApproved(_not_confirmed())
    found = KINDS[kind]
    if not visitor.may(found.ask) or visitor.user is None:
        raise NotApproved(_("Your roles do not allow you to submit this request."))
    try:
        with _reasons_told():
            if found.check_asked is not None:
                found.check_asked(payload)
            elif found.is_tried_out:
                try_out.make_and_roll_back(found, payload)
    except Outdated as refusal:
        raise NotApproved(str(refusal)) from None
    return approvals.ask(kind=kind, subject=subject, payload=payload, reason=reason, maker=visitor.user)


def approve(visitor: Visitor, approval_id: int) -> Approval:
    """Approves a request and makes the requested change.

    If the change is not possible, raises NotApproved and changes nothing. If the change can never be possible again,
    the hub also withdraws the request.
    """
    checker = _checker(visitor, approval_id)

    def perform(approval: Approval) -> None:
        kind = KINDS[approval.kind]
        _check_asker(approval, kind)
        if kind.check_still is not None:
            kind.check_still(approval.payload)
        checkers = [*_others_who_approved(approval, kind), checker]
        names = " and ".join(each.get_username() for each in checkers)
        kind.perform(approval.payload, f"{approval.asked_by}, approved by {names}")
        if kind.then is not None:
            kind.then(approval.payload, approval.maker or approval.holder, checker)

    try:
        with _reasons_told():
            done = approvals.approve(approval_id, checker=checker, perform=perform)
    except Outdated as reason:
        _withdraw_by_itself(approval_id)
        withdrawn = _("The hub has withdrawn this request. Submit a new one.")
        raise NotApproved(f"{reason} {withdrawn}") from None
    return done


@contextmanager
def _reasons_told() -> Iterator[None]:
    """Converts the errors of a change to the error that the pages show. Leaves the error Outdated unchanged."""
    try:
        yield
    except Outdated:
        raise
    except (CanNotBeDone, Refused) as reason:
        raise NotApproved(str(reason)) from None
    except FspiopError as error:
        raise NotApproved(words_for(error)) from None


def _others_who_approved(approval: Approval, kind: Kind) -> list[User]:
    """Returns the people who have already approved the request. Raises NotApproved if one of these people has lost the
    right to approve requests of this kind."""
    found = [consent.checker for consent in approval.consents.select_related("checker")]  # type: ignore[attr-defined]
    for each in found:
        if not visitor_for(each).may(kind.check):
            text = _("%(name)s approved this request, but no longer has permission. Reject it and submit a new one.")
            raise NotApproved(text % {"name": each.get_username()})
    return found


def withdraw_outdated() -> int:
    """Withdraws the requests that can never be approved any more. Returns their number."""
    withdrawn: list[int] = []

    def look(approval: Approval) -> None:
        if _is_outdated(approval) and _withdraw_by_itself(approval.pk):
            withdrawn.append(approval.pk)

    isolating_batches.one_by_one(_OUTDATED, {str(each.pk): each for each in approvals.waiting()}, look)
    return len(withdrawn)


def _is_outdated(approval: Approval) -> bool:
    check = KINDS[approval.kind].check_still
    try:
        if check is not None:
            check(approval.payload)
    except Outdated:
        return True
    except (CanNotBeDone, Refused, FspiopError):
        pass  # the change can become possible again, and the approver sees the reason when approving the request
    return False


@transaction.atomic
def _withdraw_by_itself(approval_id: int) -> bool:
    """Returns whether the request was still waiting."""
    try:
        _discarded(approvals.withdraw_by_itself(approval_id, why=Outdated.KEPT))
    except NotApproved:
        return False
    return True


def _check_asker(approval: Approval, kind: Kind) -> None:
    """Raises NotApproved if the requester has lost the right to submit this request."""
    asker = approval.maker or approval.holder
    if asker is not None and not visitor_for(asker).is_confirmed:
        raise NotApproved(_("The requester's first sign-in is not confirmed."))
    may_ask = try_out.may_still_ask(approval) if approval.maker is None else visitor_for(approval.maker).may(kind.ask)
    if not may_ask:
        raise NotApproved(_("The requester no longer has permission. Reject this request and submit a new one."))


@transaction.atomic
def refuse(visitor: Visitor, approval_id: int, *, reason: str) -> Approval:
    return _discarded(approvals.refuse(approval_id, checker=_checker(visitor, approval_id), reason=reason))


@transaction.atomic
def withdraw(user: User, approval_id: int) -> Approval:
    """Withdraws a request. Raises NotApproved if the user did not submit the request."""
    return _discarded(approvals.withdraw(approval_id, maker=user))


def _discarded(approval: Approval) -> Approval:
    """Deletes the data that the hub kept until the approval of this request."""
    discard = KINDS[approval.kind].discard
    if discard is not None:
        discard(approval.payload)
    return approval


def _checker(visitor: Visitor, approval_id: int) -> User:
    kind = Approval.objects.filter(pk=approval_id).values_list("kind", flat=True).first()
    if kind is None or visitor.user is None:
        raise NotApproved(_("There is no such request."))
    if not visitor.is_confirmed:
        raise NotApproved(_not_confirmed())
    if not visitor.may(KINDS[kind].check):
        raise NotApproved(_("Your roles do not allow you to approve or reject this request."))
    return visitor.user


def _not_confirmed() -> str:
    return _(
        "Your first sign-in is not confirmed yet. Until an administrator has confirmed this sign-in, you can only read."
    )


__all__ = ["KINDS", "Kind", "Line", "NotApproved", "Payload", "approve", "ask", "refuse", "withdraw"]
