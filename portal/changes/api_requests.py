"""Changes that programs ask for (TWO_PEOPLE=everywhere): tried out when they are asked for, and judged once more when
they are approved."""

from collections.abc import Iterable
from functools import partial

from django.db import transaction

from fspiop.errors import ErrorCode, FspiopError
from hub.administration import services as administration
from hub.audit import two_people
from hub.audit.models import Approval
from portal.changes.change_kind import CanNotBeDone, Kind, Payload
from portal.users import Refused


class _TriedOut(Exception):
    """Takes back what was only tried."""


def register(kinds: Iterable[Kind]) -> None:
    """Tells `hub.audit.two_people` what there is."""
    for kind in kinds:
        two_people.register(kind.name, partial(_try_out, kind))


def _try_out(kind: Kind, payload: Payload) -> None:
    """Does it and takes it back: a program is told at once what would be refused, as if it acted alone."""
    try:
        with transaction.atomic():
            kind.perform(payload, "tried out")
            raise _TriedOut
    except _TriedOut:
        return
    except (CanNotBeDone, Refused) as reason:
        raise FspiopError(ErrorCode.CLIENT_ERROR, str(reason)) from None


def may_still_ask(approval: Approval) -> bool:
    """Whether the program that asked could ask now: one that was revoked asked for nothing."""
    if approval.client.startswith(administration.KEY_PREFIX):
        client = administration.valid(approval.client)
        return client is not None and client.may_write
    return approval.holder is None or approval.holder.is_active
