"""E-mails and signed webhooks: `notify` in the transaction that makes a thing true, and a worker sends them.

One row for each recipient: one that fails holds up no other. A notification that cannot be sent is tried again until it
expires; then the portal shows it as given up.
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
    webhook}; without `webhook`, data is subject and text.
    `is_secret`: the text holds a link or a code. It is encrypted in its row, shown on no page, cleared when it is sent,
    given up or expired, and sent by e-mail only.
    `expires_at`: until when it may be sent; NOTIFICATION_EXPIRES_S from now at the latest.

    If this hub sends no e-mail (EMAIL_URL, EMAIL_HOST), addresses are left out. Returns the ids of the new rows.
    """
    from hub.notifications import services  # models can not be imported before the apps are ready

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
    """Whether `notify` takes this: an e-mail address or an http(s) URL."""
    from hub.notifications import services

    try:
        services.channel_of(text)
    except ValueError:
        return False
    return True


def withdraw(notification_ids: Iterable[int]) -> None:
    """Takes back what was not sent, in the caller's transaction: it is not true any more."""
    from hub.notifications import services

    services.withdraw(notification_ids)


__all__ = ["is_recipient", "notify", "withdraw"]
