"""E-mails and signed webhooks. Other modules call `notify` in the transaction of an event. A worker then sends the
notification.

Each recipient has a separate row, so a failing recipient does not delay other recipients. The worker tries to send a
notification until the notification is sent or expires. The portal shows expired notifications as "given up".
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
    """Stores one notification for each of these e-mail addresses and URLs, in the caller's transaction.

    A notification to an e-mail address contains the subject and the text. A notification to a URL is signed JSON:
    {"type": kind, "timestamp": ..., "data": webhook}. If no `webhook` is given, the element `data` contains the subject
    and the text. `is_secret`: the text contains a link or a code. A secret text is encrypted in the database, shown on
    no page, and sent only by e-mail. A secret text is deleted when its notification is sent, given up or expired.
    `expires_at`: the time until which the notification may be sent, at most NOTIFICATION_EXPIRES_S from now.

    If this hub sends no e-mail (EMAIL_URL, EMAIL_HOST), the function ignores e-mail addresses. Returns the ids of the
    new notifications.
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
    """In the caller's transaction, withdraws those of these notifications that have not been sent."""
    from hub.notifications import services

    services.withdraw(notification_ids)


__all__ = ["is_recipient", "notify", "withdraw"]
