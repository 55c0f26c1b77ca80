"""Changes that programs may not make alone if TWO_PEOPLE is everywhere: a program requests, and a person approves.

When the hub starts, the portal registers the kinds of changes and the functions that make them. This module cannot
import these functions, because the portal depends on all apps that request changes.
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
    """An API client or a command: its name in the audit trail, and the person who has its secret."""

    name: str
    holder_id: int | None = None


class Waits(Exception):
    """Raised instead of making a change: the change waits for a second person."""

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
    """Does nothing if programs may act alone. Otherwise requests the change and raises `Waits`.

    Raises the same FspiopError as the change itself if the change is impossible now. With `has_own_id`, the payload has
    an id that is used only once. So a repeated call finds the earlier request, even if that request was already
    approved.
    """
    if settings.TWO_PEOPLE == EVERYWHERE:
        raise Waits(_ask(kind, program, subject, payload(), reason, has_own_id))


def _ask(kind: str, program: Program, subject: str, payload: Payload, reason: str, has_own_id: bool) -> Approval:
    mine = Approval.objects.filter(client=program.name)
    waiting = mine.filter(state=Approval.State.PENDING, expires_at__gt=Now())
    # An earlier request with the same content is returned, so that a script can be run again.
    done = mine.filter(state=Approval.State.APPROVED) if has_own_id else Approval.objects.none()
    same = (waiting | done).filter(kind=kind, subject=subject, payload=payload).first()
    if same is not None:
        return same
    if waiting.count() >= MOST_WAITING:
        raise FspiopError(
            ErrorCode.SERVER_BUSY, f"{MOST_WAITING} requests of this client already wait for approval", http_status=429
        )
    _kinds[kind](payload)
    return approvals.ask_for_program(
        kind=kind,
        subject=subject,
        payload=payload,
        reason=reason[:512],
        client=program.name,
        holder_id=program.holder_id,
    )
