"""Tries out changes when people request them. So the hub refuses a request for an impossible change immediately.

If a program requested the change (TWO_PEOPLE=everywhere), the module checks again at the approval whether this program
is still allowed to request the change.
"""

from collections.abc import Iterable
from functools import partial

from django.db import transaction

from fspiop.errors import ErrorCode, FspiopError
from hub.administration import services as administration
from hub.audit import program_change_requests
from hub.audit.models import Approval
from portal.changes.change_kind import CanNotBeDone, Kind, Payload
from portal.users import Refused


class _TriedOut(Exception):
    """The exception that rolls back a change after the hub has tried it out."""


def register(kinds: Iterable[Kind]) -> None:
    """Registers these kinds of change with `hub.audit.program_change_requests`."""
    for kind in kinds:
        program_change_requests.register(kind.name, partial(try_out, kind))


def try_out(kind: Kind, payload: Payload) -> None:
    """Makes the change and rolls the change back, or only checks the change. The hub therefore refuses a faulty request
    immediately."""
    try:
        if kind.check_asked is not None:
            kind.check_asked(payload)
        else:
            make_and_roll_back(kind, payload)
    except CanNotBeDone as reason:
        raise reason.refusal or FspiopError(ErrorCode.CLIENT_ERROR, str(reason)) from None
    except Refused as reason:
        raise FspiopError(ErrorCode.CLIENT_ERROR, str(reason)) from None


def make_and_roll_back(kind: Kind, payload: Payload) -> None:
    """Raises the error that the approval of this change would raise now. Changes nothing."""
    try:
        with transaction.atomic():
            kind.perform(payload, "tried out")
            raise _TriedOut
    except _TriedOut:
        return


def may_still_ask(approval: Approval) -> bool:
    """Returns whether the requesting program is still allowed to submit this request.

    A program with a revoked client is not allowed.
    """
    if approval.client.startswith(administration.KEY_PREFIX):
        client = administration.valid(approval.client)
        return client is not None and client.may_write
    return approval.holder is None or approval.holder.is_active
