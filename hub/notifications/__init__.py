"""E-mails and signed webhooks: call `notify` in the transaction of the event, and a worker sends them.

Each recipient has its own row, so a failing one does not delay others. A notification that cannot be sent is retried
until it expires. Then the portal shows it as given up.
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
    """Writes a notification to each of these e-mail addresses and URLs, in the caller's transaction.

    An e-mail address receives subject and text. A URL receives signed JSON: {"type": kind, "timestamp": ..., "data":
    webhook}. Without `webhook`, data is subject and text. `is_secret`: the text contains a link or a code. It is
    encrypted in its row, shown on no page, and sent only by e-mail. It is deleted when it is sent, given up or expired.
    `expires_at`: the time until which it may be sent, at most NOTIFICATION_EXPIRES_S from now.

    If this hub sends no e-mail (EMAIL_URL, EMAIL_HOST), e-mail addresses are ignored. Returns the ids of the new rows.
    """
    from hub.notifications import services  # models cannot be imported before the apps are ready

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
    """Whether `notify` accepts this recipient: an e-mail address or an http(s) URL."""
    from hub.notifications import services

    try:
        services.channel_of(text)
    except ValueError:
        return False
    return True


def withdraw(notification_ids: Iterable[int]) -> None:
    """Withdraws unsent notifications that are no longer true, in the caller's transaction."""
    from hub.notifications import services

    services.withdraw(notification_ids)


__all__ = ["is_recipient", "notify", "withdraw"]
