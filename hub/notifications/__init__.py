"""E-mails and signed webhooks. Other modules call `notify` in the database transaction that stores an event. A worker
then sends the notification.

Each recipient has a separate row. So a failure at one recipient does not delay the other recipients. The worker tries
to send a notification until the notification is sent or expires. The portal shows expired notifications as "given up".
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any


def notify(
    *,
    kind: str,
    recipients: Iterable[str],
    subject: str,
    text: str,
    webhook: Mapping[str, Any] | None = None,
    is_secret: bool = False,
    expires_at: datetime | None = None,
) -> list[int]:
    """Stores one notification for each recipient (an e-mail address or a URL), in the caller's database transaction. A
    notification to an e-mail address contains the subject and the text. A notification to a URL is signed JSON:
    {"type": kind, "timestamp": ..., "data": webhook}. If no `webhook` is given, the element `data` contains the subject
    and the text. `is_secret` means that the text contains a secret link or code. The hub encrypts a secret text in the
    database, shows it on no page, and sends it only by e-mail. The hub deletes a secret text when its notification is
    sent, given up or expired. After `expires_at`, the hub no longer sends the notification. This time is at most
    NOTIFICATION_EXPIRES_S from now.

    If this hub sends no e-mail (no EMAIL_URL and no EMAIL_HOST), the function ignores e-mail addresses. Returns the ids
    of the new notifications.
    """
    from hub.notifications import services  # Django cannot import models before its apps are ready

    return services.notify(
        kind=kind,
        recipients=recipients,
        subject=subject,
        text=text,
        webhook=webhook,
        is_secret=is_secret,
        expires_at=expires_at,
    )


def is_recipient(text: str) -> bool:
    """Returns whether `notify` accepts this recipient: an e-mail address or an http(s) URL."""
    from hub.notifications import services

    try:
        services.channel_of(text)
    except ValueError:
        return False
    return True


def withdraw(notification_ids: Iterable[int]) -> None:
    """Withdraws these notifications in the caller's database transaction, except those that the hub has already
    sent."""
    from hub.notifications import services

    services.withdraw(notification_ids)


__all__ = ["is_recipient", "notify", "withdraw"]
