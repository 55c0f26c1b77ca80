"""Sends e-mails to the people who may approve new requests. One e-mail lists all new requests, and the hub sends at
most one e-mail each minute.

A program can make many requests within a short time, so the hub does not send a separate e-mail for each request.
"""

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from fspiop.money import format_amount
from hub.audit.amount_rules import amounts_in
from hub.audit.models import Approval
from hub.notifications import notify
from hub.sql_execution import execute
from portal import changes
from portal.permissions import RIGHTS
from portal.visitor import Visitor, visitor_for
from portal.words import subjects

KIND = "approvals"
EVERY_S = 60
_MOST_AT_ONCE = 200
_MOST_SHOWN = 20

# Because of the lock, only one of several simultaneous ticks sends the e-mail.
_NEW = """
    SELECT id FROM audit_approval WHERE state = 'PENDING' AND expires_at > clock_timestamp() AND mailed_at IS NULL
      AND NOT EXISTS (SELECT FROM audit_approval WHERE state = 'PENDING' AND expires_at > clock_timestamp()
                      AND mailed_at > clock_timestamp() - make_interval(secs => %s))
    ORDER BY id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""


@transaction.atomic
def write_to_checkers() -> int:
    """Sends an e-mail to all people who may approve a new request. Returns the number of new requests."""
    new = [approval_id for (approval_id,) in execute(_NEW, [EVERY_S, _MOST_AT_ONCE])]
    if not new:
        return 0
    Approval.objects.filter(pk__in=new).update(mailed_at=Now())
    if settings.APPROVAL_MAIL and settings.SENDS_EMAIL:
        approvals = list(Approval.objects.filter(pk__in=new).select_related("maker", "holder").order_by("id"))
        for person in _people(approvals):
            _write(person, [approval for approval in approvals if _may_check(person, approval)])
    return len(new)


def _people(approvals: list[Approval]) -> list[Visitor]:
    """Returns the people of the hub whose roles allow them to approve at least one of these requests."""
    rights = {changes.KINDS[approval.kind].check for approval in approvals if approval.kind in changes.KINDS}
    roles = {role.value for right in rights for role in RIGHTS[right]}
    found = User.objects.filter(is_active=True, groups__name__in=roles).exclude(email="").distinct()
    found = found.select_related("profile__participant").prefetch_related("groups").order_by("pk")
    return [visitor_for(user) for user in found[:200]]


def _may_check(person: Visitor, approval: Approval) -> bool:
    kind = changes.KINDS.get(approval.kind)
    assert person.user is not None
    is_own = person.user.pk in (approval.maker_id, approval.holder_id)
    return kind is not None and person.dfsp_id is None and person.may(kind.check) and not is_own


def _write(person: Visitor, approvals: list[Approval]) -> None:
    if not approvals or person.user is None:
        return
    with translation.override(person.language or "en"):
        count = len(approvals)
        subject = ngettext(
            "%(count)s request waits for your approval", "%(count)s requests wait for your approval", count
        ) % {"count": count}
        lines = [line for approval in approvals[:_MOST_SHOWN] for line in _lines(approval)]
        if count > _MOST_SHOWN:
            lines += [_("and %(count)s more") % {"count": count - _MOST_SHOWN}, ""]
        text = "\n".join([f"{subject}:", "", *lines, f"{settings.PORTAL_URL}{reverse('approvals')}"])
    notify(kind=KIND, recipients=[person.user.email], subject=subject, text=text)


def _lines(approval: Approval) -> list[str]:
    amounts = ", ".join(f"{format_amount(amount)} {currency}" for currency, amount in amounts_in(approval.payload))
    about = subjects.words_of(approval.subject, approval.kind)
    title = f"{changes.KINDS[approval.kind].title}: {about}" + (f", {amounts}" if amounts else "")
    asked = _("requested by %(name)s: %(reason)s") % {"name": approval.asked_by, "reason": approval.reason}
    return [title, f"  {asked}", f"  {settings.PORTAL_URL}{reverse('approval', args=[approval.pk])}", ""]
