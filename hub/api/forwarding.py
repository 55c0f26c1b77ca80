"""Makes outgoing messages for the views: the forwarded message of a DFSP, or the hub's own callback. This module
contains no rules about payments. `send` stores the messages with one SQL statement. After `send` returns, the view can
respond, because no stored message can be lost.
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
from hub.participants.participant_checks import Party, recipient_of, sender_of
from hub.participants.participant_checks import check_account as check_account
from hub.participants.participant_checks import check_destination as check_destination
from hub.participants.participant_checks import check_named as check_named
from hub.participants.participant_checks import check_payment as check_payment


def subject_of(path: str) -> str:
    """Returns the subject of all messages about this path.

    The subject is a digest of the path. The reason is that logs contain subjects, but no log must contain an alias.
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
    """Returns the caller and the recipient of the caller's message. Checks in the database that both participants are
    active now."""
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
    """Returns the message that forwards the view's request to the participant `to`. `error_path` is set only if the
    message is a request. If the hub cannot deliver the message, it reports the failure to the caller at `error_path`.
    In the outbox, the message's source is the participant that sent the original request. Raises FspiopError 2005 (429)
    if the caller has caused too many messages, and these messages still wait for the recipient `to`.
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
    # For a repeated GET request, one answer with the newest state is enough. There is no limit on faulty callbacks, so
    # the hub stores the error about a repeated faulty callback only once.
    return IfPending.RENEW if view.request.method in {"GET", *CALLBACKS} else IfPending.ADD


def tell_caller(view: FspiopView, *, path: str, body: Mapping[str, object], subject: str, kind: str) -> Outgoing:
    """Returns a callback from the hub itself to the view's caller, in the API version that the caller accepts."""
    hub, if_pending = HubMessages(settings.HUB_NAME, datetime.now(UTC)), _if_pending(view)
    return hub.callback(
        view.requester, path, body, subject=subject, kind=kind, source_id=view.caller, if_pending=if_pending
    )


def refuse_caller(view: FspiopView, error: FspiopError, *, path: str, subject: str) -> Outgoing:
    """Returns the error callback to the view's caller."""
    if error.http_status == 429:
        raise error  # too many messages already wait for the caller, so the hub sends it no callback
    kind = "state-refusal" if view.request.method == "GET" else "refusal"
    return tell_caller(view, path=path + "/error", body=error.body(), subject=subject, kind=kind)


def send(messages: Sequence[Outgoing]) -> None:
    """Stores these messages in the outbox. Notifies the couriers after the commit of the database transaction."""
    outbox.append(messages)  # one SQL statement, which is atomic even without an open transaction
    transaction.on_commit(lambda: outbox.poke({message.destination_id for message in messages}))


def check_obeyed(view: FspiopView, outcome: Outcome) -> None:
    """Raises FspiopError if the outcome is a refusal that the hub reports in the HTTP response, not in a callback."""
    match outcome:
        case NotObeyed(error, detail):
            raise FspiopError(error, detail)
        case NoRoom(destination):
            raise dfsp_limits.no_room(view.caller, view.fspiop.source, destination)
