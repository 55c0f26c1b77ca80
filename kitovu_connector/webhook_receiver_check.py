"""Checks the address at which a core receives events. Sends one event with a right signature, and one event with a
wrong signature.
"""

import os
import time
import uuid
from datetime import UTC, datetime

import aiohttp
import msgspec

from fspiop import time as fsptime
from kitovu_connector import events
from kitovu_connector.config import Config
from kitovu_connector.event_messages import Checked, ConnectorChecked


class Unreachable(Exception):
    """The error for an address that does not respond."""


async def statuses(config: Config) -> tuple[int, int]:
    """Returns the statuses of the core's responses to two events: one with a right signature, and one with a wrong
    signature.

    Raises ConfigError if the secret is faulty, and Unreachable if the address does not respond.
    """
    key = events.key_of(config)
    timeout = aiohttp.ClientTimeout(total=config.request_s, sock_connect=3)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        return await _send(session, config, key), await _send(session, config, os.urandom(len(key)))


async def _send(session: aiohttp.ClientSession, config: Config, key: bytes) -> int:
    event_id = f"connector.checked/{uuid.uuid4()}"
    at = fsptime.format_datetime(datetime.now(UTC))
    body = msgspec.json.encode(ConnectorChecked(id=event_id, created_date=at, data=Checked(dfsp=config.dfsp)))
    headers = events.headers_of(key, event_id, str(int(time.time())), body)
    try:
        async with session.post(config.webhook_url, data=body, headers=headers, allow_redirects=False) as response:
            return response.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(type(error).__name__) from None
