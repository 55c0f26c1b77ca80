"""Sends one webhook to an address that `hub.egress` allows. The signature of a webhook follows the Standard Webhooks
specification."""

import base64
import hashlib
import hmac
import time

from django.conf import settings

from hub.http_client import Curl
from hub.notifications.retries import SENT, Outcome
from hub.notifications.store import Claimed

_MOST_OF_AN_ANSWER = 4096


class NoSecret(Exception):
    """Raised if WEBHOOK_SECRET is not set, so that the hub cannot sign webhooks."""


def key_of(url: str) -> bytes:
    """Returns the key with which the hub signs webhooks to this URL.

    Each URL has a key of its own, so that no receiver can forge webhooks to another receiver.
    """
    if not settings.WEBHOOK_SECRET:
        raise NoSecret
    return hmac.digest(settings.WEBHOOK_SECRET.encode(), f"webhook\0{url}".encode(), hashlib.sha256)


def signature(key: bytes, *, identity: str, timestamp: int, body: bytes) -> str:
    """Returns the HMAC-SHA256 of the webhook's id, timestamp and body."""
    signed = f"{identity}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers_for(message: Claimed, *, at: int) -> dict[str, str]:
    """Returns the headers of a webhook. The id is the same in all attempts to send a webhook, so that the receiver can
    detect repetitions."""
    identity = f"notification-{message.id}"
    signed = signature(key_of(message.recipient), identity=identity, timestamp=at, body=message.text.encode())
    return {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(at),
        "webhook-signature": signed,
    }


async def send(curl: Curl, message: Claimed) -> Outcome:
    """Sends one webhook. If the network or the receiver fails, the function returns the failure as a result, and raises
    no exception."""
    timeout_s = settings.WEBHOOK_TIMEOUT_S
    try:
        headers = headers_for(message, at=int(time.time()))
        reply = await curl.request(
            "POST",
            message.recipient,
            headers,
            message.text.encode(),
            timeout_s=timeout_s,
            most=_MOST_OF_AN_ANSWER,
        )
    except NoSecret:
        return Outcome(is_sent=False, error="WEBHOOK_SECRET is not set, so the webhook cannot be signed")
    except TimeoutError:
        return Outcome(is_sent=False, error=f"no response within {timeout_s} s")
    except (OSError, ValueError) as error:
        return Outcome(is_sent=False, error=f"{type(error).__name__}: {error}")
    if 200 <= reply.status < 300:
        return SENT
    said = reply.body[:200].decode(errors="replace").replace("\0", "\ufffd")
    is_refusal = 300 <= reply.status < 500 and reply.status not in (408, 425, 429)
    return Outcome(
        is_sent=False, error=f"HTTP {reply.status}: {said}", is_refusal=is_refusal, retry_after_s=reply.retry_after_s
    )
