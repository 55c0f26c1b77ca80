"""Makes messages from views: a DFSP's message for another DFSP, or the hub's own callback.

This module has no payment rules. Most functions of this module make a message from the view's request. `send` stores
messages by one statement. A view may respond once `send` has returned.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from django.conf import settings
from django.db import transaction

from fspiop.errors import FspiopError
from fspiop.paths import path_of as path_of
from hub import outbox
from hub.agreement_outcomes import NoRoom, NotObeyed, Outcome
from hub.api import dfsp_limits
from hub.api.views import CALLBACKS, FspiopView
from hub.outbox.messages import HubMessages, IfPending, Outgoing, ReceivedMessage, forward
from hub.participants import queries
from hub.participants.models import Participant
from hub.participants.parties import Party, recipient_of, sender_of
from hub.participants.parties import check_account as check_account
from hub.participants.parties import check_destination as check_destination
from hub.participants.parties import check_named as check_named
from hub.participants.parties import check_payment as check_payment


def subject_of(path: str) -> str:
    """Returns the subject of messages about one path.

    The subject of a message is a digest of the path, because an alias in the path must not reach a log.
    """
    return hashlib.sha256(path.encode()).hexdigest()


def destination_of(view: FspiopView) -> Party:
    """Returns the active participant that FSPIOP-Destination names.

    Raises FspiopError 3201 if there is no such participant.
    """
    return active_participant(view.fspiop.destination)


def active_participant(name: str | None) -> Party:
    """Returns the active participant with this name. Raises FspiopError 3201 if there is no such participant."""
    return recipient_of(name, queries.active_named([name]) if name else {})


def parties_of(view: FspiopView, to: str | None) -> tuple[Party, Party]:
    """Returns the caller and the recipient of its message. The database shows that both participants are active now."""
    found = queries.active_named({view.fspiop.source, to} - {None})  # type: ignore[arg-type]
    recipient = recipient_of(to, found)
    return sender_of(view.fspiop.source, found), recipient


def pass_on(
    view: FspiopView,
    *,
    to: Party | Participant,
    path: str,
    subject: str,
    kind: str,
    error_path: str | None = None,
) -> Outgoing:
    """Returns the view's message for the recipient `to`.

    If `error_path` is set, the message is a request. The hub then reports a failed delivery to this path.

    The outbox counts the message, even an answer, for the participant that sent the original request. Raises
    FspiopError 2005 (429) if the caller has caused too many messages that wait for the recipient `to`.
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
    # If a GET request is repeated, one answer with the newest state is enough. The hub accepts a callback even if many
    # messages wait. So the hub stores the error about a repeated faulty callback only once.
    return IfPending.RENEW if view.request.method in {"GET", *CALLBACKS} else IfPending.ADD


def tell_caller(view: FspiopView, *, path: str, body: Mapping[str, object], subject: str, kind: str) -> Outgoing:
    """Returns the hub's own callback to the view's caller, in the API version that the caller requested."""
    hub, if_pending = HubMessages(settings.HUB_NAME, datetime.now(UTC)), _if_pending(view)
    return hub.callback(
        view.requester, path, body, subject=subject, kind=kind, source_id=view.caller, if_pending=if_pending
    )


def refuse_caller(view: FspiopView, error: FspiopError, *, path: str, subject: str) -> Outgoing:
    """Returns the error callback to the view's caller."""
    if error.http_status == 429:
        raise error  # the caller's queue is full, so an error callback has no room either
    kind = "state-refusal" if view.request.method == "GET" else "refusal"
    return tell_caller(view, path=path + "/error", body=error.body(), subject=subject, kind=kind)


def send(messages: Sequence[Outgoing]) -> None:
    """Stores these messages in the outbox, and notifies the couriers after the commit."""
    outbox.append(messages)  # one statement, which is atomic even if no transaction is open
    transaction.on_commit(lambda: outbox.poke({message.destination_id for message in messages}))


def check_obeyed(view: FspiopView, outcome: Outcome) -> None:
    """Raises FspiopError if the hub refused the view's message and sends no callback about the refusal."""
    match outcome:
        case NotObeyed(error, detail):
            raise FspiopError(error, detail)
        case NoRoom(destination):
            raise dfsp_limits.no_room(view.caller, view.fspiop.source, destination)
