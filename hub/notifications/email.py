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
    """Sends one e-mail and returns the result. If the mail server fails, the function returns the failure as a result,
    and raises no exception. The hub waits at most EMAIL_TIMEOUT for each response of the mail server."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    # All attempts have the same message id. If the hub sends a message twice because of a crash, mail programs show
    # only one message.
    number = f"{message.id}.{message.created_at:%Y%m%d%H%M%S%f}"
    headers = {"Message-ID": f"<{number}@{domain}>", "Auto-Submitted": "auto-generated"}
    try:
        EmailMessage(message.subject, text, to=[message.recipient], headers=headers).send()
    except (smtplib.SMTPException, OSError) as error:
        return Outcome(is_sent=False, error=_text(error, message), is_refusal=_is_refusal(error))
    except Exception as error:  # for example, Django cannot build the e-mail; the sender must continue
        log.exception("email_can_not_be_written", notification=message.id)
        return Outcome(is_sent=False, error=type(error).__name__, is_refusal=True)
    return SENT


def _is_refusal(error: Exception) -> bool:
    """Returns whether the mail server permanently refused this recipient or this text. Other errors, such as a wrong
    password in the hub's settings, can be temporary.
    """
    return isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) and _code(error) >= 500


def _code(error: Exception) -> int:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return max(code for code, _text in error.recipients.values())
    return error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else 0


def _text(error: Exception, message: Claimed) -> str:
    # The mail server's error text sometimes repeats a part of the e-mail. If the e-mail contains a secret, the hub
    # stores only the error code.
    code = _code(error)
    brief = f"{type(error).__name__} {code}" if code else type(error).__name__
    return brief if message.is_secret else f"{brief}: {error}".replace("\0", "\ufffd")
