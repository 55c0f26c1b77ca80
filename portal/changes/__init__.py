"""All that needs two people: asked for by one, checked and done by another. One table, `KINDS`."""

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from fspiop.errors import FspiopError
from hub.audit import approvals
from hub.audit.approvals import NotApproved
from hub.audit.models import Approval
from portal.changes import (
    accounts,
    clients,
    conversions,
    credentials,
    directory,
    funds,
    leaving,
    limits,
    onboarding,
    participants,
    profile,
    programs,
    roles,
    schemes,
    settlement,
)
from portal.changes.kind import CanNotBeDone, Kind, Line, Payload, by_name
from portal.users import Refused
from portal.visitor import Visitor, visitor_for

KINDS = by_name(
    *limits.KINDS,
    *funds.KINDS,
    *onboarding.KINDS,
    *participants.KINDS,
    *credentials.KINDS,
    *profile.KINDS,
    *leaving.KINDS,
    *roles.KINDS,
    *settlement.KINDS,
    *directory.KINDS,
    *accounts.KINDS,
    *conversions.KINDS,
    *schemes.KINDS,
    *clients.KINDS,
)


def ask(visitor: Visitor, kind: str, *, subject: str, payload: Payload, reason: str) -> Approval:
    """Asks for a change. Raises NotApproved where this visitor may not, or the same is asked for already."""
    if not visitor.may(KINDS[kind].ask) or visitor.user is None:
        raise NotApproved(_("Your roles do not allow you to ask for this."))
    return approvals.ask(kind=kind, subject=subject, payload=payload, reason=reason, maker=visitor.user)


def approve(visitor: Visitor, approval_id: int) -> Approval:
    """Approves and does it; raises NotApproved, with nothing changed, where it may not or can not be done."""
    checker = _checker(visitor, approval_id)

    def perform(approval: Approval) -> None:
        kind = KINDS[approval.kind]
        if not _may_still_ask(approval, kind):
            raise NotApproved(_("Who asked for this may no longer ask for it. Refuse it, and ask again."))
        kind.perform(approval.payload, f"{approval.asked_by}, approved by {checker.get_username()}")

    try:
        return approvals.approve(approval_id, checker=checker, perform=perform)
    except (CanNotBeDone, Refused) as reason:
        raise NotApproved(str(reason)) from None
    except FspiopError as error:
        raise NotApproved(error.description) from None


def _may_still_ask(approval: Approval, kind: Kind) -> bool:
    if approval.maker_id is None:
        return programs.may_still_ask(approval)
    return visitor_for(User.objects.get(pk=approval.maker_id)).may(kind.ask)


def refuse(visitor: Visitor, approval_id: int, *, reason: str) -> Approval:
    return approvals.refuse(approval_id, checker=_checker(visitor, approval_id), reason=reason)


def _checker(visitor: Visitor, approval_id: int) -> User:
    kind = Approval.objects.filter(pk=approval_id).values_list("kind", flat=True).first()
    if kind is None or visitor.user is None:
        raise NotApproved(_("There is no such request."))
    if not visitor.may(KINDS[kind].check):
        raise NotApproved(_("Your roles do not allow you to decide this."))
    return visitor.user


__all__ = ["KINDS", "Kind", "Line", "NotApproved", "Payload", "approve", "ask", "refuse"]
