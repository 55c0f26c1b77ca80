"""Lets operators send given-up messages of the outbox again."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction
from django.utils.translation import gettext as _

from hub import outbox
from hub.audit import record
from hub.outbox.models import Message


class NotSent(Exception):
    """Raised if a message cannot be sent again. The exception contains the reason."""


@transaction.atomic
def send_again(message_id: int, *, actor: str) -> Message:
    """Makes a given-up or waiting callback due now, so that a courier sends it. The hub never sends a request again
    after it has notified the requester of the failure.
    """
    message = (
        Message.objects.select_for_update(no_key=True, of=("self",))
        .select_related("destination")
        .defer("body", "headers")
        .filter(pk=message_id)
        .first()
    )
    if message is None:
        raise NotSent(_("This message was already delivered, or it does not exist."))
    if message.reply_to_id is not None:
        raise NotSent(_("The requester was notified that this request failed. It is not sent again."))
    before = {"state": message.state, "attempts": message.attempts}
    message.state = Message.State.PENDING
    message.due_at = datetime.now(UTC)
    message.save(update_fields=["state", "due_at"])
    record(
        "callback_resent", subject=message.destination.name, actor=actor, before=before, after={"message": message_id}
    )
    destination_id = message.destination_id
    transaction.on_commit(lambda: outbox.poke({destination_id}))
    return message


@dataclass(frozen=True, slots=True)
class Cleared:
    """Two numbers: the given-up callbacks that are sent again, and the given-up requests that were put aside."""

    sent: int
    put_aside: int


@transaction.atomic
def send_all_again(destination_id: int, *, actor: str) -> Cleared:
    """Sends all given-up callbacks to this participant again. Puts aside all given-up requests to this participant. The
    requesters were notified of the failure, and no longer wait for answers.
    """
    dead = Message.objects.filter(destination_id=destination_id, state=Message.State.DEAD, put_aside_at__isnull=True)
    name = dead.values_list("destination__name", flat=True).first()
    if name is None:
        return Cleared(0, 0)
    now = datetime.now(UTC)
    put_aside = dead.filter(reply_to__isnull=False).update(put_aside_at=now)
    sent = dead.filter(reply_to__isnull=True).update(state=Message.State.PENDING, due_at=now)
    record("callbacks_resent", subject=name, actor=actor, after={"messages": sent, "putAside": put_aside})
    transaction.on_commit(lambda: outbox.poke({destination_id}))
    return Cleared(sent, put_aside)
