"""Calls a participant's endpoint with the same deadline and limits as for a callback. The call changes nothing."""

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from fspiop.time import http_date
from hub import sql_execution
from hub.http_client import Curl
from hub.outbox import client
from hub.outbox.claims import Claimed
from hub.outbox.client import Answer


def call(url: str) -> Answer:
    """Sends a GET to the endpoint's base address. Any HTTP response shows that the hub can reach the endpoint."""
    sql_execution.give_back()
    return asyncio.run(_call(_root_of(url)))


async def _call(url: str) -> Answer:
    now = datetime.now(UTC)
    headers = {"accept": "application/json", "date": http_date(now), "fspiop-source": settings.HUB_NAME}
    message = Claimed(
        id=0,
        destination_id=0,
        method="GET",
        path=urlsplit(url).path,
        headers=headers,
        body=b"",
        subject="",
        kind="connection-test",
        signed_by_hub=False,
        reply_to_id=None,
        error_path=None,
        attempts=1,
        age_s=0.0,
        lease=now,
    )
    async with Curl() as curl:
        return await client.send(curl, message, url, headers)


def _root_of(url: str) -> str:
    """Returns the part of the URL before the first {{name}}. The hub replaces {{name}} only when it sends a message."""
    parts = urlsplit(url.split("{{", 1)[0])
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", "", ""))
