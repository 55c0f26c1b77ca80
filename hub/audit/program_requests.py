"""Changes for which a program needs a person's approval if TWO_PEOPLE is everywhere.

When the hub starts, the portal registers the kinds of changes and the functions that make these changes. This module
cannot import the portal's functions, because the portal imports all apps that request changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from fspiop.errors import ErrorCode, FspiopError
from hub.audit import approvals
from hub.audit.models import Approval

Payload = dict[str, Any]
TryOut = Callable[[Payload], None]
EVERYWHERE = "everywhere"
MOST_WAITING = 200  # the most waiting requests of one program, because people must read them

_kinds: dict[str, TryOut] = {}


@dataclass(frozen=True, slots=True)
class Program:
    """An API client or a command, with its name in the audit trail and the person who has its secret."""

    name: str
    holder_id: int | None = None


class Waits(Exception):
    """Raised if a change was not made, because the change waits for a second person's approval."""

    def __init__(self, approval: Approval) -> None:
        self.approval = approval
        super().__init__(f"request {approval.pk} waits for a second person")


def register(kind: str, try_out: TryOut) -> None:
    """Registers a kind of change. `try_out` changes nothing, but raises FspiopError if the change is impossible now."""
    _kinds[kind] = try_out


def kinds() -> frozenset[str]:
    """Returns the registered kinds of changes."""
    return frozenset(_kinds)


def ask_where_needed(
    kind: str,
    *,
    program: Program,
    subject: str,
    payload: Callable[[], Payload],
    reason: str = "",
    has_own_id: bool = False,
) -> None:
    """Does nothing if programs may make changes without approval. If programs need approval, requests the change and
    raises `Waits`.

    If the change is impossible now, raises the same FspiopError as the change itself. If `has_own_id` is true, the
    payload has an id that is used only once. If the program repeats the call, the hub finds the earlier change request
    by this id, even after this request's approval.
    """
    if settings.TWO_PEOPLE == EVERYWHERE:
        raise Waits(
            ask(kind, program=program, subject=subject, payload=payload(), reason=reason, has_own_id=has_own_id)
        )


def ask(
    kind: str,
    *,
    program: Program,
    subject: str,
    payload: Payload,
    reason: str,
    has_own_id: bool = False,
    most_waiting: int | None = None,
    is_checked: bool = False,
) -> Approval:
    """Requests the change, regardless of the setting TWO_PEOPLE. Raises the errors of `ask_where_needed` except
    `Waits`.

    Raises FspiopError 2005 (429) if MOST_WAITING or `most_waiting` requests of this program already wait for approval.
    If `is_checked` is true, the caller has checked that the change is possible. If `is_checked` is true, the function
    `ask` does not check the change again.
    """
    most_waiting = MOST_WAITING if most_waiting is None else most_waiting
    mine = Approval.objects.filter(client=program.name)
    waiting = mine.filter(state=Approval.State.PENDING, expires_at__gt=Now())
    # Returns an earlier request with the same content, so that a person can run a script again.
    done = mine.filter(state=Approval.State.APPROVED) if has_own_id else Approval.objects.none()
    same = (waiting | done).filter(kind=kind, subject=subject, payload=payload).first()
    if same is not None:
        return same
    if waiting.count() >= most_waiting:
        raise FspiopError(
            ErrorCode.SERVER_BUSY, f"{most_waiting} requests of this client already wait for approval", http_status=429
        )
    if not is_checked:
        _kinds[kind](payload)
    return approvals.ask_for_program(
        kind=kind,
        subject=subject,
        payload=payload,
        reason=reason[:512],
        client=program.name,
        holder_id=program.holder_id,
    )
