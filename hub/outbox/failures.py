"""What to do with a message that was not taken: when to try again, when to give up, and whom to tell."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from django.conf import settings
from django.db import transaction

from fspiop import time, versions
from fspiop.errors import ErrorCode, FspiopError, error_body
from hub.outbox import store
from hub.outbox.client import Answer
from hub.outbox.messages import Outgoing, from_hub
from hub.outbox.store import Claimed, Failure
from hub.participants import queries

log = structlog.get_logger("outbox")

_MOST_REFUSALS = 5
_LONGEST_WAIT_S = 300.0


def judge(message: Claimed, answer: Answer) -> Failure:
    """Exponential backoff with jitter; an end after a day, for a request that somebody waits for after seconds."""
    wait = min(_LONGEST_WAIT_S, 2.0 ** min(message.attempts - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
    delay = answer.retry_after_s if answer.retry_after_s is not None else wait
    limit = settings.OUTBOX_REQUEST_GIVE_UP_S if message.reply_to_id is not None else settings.OUTBOX_GIVE_UP_S
    is_dead = message.age_s + delay > limit or (answer.is_refusal and _is_final(message))
    return Failure(message=message, delay_s=delay, error=answer.error, is_dead=is_dead)


def _is_final(message: Claimed) -> bool:
    # Whoever waits for a request is better served by the refusal now.
    return message.reply_to_id is not None or message.attempts >= _MOST_REFUSALS


def settle(failures: Sequence[Failure]) -> set[int]:
    """Puts failures back or among the dead, and tells who waited; returns whom. One transaction."""
    if not failures:
        return set()
    with transaction.atomic():
        ours = store.postpone(failures)
        dead = [failure.message for failure in failures if failure.is_dead and failure.message.id in ours]
        notices = [_undeliverable(message) for message in dead if message.reply_to_id is not None]
        store.append(notices)
    for message in dead:
        log.error("message_dead", message=message.id, kind=message.kind)
    return {notice.destination_id for notice in notices}


def _undeliverable(message: Claimed) -> Outgoing:
    """FSPIOP API v1.1, section 7.6: the destination could not be reached, said by the hub to who asked."""
    assert message.reply_to_id is not None
    assert message.error_path is not None
    error = ErrorCode.DESTINATION_COMMUNICATION_ERROR
    return from_hub(
        hub_name=settings.HUB_NAME,
        date=time.http_date(datetime.now(UTC)),
        to_id=message.reply_to_id,
        to=queries.name_of(message.reply_to_id),
        method="PUT",
        path=message.error_path,
        version=_version_of(message),
        body=error_body(error.code, error.text),
        subject=message.subject,
        kind="undeliverable",
    )


def _version_of(message: Claimed) -> str:
    # A request says by Accept in which version it wants its answer; the hub answers in the request's own. A GET has no
    # body, and its Content-Type says nothing.
    resource = message.path.split("/", 2)[1].partition("?")[0]
    try:
        if message.method == "GET":
            return str(versions.read_accept(message.headers.get("accept"), resource))
        return str(versions.read_content_type(message.headers.get("content-type"), resource))
    except FspiopError:
        return "1.1"
