"""What programs may not do alone where TWO_PEOPLE is everywhere: API clients and commands ask, a person approves.

Which kinds of change there are, and how each is done, the portal says: it stands above all that asks, and registers
them here when the hub starts.
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
MOST_WAITING = 200  # requests of one program: people have to read them

_kinds: dict[str, TryOut] = {}


@dataclass(frozen=True, slots=True)
class Program:
    """An API client or a command, by the name that the audit trail knows, and the person who has its secret."""

    name: str
    holder_id: int | None = None


class Waits(Exception):
    """Ends what would have been done at once: it waits for a second person."""

    def __init__(self, approval: Approval) -> None:
        self.approval = approval
        super().__init__(f"request {approval.pk} waits for a second person")


def register(kind: str, try_out: TryOut) -> None:
    """A kind of change, and what raises FspiopError where it could not be made now. It leaves nothing behind."""
    _kinds[kind] = try_out


def kinds() -> frozenset[str]:
    """The kinds of change that there are."""
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
    """Does nothing where programs may act alone. Else asks for the change, which ends here by raising `Waits`.

    FspiopError where it could not be made now: what would be refused if it were done at once is refused at once.
    `has_own_id`: the payload has an id that is used once, so the same again, also after it was done, is the same.
    """
    if settings.TWO_PEOPLE == EVERYWHERE:
        raise Waits(_ask(kind, program, subject, payload(), reason, has_own_id))


def _ask(kind: str, program: Program, subject: str, payload: Payload, reason: str, has_own_id: bool) -> Approval:
    mine = Approval.objects.filter(client=program.name)
    waiting = mine.filter(state=Approval.State.PENDING, expires_at__gt=Now())
    # A script that is run again asks for nothing new.
    done = mine.filter(state=Approval.State.APPROVED) if has_own_id else Approval.objects.none()
    same = (waiting | done).filter(kind=kind, subject=subject, payload=payload).first()
    if same is not None:
        return same
    if waiting.count() >= MOST_WAITING:
        raise FspiopError(
            ErrorCode.SERVER_BUSY, f"{MOST_WAITING} requests of this client wait to be decided", http_status=429
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
