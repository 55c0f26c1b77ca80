"""Sends one e-mail with the backend in Django's settings."""

import smtplib
from email.utils import parseaddr

import structlog
from django.conf import settings
from django.core.mail import EmailMessage

from hub.notifications.retries import SENT, Outcome
from hub.notifications.store import Claimed

log = structlog.get_logger("notifications")


def send(message: Claimed, text: str) -> Outcome:
    """Sends one e-mail. If the mail server fails, the function does not raise an error. The function returns the result
    of the attempt. Each step of the exchange with the mail server takes at most EMAIL_TIMEOUT."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    # The message id is the same in each attempt. If a crash makes the hub send a message twice, mail programs show it
    # only once.
    number = f"{message.id}.{message.created_at:%Y%m%d%H%M%S%f}"
    headers = {"Message-ID": f"<{number}@{domain}>", "Auto-Submitted": "auto-generated"}
    try:
        EmailMessage(message.subject, text, to=[message.recipient], headers=headers).send()
    except (smtplib.SMTPException, OSError) as error:
        return Outcome(is_sent=False, error=_text(error, message), is_refusal=_is_refusal(error))
    except Exception as error:  # an e-mail that Django cannot build must not stop the sender
        log.exception("email_can_not_be_written", notification=message.id)
        return Outcome(is_sent=False, error=type(error).__name__, is_refusal=True)
    return SENT


def _is_refusal(error: Exception) -> bool:
    """Returns whether the server permanently refused this recipient or text.

    Returns False if the error is about the hub itself, because such an error can be temporary.
    """
    return isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) and _code(error) >= 500


def _code(error: Exception) -> int:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return max(code for code, _text in error.recipients.values())
    return error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else 0


def _text(error: Exception, message: Claimed) -> str:
    # The server's error text may repeat the refused text, which may contain a secret. So the hub stores only the code.
    code = _code(error)
    brief = f"{type(error).__name__} {code}" if code else type(error).__name__
    return brief if message.is_secret else f"{brief}: {error}".replace("\0", "\ufffd")
