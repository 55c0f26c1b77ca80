"""Decides about messages that could not be delivered: when the hub tries again, when it gives up, and which requester
it notifies."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from django.conf import settings
from django.db import transaction

from fspiop import versions
from fspiop.errors import ErrorCode, FspiopError
from hub.outbox import store
from hub.outbox.claims import Claimed
from hub.outbox.client import NOT_IMPLEMENTED, Answer
from hub.outbox.messages import BEFORE_ENDS, HubMessages, Outgoing, Recipient, as_answer
from hub.outbox.store import Failure, GivenUp
from hub.participants import queries
from hub.sweeps import isolating_batches

log = structlog.get_logger("outbox")

_MOST_REFUSALS = 5
_SHORT_WAITS = 5  # up to this number of attempts, the recipient can ask for a short wait
_LONGEST_WAIT_S = 300.0
# In the first ten minutes, the hub often repeats attempts to send a message about a payment, because the recipient is
# perhaps restarting its server. Later attempts are rarer.
_ANXIOUS_S, _LONGEST_ANXIOUS_WAIT_S = 600.0, 45.0
_MOST_OVERDUE_OF_ONE, _MOST_OVERDUE = 100, 1000


def judge(message: Claimed, answer: Answer) -> Failure:
    """Decides about a failed message: either the time until the next attempt (exponential backoff with jitter), or that
    the hub gives up. For a report of a payment's end, the hub gives up only after a day. For a request, it gives up
    after some seconds, because the requester waits for an answer.
    """
    is_urgent = (message.is_end or message.kind in BEFORE_ENDS) and message.age_s < _ANXIOUS_S
    longest = _LONGEST_ANXIOUS_WAIT_S if is_urgent else _LONGEST_WAIT_S
    wait = min(longest, 2.0 ** min(message.attempts - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
    delay = _delay(message, wait, None if answer.retry_after_s is None else min(answer.retry_after_s, longest))
    limit = settings.OUTBOX_REQUEST_GIVE_UP_S if message.reply_to_id is not None else settings.OUTBOX_GIVE_UP_S
    is_dead = message.age_s + delay > limit or _is_final(message, answer)
    return Failure(message=message, delay_s=delay, error=answer.error, is_dead=is_dead)


def _delay(message: Claimed, wait: float, asked: float | None) -> float:
    """Returns the time until the next attempt: `wait`, or the time that the recipient has asked for (Retry-After). A
    short time counts only for the first attempts: otherwise a recipient could get thousands of messages every second
    for a day. While a requester waits for an answer, a short time counts for every attempt.
    """
    if asked is None:
        return wait
    is_short_allowed = message.reply_to_id is not None or message.attempts <= _SHORT_WAITS
    return asked if is_short_allowed else max(asked, wait)


def _is_final(message: Claimed, answer: Answer) -> bool:
    if message.is_end:
        # The hub repeats a report of a payment's end even if the DFSP refuses the report. If the hub itself cannot send
        # the report, an operator has a day to correct the DFSP's endpoint or the hub's key.
        return False
    if message.reply_to_id is not None:
        return answer.is_refusal or answer.is_unsent  # so that the requester soon gets an error
    if answer.is_hopeless or answer.status == NOT_IMPLEMENTED:
        return True
    return answer.is_refusal and message.attempts >= _MOST_REFUSALS


def left_alone(message: Claimed, seconds: float) -> Failure:
    """Postpones a message that the courier claimed but did not send, because the destination does not respond to such
    messages at present."""
    return Failure(message=message, delay_s=seconds, error="", is_dead=False, is_attempt=False)


def settle(failures: Sequence[Failure]) -> set[int]:
    """Postpones failed messages, or marks them as dead and notifies their requesters. Does all this in one database
    transaction. Returns the ids of the notified requesters.
    """
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


def give_up_overdue() -> set[int]:
    """Gives up requests that were not delivered in time, even if no courier has tried to send them. Notifies their
    requesters, and returns the requesters' ids. Without this function, a requester would get no answer while the
    destination is paused, or while thousands of messages wait for this destination. One call gives up at most a hundred
    requests of each requester.
    """
    older_than_s = settings.OUTBOX_REQUEST_GIVE_UP_S
    requesters: set[int] = set()

    def find(most: int) -> list[str]:
        return store.overdue(older_than_s=older_than_s, most_of_one=_MOST_OVERDUE_OF_ONE, most=most)

    def give_up(ids: list[str]) -> int:
        with transaction.atomic():
            given_up = store.give_up(ids, older_than_s=older_than_s)
            notices = [_undeliverable(request) for request in given_up]
            store.append(notices)
        requesters.update(notice.destination_id for notice in notices)
        return len(given_up)

    count = isolating_batches.in_groups(store.OVERDUE, find=find, work=give_up, most=_MOST_OVERDUE)
    if count:
        log.error("requests_not_delivered_in_time", count=count)
    return requesters


def _undeliverable(message: Claimed | GivenUp) -> Outgoing:
    """Returns the error callback for the requester of an undelivered request (FSPIOP API v1.1, section 7.6)."""
    assert message.reply_to_id is not None
    assert message.error_path is not None
    error, hub = ErrorCode.DESTINATION_COMMUNICATION_ERROR, HubMessages(settings.HUB_NAME, datetime.now(UTC))
    requester = Recipient(message.reply_to_id, queries.name_of(message.reply_to_id), _version_of(message))
    path, subject = message.error_path, message.subject
    return as_answer(hub.error(requester, path, error.code, error.text, subject=subject, kind="undeliverable"))


def _version_of(message: Claimed | GivenUp) -> str:
    # The error callback has the same API version as the request. A GET has no body, so the version of a GET is in the
    # Accept header.
    resource = message.path.split("/", 2)[1].partition("?")[0]
    try:
        if message.method == "GET":
            return str(versions.read_accept(message.headers.get("accept"), resource))
        return str(versions.read_content_type(message.headers.get("content-type"), resource))
    except FspiopError:
        return "1.1"
