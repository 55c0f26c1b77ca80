"""One HTTP request to a participant, and what its answer means.

One connection pool per participant, to addresses that `hub.egress` lets through; a deadline over the whole exchange (a
byte a second is no life sign); no redirects; answers are read up to a cap and never decompressed.
"""

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
from django.conf import settings

from fspiop import jws
from hub import egress
from hub.outbox.store import Claimed

_MOST_OF_AN_ANSWER = 64 * 1024
_NOT_BY_OURSELVES = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


@dataclass(slots=True)
class Answer:
    """What came back: an HTTP status, or 0 and why there is none."""

    status: int
    error: str = ""
    retry_after_s: float | None = None

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_refusal(self) -> bool:
        """The participant read it and does not want it: sending it again soon will not help."""
        return 300 <= self.status < 500 and self.status not in (408, 425, 429)


class HubKey:
    """The hub's signing key, read once; None where this deployment does not sign."""

    def __init__(self) -> None:
        path = settings.HUB_SIGNING_KEY_FILE
        self._key: Any = jws.load_private_key(Path(path).read_bytes()) if path else None

    def headers_for(self, message: Claimed) -> dict[str, str]:
        """The headers to send with, signed where the hub is the one who speaks (FSPIOP API v1.1, table 1)."""
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


def open_session() -> aiohttp.ClientSession:
    """A session for one participant; must be called in the event loop that uses it."""
    return aiohttp.ClientSession(
        connector=egress.connector(settings.OUTBOX_CONCURRENCY),
        timeout=aiohttp.ClientTimeout(total=settings.OUTBOX_TIMEOUT_S),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NOT_BY_OURSELVES,
        trust_env=False,
    )


async def send(session: aiohttp.ClientSession, message: Claimed, url: str, headers: dict[str, str]) -> Answer:
    """Sends one message; never raises for what the network or the other side does."""
    try:
        async with session.request(
            message.method, url, data=message.body or None, headers=headers, allow_redirects=False
        ) as response:
            text = await response.content.read(_MOST_OF_AN_ANSWER)
            status = response.status
            error = "" if 200 <= status < 300 else f"HTTP {status}: {text[:300].decode(errors='replace')}"
            return Answer(status, error, _retry_after(response.headers.get("Retry-After")))
    except TimeoutError:
        return Answer(0, f"no answer within {settings.OUTBOX_TIMEOUT_S} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Answer(0, f"{type(error).__name__}: {error}")


def _retry_after(text: str | None) -> float | None:
    if text is None:
        return None
    if text.isdecimal():
        return min(float(text), 300.0)
    try:
        parsedate_to_datetime(text)
    except ValueError:
        return None
    return 60.0  # a moment by the other side's clock: a minute is near enough
