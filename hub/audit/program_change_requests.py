"""If `TWO_PEOPLE` is "everywhere", programs need a person's approval for certain changes. This module requests such
changes. When the hub starts, the portal registers each kind of change, and the function that checks whether the change
is possible. This module cannot import these functions from the portal, because the portal imports this module.
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
MOST_WAITING = 200  # the largest number of waiting requests of one program, because people must read them

_kinds: dict[str, TryOut] = {}


@dataclass(frozen=True, slots=True)
class Program:
    """An API client or a command. `name` is its name in the audit trail, and `holder_id` is the person who holds its
    secret."""

    name: str
    holder_id: int | None = None


class Waits(Exception):
    """Raised if a change is not made, because the change now waits for a second person's approval."""

    def __init__(self, approval: Approval) -> None:
        self.approval = approval
        super().__init__(f"request {approval.pk} waits for a second person")


def register(kind: str, try_out: TryOut) -> None:
    """Registers a kind of change. `try_out` raises FspiopError if the change is impossible now, and otherwise does
    nothing."""
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
    """If `TWO_PEOPLE` is "everywhere", requests the change and raises `Waits`. Otherwise does nothing, and the caller
    makes the change. If the change is impossible now, raises the same FspiopError as the change itself. `has_own_id`
    means that the payload contains an id that no other change has. If a program repeats a call with such an id, the
    function finds the earlier change request, even if this request was already approved.
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
    """Requests the change, for any value of `TWO_PEOPLE`. If the change is impossible now, raises the same FspiopError
    as the change itself. If `most_waiting` requests of this program already wait for approval, raises FspiopError 2005
    (429). If the caller has already checked that the change is possible, `is_checked` is true, and this function does
    not repeat the check.
    """
    most_waiting = MOST_WAITING if most_waiting is None else most_waiting
    mine = Approval.objects.filter(client=program.name)
    waiting = mine.filter(state=Approval.State.PENDING, expires_at__gt=Now())
    # If a person runs a script again, the function returns the earlier request with the same content.
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
