"""Sends one HTTP request to a participant, and interprets the response.

`hub.http_client` sends the request. `hub.http_client` keeps connections open for later requests, and connects only to
addresses that `hub.egress` allows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from fspiop import jws
from hub.http_client import Curl, NotPermitted
from hub.outbox.claims import Claimed

_MOST_OF_AN_ANSWER = 64 * 1024
_LONGEST_RETRY_AFTER_S = 300.0
NOT_IMPLEMENTED = 501


@dataclass(slots=True)
class Answer:
    """A participant's response. Without a response, `status` is 0 and `error` is the reason."""

    status: int
    error: str = ""
    retry_after_s: float | None = None
    is_unsent: bool = False  # the hub itself could not send the message, so the participant did not cause the failure
    is_hopeless: bool = False  # the hub can never send the message

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_refusal(self) -> bool:
        """Whether the participant has read and refused the message. If so, an early retry would get the same
        refusal."""
        return (300 <= self.status < 500 and self.status not in (408, 425, 429)) or self.status == NOT_IMPLEMENTED

    @property
    def is_silence(self) -> bool:
        """Whether the message was sent, but the participant did not respond."""
        return self.status == 0 and not self.is_unsent


class HubKey:
    """The key with which the hub signs its own messages, if this deployment has one. The hub reads the key's file only
    once."""

    def __init__(self) -> None:
        path = settings.HUB_SIGNING_KEY_FILE
        self._key: Any = jws.load_private_key(Path(path).read_bytes()) if path else None

    def headers_for(self, message: Claimed) -> dict[str, str]:
        """Returns the HTTP headers that the hub sends with a message. The hub signs its own messages (FSPIOP API v1.1,
        table 1). A forwarded message keeps its sender's signature."""
        if not message.signed_by_hub:
            return message.headers
        headers = message.headers | {"fspiop-uri": message.path, "fspiop-http-method": message.method}
        if self._key is not None and message.method != "GET":
            headers["fspiop-signature"] = jws.sign(
                message.body,
                key=self._key,
                method=message.method,
                uri=message.path,
                source=headers["fspiop-source"],
                destination=headers.get("fspiop-destination"),
                date=headers["date"],
            )
        return headers


async def send(curl: Curl, message: Claimed, url: str, headers: dict[str, str]) -> Answer:
    """Sends one message. If the network or the recipient fails, the function returns the failure as a result, and
    raises no exception."""
    timeout_s = settings.OUTBOX_TIMEOUT_S
    try:
        reply = await curl.request(
            message.method, url, headers, message.body, timeout_s=timeout_s, most=_MOST_OF_AN_ANSWER
        )
    except TimeoutError:
        return Answer(0, f"no response within {timeout_s} s")
    except NotPermitted as error:
        return Answer(0, str(error), is_unsent=True)
    except OSError as error:
        return Answer(0, f"{type(error).__name__}: {error}")
    except ValueError as error:
        return cannot_be_sent(error)
    if 200 <= reply.status < 300:
        return Answer(reply.status)
    # PostgreSQL cannot store a NUL. One SQL statement stores several results, and one NUL would make the whole
    # statement fail.
    said = reply.body[:300].decode(errors="replace").replace("\0", "\ufffd")
    text = f"HTTP {reply.status}: {said}"
    return Answer(reply.status, text, _retry_after(reply.retry_after_s))


def cannot_be_sent(error: Exception) -> Answer:
    """Returns the result for a message that cannot be written as an HTTP request."""
    return Answer(0, f"cannot be sent: {type(error).__name__}: {error}", is_unsent=True, is_hopeless=True)


def _retry_after(seconds: float | None) -> float | None:
    return None if seconds is None else min(seconds, _LONGEST_RETRY_AFTER_S)
