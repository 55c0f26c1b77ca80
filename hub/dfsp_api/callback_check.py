"""Sends a test message to a DFSP's endpoint, in the same way as a courier. Reports the response. The test message
changes nothing at the DFSP.

The test message is an error callback about the registration of an unknown alias. Every FSPIOP implementation accepts
such a callback. The hub signs the test message, so the check also shows whether the DFSP accepts the hub's signature.
"""

import asyncio
import secrets
import threading
import time
from datetime import UTC, datetime

import structlog
from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

from fspiop import bodies, strictjson, versions
from fspiop.bodies.errors import ErrorPut
from fspiop.errors import ErrorCode, FspiopError, error_body
from fspiop.time import http_date
from hub import sql_execution
from hub.dfsp_api.bodies import CallbackCheck
from hub.http_client import Curl, NotPermitted, Reply
from hub.outbox.claims import Claimed
from hub.outbox.client import HubKey
from hub.participants import queries
from hub.participants.endpoint_types_and_urls import url_for
from hub.participants.models import Participant

log = structlog.get_logger("api")

EVERY_S = 10
"""A DFSP may request one check in this number of seconds. A check takes less time than this, so a DFSP has at most one
check in progress."""
_MOST_S = 5.0
_AT_ONCE = 4  # the largest number of simultaneous checks in one process, because each check occupies a thread
_MOST_BYTES = 4096
_METHOD = "PUT"

_places = threading.BoundedSemaphore(_AT_ONCE)
_last: dict[int, float] = {}


def check(participant: Participant) -> CallbackCheck:
    """Sends the test message to the participant's endpoint, and returns the result. Raises FspiopError 2005 if this
    participant requested another check just before, or if too many checks are in progress."""
    path = f"/participants/ALIAS/callback-check-{secrets.token_hex(8)}/error"
    url = url_for(queries.endpoints_of([participant.pk])[participant.pk], _METHOD, path)
    if url is None:
        error = "no endpoint is registered: the operator registers FSPIOP_CALLBACK_URL"
        return CallbackCheck(method=_METHOD, path=path, is_reachable=False, is_taken=False, error=error)
    if not _places.acquire(blocking=False):
        raise FspiopError(ErrorCode.SERVER_BUSY, "too many callback checks run; try again", http_status=503)
    try:
        _count(participant.pk)
        sql_execution.give_back()  # this thread needs no database connection while it waits for the DFSP
        return _call(participant, path, url)
    finally:
        _places.release()


def _count(participant_id: int) -> None:
    """Raises FspiopError 2005 if less than `EVERY_S` seconds have passed since the participant's last check, in any
    process of the hub."""
    now = time.monotonic()
    is_early = now - _last.get(participant_id, -EVERY_S) < EVERY_S
    if not is_early:
        try:
            is_early = not cache.add(f"callback-check:{participant_id}", 1, timeout=EVERY_S)
        except (RedisError, OSError):
            log.warning("callback_checks_counted_in_process", participant=participant_id)
    if is_early:
        raise FspiopError(ErrorCode.SERVER_BUSY, f"one callback check in {EVERY_S} s", http_status=429)
    _last[participant_id] = now


def _call(participant: Participant, path: str, url: str) -> CallbackCheck:
    try:
        key = HubKey()
    except (OSError, ValueError):
        raise FspiopError(ErrorCode.SERVICE_UNAVAILABLE, "the hub's signing key cannot be read") from None
    began = time.monotonic()
    found = CallbackCheck(url=url, method=_METHOD, path=path, is_reachable=False, is_taken=False)
    try:
        reply = asyncio.run(_request(key, _message(participant, path), url))
    except NotPermitted as error:
        found.error = str(error)
    except TimeoutError:
        found.error = f"no response within {_MOST_S:g} s"
    except (OSError, ValueError) as error:
        found.error = str(error)[:200] or type(error).__name__
    else:
        found.status, found.is_reachable, found.is_taken = reply.status, True, 200 <= reply.status < 300
        found.error_code, found.error = _error_in(reply)
    found.milliseconds = round((time.monotonic() - began) * 1000)
    return found


def _message(participant: Participant, path: str) -> Claimed:
    now = datetime.now(UTC)
    return Claimed(
        id=0,
        destination_id=participant.pk,
        method=_METHOD,
        path=path,
        headers={
            "content-type": versions.content_type("participants", versions.Version(1, 1)),
            "date": http_date(now),
            "fspiop-source": settings.HUB_NAME,
            "fspiop-destination": participant.name,
        },
        body=strictjson.canonical(error_body(ErrorCode.PARTY_NOT_FOUND.code, "Callback check: nothing was registered")),
        subject="",
        kind="callback-check",
        signed_by_hub=True,
        reply_to_id=None,
        error_path=None,
        attempts=1,
        age_s=0.0,
        lease=now,
    )


async def _request(key: HubKey, message: Claimed, url: str) -> Reply:
    async with Curl() as curl:
        headers = key.headers_for(message)
        return await curl.request(_METHOD, url, headers, message.body, timeout_s=_MOST_S, most=_MOST_BYTES)


def _error_in(reply: Reply) -> tuple[str | None, str | None]:
    """Returns the error code and the error text from the response's body. Ignores a body that is not an error of the
    API, because such a body is perhaps not from the DFSP's own server."""
    if 200 <= reply.status < 300:
        return None, None
    try:
        information = bodies.read(ErrorPut, reply.body).error_information
    except FspiopError:
        return None, "the response is no error of the API"
    return information.error_code, information.error_description
