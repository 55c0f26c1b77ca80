"""Maker and checker: one person requests a change, and another person must approve the change before the request
expires.

The database transaction that stores the approval also makes the change. So no approval exists without its change.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from fspiop import strictjson
from hub.audit import amount_rules, record
from hub.audit.models import Approval, Consent
from hub.sql_execution import execute

_TIME = "SELECT clock_timestamp()"
_MOST_WAITING = 1000
# The hash of a secret does not reveal the secret. But many people read the audit trail, so it does not contain the
# hash.
_NOT_TOLD = frozenset({"secret_sha256"})


class NotApproved(Exception):
    """Raised, with the reason, if a request cannot be approved, rejected or withdrawn. Such a request stays
    unchanged."""


def mailbox(email: str) -> str:
    """Returns an e-mail address in lower case, without a tag such as +2 in asha+2@example.org."""
    local, _at, domain = email.strip().lower().rpartition("@")
    return f"{local.split('+', 1)[0]}@{domain}" if local else ""


def is_one_person(first: User, second: User) -> bool:
    """Returns whether two user accounts belong to one person: whether they are the same account or have the same
    mailbox."""
    return first.pk == second.pk or (mailbox(first.email) != "" and mailbox(first.email) == mailbox(second.email))


def _hash(approval: Approval) -> bytes:
    content = {
        "kind": approval.kind,
        "subject": approval.subject,
        "payload": approval.payload,
        "maker": approval.maker_id,
    }
    if approval.client:  # requests from earlier versions have no client, and their stored hashes must stay valid
        content |= {"client": approval.client, "holder": approval.holder_id}
    if approval.checkers_needed != 1:  # requests that need one approval must have the same hash as in earlier versions
        content |= {"checkers": approval.checkers_needed}
    return hashlib.sha256(strictjson.canonical(content)).digest()


def ask(*, kind: str, subject: str, payload: dict[str, Any], reason: str, maker: User) -> Approval:
    """Requests a change. A change request waits for another person's approval until the request expires."""
    return _ask(Approval(kind=kind, subject=subject, payload=payload, reason=reason, maker=maker))


def ask_for_program(
    *, kind: str, subject: str, payload: dict[str, Any], reason: str, client: str, holder_id: int | None
) -> Approval:
    """Requests a change for a program: an API client or a command. The person who holds the client's secret cannot
    approve the request."""
    return _ask(
        Approval(kind=kind, subject=subject, payload=payload, reason=reason, client=client, holder_id=holder_id)
    )


def is_waiting(*, kind: str, subject: str, payload: dict[str, Any]) -> bool:
    """Returns whether a request for exactly this change waits for approval."""
    waiting = Approval.objects.filter(state=Approval.State.PENDING, expires_at__gt=_now(), kind=kind, subject=subject)
    return waiting.filter(payload=payload).exists()


@transaction.atomic
def _ask(approval: Approval) -> Approval:
    approval.asked_at = _now()
    approval.expires_at = approval.asked_at + timedelta(seconds=settings.APPROVAL_EXPIRES_S)
    approval.checkers_needed = amount_rules.checkers_for(approval.payload)
    approval.payload_hash = _hash(approval)
    approval.save(force_insert=True)
    after = {
        "approval": approval.pk,
        "kind": approval.kind,
        "payload": {name: said for name, said in approval.payload.items() if name not in _NOT_TOLD},
        "reason": approval.reason,
    }
    record("approval_asked", subject=approval.subject, actor=approval.asked_by, after=after)
    return approval


@transaction.atomic
def approve(approval_id: int, *, checker: User, perform: Callable[[Approval], None]) -> Approval:
    """Records the approval and makes the change, both in one database transaction. If `perform` raises an exception,
    the request continues to wait for approval. If the request still needs other approvals, the function records only
    this approval and does not make the change.
    """
    approval = _lock_open(approval_id)
    asker = approval.maker or approval.holder
    if asker is not None:
        if asker.pk == checker.pk:
            raise NotApproved(_("The requester of a change cannot approve it."))
        if is_one_person(asker, checker):
            raise NotApproved(_("Both accounts belong to one person."))
    consents = list(approval.consents.select_related("checker"))  # type: ignore[attr-defined]
    if any(is_one_person(consent.checker, checker) for consent in consents):
        raise NotApproved(_("You have already approved this request. It waits for another person."))
    if approval.maker is not None and not approval.maker.is_active:
        raise NotApproved(_("The requester is no longer a user of this hub. Reject this request and submit a new one."))
    if not hmac.compare_digest(_hash(approval), bytes(approval.payload_hash)):
        raise NotApproved(_("This request was changed after it was submitted."))
    if len(consents) + 1 < approval.checkers_needed:
        return _consent(approval, checker)
    # The hub makes the change before it writes the audit entry, because writing an entry locks the audit trail.
    # `perform` can be slow, for example if it resolves a host name.
    perform(approval)
    return _end(approval, Approval.State.APPROVED, actor=checker.get_username(), checker=checker)


@transaction.atomic
def refuse(approval_id: int, *, checker: User, reason: str) -> Approval:
    """Rejects a request with a reason. The hub does not make the requested change."""
    approval = _lock_open(approval_id, may_be_late=True)
    if checker.pk in (approval.maker_id, approval.holder_id):
        raise NotApproved(_("The requester of a change cannot reject it. Withdraw it instead."))
    return _end(approval, Approval.State.REFUSED, actor=checker.get_username(), checker=checker, decision=reason)


@transaction.atomic
def withdraw(approval_id: int, *, maker: User) -> Approval:
    """Withdraws a request.

    Only the requester can withdraw a request. If a client requested the change, only the person who holds the client's
    secret can withdraw the request.
    """
    approval = _lock_open(approval_id, may_be_late=True)
    if maker.pk not in (approval.maker_id, approval.holder_id):
        raise NotApproved(_("Only the requester of a change can withdraw it."))
    return _end(approval, Approval.State.WITHDRAWN, actor=maker.get_username())


@transaction.atomic
def withdraw_by_itself(approval_id: int, *, why: str) -> Approval:
    """Withdraws a request that nobody can approve any more. In the audit trail, the hub itself is the actor."""
    approval = _lock_open(approval_id, may_be_late=True)
    return _end(approval, Approval.State.WITHDRAWN, actor=settings.HUB_NAME, decision=why)


def waiting() -> list[Approval]:
    """Returns the requests that wait for approval, the oldest first. Returns at most `_MOST_WAITING` requests."""
    found = Approval.objects.filter(state=Approval.State.PENDING, expires_at__gt=_now())
    return list(found.order_by("id")[:_MOST_WAITING])


def _consent(approval: Approval, checker: User) -> Approval:
    Consent.objects.create(approval=approval, checker=checker)
    after = {"approval": approval.pk, "kind": approval.kind, "maker": approval.asked_by}
    record("approval_consented", subject=approval.subject, actor=checker.get_username(), after=after)
    return approval


def _now() -> datetime:
    row = execute(_TIME, []).fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def _lock_open(approval_id: int, *, may_be_late: bool = False) -> Approval:
    approval = (
        Approval.objects.select_for_update(no_key=True, of=("self",))
        .select_related("maker", "holder")
        .filter(pk=approval_id)
        .first()
    )
    if approval is None:
        raise NotApproved(_("There is no such request."))
    if approval.state != Approval.State.PENDING:
        raise NotApproved(_("This request has already been decided."))
    if not may_be_late and _now() >= approval.expires_at:
        raise NotApproved(_("This request has expired. Submit a new one."))
    return approval


def _end(
    approval: Approval, state: Approval.State, *, actor: str, checker: User | None = None, decision: str = ""
) -> Approval:
    approval.state = state
    approval.checker = checker
    approval.decided_at = _now()
    approval.decision = decision
    approval.save(update_fields=["state", "checker", "decided_at", "decision"])
    record(
        f"approval_{state.value.lower()}",
        subject=approval.subject,
        actor=actor,
        after={"approval": approval.pk, "kind": approval.kind, "maker": approval.asked_by},
    )
    return approval
