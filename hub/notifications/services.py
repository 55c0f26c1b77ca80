"""Stores and withdraws notifications, and lets operators send given-up notifications again."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from fspiop import strictjson
from hub.audit import record
from hub.encryption import fernet
from hub.notifications.models import Notification

log = structlog.get_logger("notifications")

SEAL = "notifications"
MOST_RECIPIENTS = 200
_LONGEST_TEXT = 20_000
_LONGEST_SUBJECT = 200

_Channel, _State = Notification.Channel, Notification.State


class NotSent(Exception):
    """Raised if a notification cannot be sent again. The exception contains the reason."""


def notify(
    *,
    kind: str,
    recipients: Iterable[str],
    subject: str,
    text: str,
    webhook: Mapping[str, Any] | None,
    is_secret: bool,
    expires_at: datetime | None,
) -> list[int]:
    """Stores notifications: see `hub.notifications.notify`. Runs one SQL statement for any number of recipients."""
    now = datetime.now(UTC)
    latest = now + timedelta(seconds=settings.NOTIFICATION_EXPIRES_S)
    subject = " ".join(subject.replace("\0", " ").split())[:_LONGEST_SUBJECT]  # a line break would begin another header
    text = text.replace("\0", "\ufffd")  # PostgreSQL cannot store a NUL
    body = _webhook_body(kind, now, webhook or {"subject": subject, "text": text})
    rows = []
    for recipient in dict.fromkeys(recipients):
        channel = channel_of(recipient)
        if is_secret and channel is not _Channel.EMAIL:
            raise ValueError("a secret can only be sent by e-mail")
        if channel is _Channel.EMAIL and not settings.SENDS_EMAIL:
            log.info("email_not_set_up", kind=kind)
            continue
        said = text if channel is _Channel.EMAIL else body
        rows.append(
            Notification(
                kind=kind,
                channel=channel,
                recipient=recipient,
                subject=subject,
                text="" if is_secret else said,
                is_secret=is_secret,
                sealed=fernet(SEAL).encrypt(said.encode()) if is_secret else None,
                expires_at=latest if expires_at is None else min(expires_at, latest),
            )
        )
    if len(rows) > MOST_RECIPIENTS or max(len(text), len(body)) > _LONGEST_TEXT:
        raise ValueError(f"at most {MOST_RECIPIENTS} recipients and {_LONGEST_TEXT} characters")
    return [row.pk for row in Notification.objects.bulk_create(rows)]


def channel_of(recipient: str) -> Notification.Channel:
    """Returns the channel for this recipient.

    Raises ValueError for a recipient that is not an e-mail address or a URL.
    """
    parts = urlsplit(recipient)
    if parts.scheme in ("http", "https") and parts.hostname and recipient.isascii() and " " not in recipient:
        return _Channel.WEBHOOK
    try:
        validate_email(recipient)
    except ValidationError:
        raise ValueError("a recipient must be an e-mail address or an http(s) URL") from None
    return _Channel.EMAIL


def _webhook_body(kind: str, at: datetime, content: Mapping[str, Any]) -> str:
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return strictjson.canonical({"type": kind, "timestamp": stamp, "data": dict(content)}).decode()


def withdraw(notification_ids: Iterable[int]) -> None:
    """Withdraws unsent notifications. If a worker is sending a notification at this moment, the notification can still
    arrive."""
    not_sent = Notification.objects.filter(state__in=[_State.PENDING, _State.GIVEN_UP])
    not_sent.filter(pk__in=list(notification_ids)).update(
        state=_State.WITHDRAWN, ended_at=Now(), leased_until=None, text="", sealed=None
    )


@transaction.atomic
def send_again(notification_id: int, *, actor: str) -> Notification:
    """Makes a given-up notification due now, so that a worker sends it again. Raises an error if the notification's
    text was secret, because the hub has already deleted this text."""
    found = Notification.objects.select_for_update(no_key=True).filter(pk=notification_id).first()
    if found is None or found.state != _State.GIVEN_UP:
        raise NotSent(_("This notification does not exist, or the hub still tries to send it."))
    if found.is_secret:
        raise NotSent(_("This notification contained a secret, which was deleted. Request a new one at its source."))
    now = datetime.now(UTC)
    found.state, found.due_at, found.ended_at, found.attempts = _State.PENDING, now, None, 0
    found.expires_at = now + timedelta(seconds=settings.NOTIFICATION_EXPIRES_S)
    found.save(update_fields=["state", "due_at", "ended_at", "attempts", "expires_at"])
    record(
        "notification_resent",
        subject=found.kind,
        actor=actor,
        after={"notification": found.pk, "to": found.shown_recipient},
    )
    return found


@transaction.atomic
def put_aside(notification_id: int, *, actor: str) -> None:
    """Removes a given-up notification from the operators' list, because an operator has checked it."""
    found = Notification.objects.select_for_update(no_key=True).filter(pk=notification_id).first()
    if found is None or found.state != _State.GIVEN_UP:
        raise NotSent(_("This notification does not exist, or the hub still tries to send it."))
    withdraw([found.pk])
    record(
        "notification_put_aside",
        subject=found.kind,
        actor=actor,
        after={"notification": found.pk, "to": found.shown_recipient},
    )
