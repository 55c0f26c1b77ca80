"""Passing a DFSP's message on to another, and telling a DFSP something in the hub's own name. No payment rules.

Each function makes a message of the view's request; `send` writes messages by one statement, after which the
view may answer.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from django.conf import settings
from django.db import transaction

from fspiop.errors import ErrorCode, FspiopError
from fspiop.paths import path_of as path_of
from hub import outbox
from hub.api.views import CALLBACKS, FspiopView
from hub.outbox.messages import HubMessages, IfPending, Outgoing, ReceivedMessage, forward
from hub.participants import queries
from hub.participants.models import Participant
from hub.participants.queries import Party


def subject_of(path: str) -> str:
    """What orders the messages about one path. A digest: an alias in it must not reach a log."""
    return hashlib.sha256(path.encode()).hexdigest()


def destination_of(view: FspiopView) -> Party:
    """The active participant that FSPIOP-Destination names; FspiopError 3201 where there is none."""
    return active_participant(view.fspiop.destination)


def active_participant(name: str | None) -> Party:
    """The active participant of this name; FspiopError 3201 where there is none."""
    found = queries.active_named([name]).get(name) if name else None
    if found is None:
        raise FspiopError(ErrorCode.DESTINATION_FSP_ERROR, f"Unsupported participant {name!r}")
    return found


def parties_of(view: FspiopView, to: str | None) -> tuple[Party, Party]:
    """The caller and whom its message is for, both active, as they are in the database now."""
    found = queries.active_named({view.fspiop.source, to} - {None})  # type: ignore[arg-type]
    if to is None or to not in found:
        raise FspiopError(ErrorCode.DESTINATION_FSP_ERROR, f"Unsupported participant {to!r}")
    if view.fspiop.source not in found:
        raise _inactive(view)
    return found[view.fspiop.source], found[to]


def caller_of(view: FspiopView) -> Party:
    """The caller, active as it is in the database now."""
    found = queries.active_named([view.fspiop.source]).get(view.fspiop.source)
    if found is None:
        raise _inactive(view)
    return found


def _inactive(view: FspiopView) -> FspiopError:
    return FspiopError(ErrorCode.CLIENT_ERROR, f"participant {view.fspiop.source} is not active")


def check_payment(*, payer: Party, payee: Party) -> None:
    """FspiopError where this payer may send nothing or this payee receive nothing: who asks need not ask further."""
    if not payer.may_send:
        raise FspiopError(ErrorCode.PAYER_PERMISSION_ERROR, f"Participant {payer.name} may not send")
    if not payee.may_receive:
        raise FspiopError(ErrorCode.PAYEE_PERMISSION_ERROR, f"Participant {payee.name} may not receive")


def check_account(party: Party, *currencies: str) -> None:
    """FspiopError 3201 where this participant has no active account in any of the currencies."""
    if not set(currencies) & set(party.currencies):
        detail = f"{party.name} has no active account in {' or '.join(currencies)}"
        raise FspiopError(ErrorCode.DESTINATION_FSP_ERROR, detail)


def check_destination(named: str | None, to: str) -> None:
    """FspiopError if FSPIOP-Destination is not exactly the name of the receiver, who would refuse the message."""
    if named not in (None, to):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"fspiop-destination: must be {to}")


def check_named(named: Mapping[str, str | None], to: str) -> None:
    """FspiopError where an element of a message, by its path, names another receiver than the message is for: the one
    would not be asked, and the other refuse what is not its own."""
    for where, name in named.items():
        if name not in (None, to):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}: must be the FSPIOP-Destination")


def pass_on(
    view: FspiopView,
    *,
    to: Party | Participant,
    path: str,
    subject: str,
    kind: str,
    error_path: str | None = None,
) -> Outgoing:
    """The view's message for `to`. With `error_path` it is a request: its sender is told there if it can not arrive.

    A request is caused by its sender, an answer by the participant that asked. FspiopError 2005 (429) where too many
    that the caller caused wait for `to` already.
    """
    check_destination(view.fspiop.destination, to.name)
    view.check_room_at(to.name)
    is_question = view.request.method == "GET"
    return forward(
        ReceivedMessage(view.raw_body, view.forwarded_headers()),
        to,
        view.request.method or "",
        path,
        subject=subject,
        kind=kind,
        source_id=view.caller if error_path else to.id,
        if_pending=IfPending.RENEW if is_question else IfPending.ADD,
        reply_to_id=view.caller if error_path else None,
        error_path=error_path,
    )


def _if_pending(view: FspiopView) -> IfPending:
    # The same GET again wants one answer, with the newest state. Callbacks are never refused for what waits, so what is
    # wrong with the same one again is said once.
    return IfPending.RENEW if view.request.method in {"GET", *CALLBACKS} else IfPending.ADD


def tell_caller(view: FspiopView, *, path: str, body: Mapping[str, object], subject: str, kind: str) -> Outgoing:
    """A callback of the hub's own to the caller of this view, in the version that the caller asked for."""
    hub, if_pending = HubMessages(settings.HUB_NAME, datetime.now(UTC)), _if_pending(view)
    return hub.callback(
        view.requester, path, body, subject=subject, kind=kind, source_id=view.caller, if_pending=if_pending
    )


def refuse_caller(view: FspiopView, error: FspiopError, *, path: str, subject: str) -> Outgoing:
    """The error callback to the caller of this view."""
    if error.http_status == 429:
        raise error  # there is no room for what would report it
    kind = "state-refusal" if view.request.method == "GET" else "refusal"
    return tell_caller(view, path=path + "/error", body=error.body(), subject=subject, kind=kind)


def send(messages: Sequence[Outgoing]) -> None:
    """Writes these messages, and says after the commit that there is something to deliver."""
    outbox.append(messages)  # one statement: where no transaction is open, it is one itself
    transaction.on_commit(lambda: outbox.poke({message.destination_id for message in messages}))
