"""Ends forwarded GET requests that got no answer in time, and sends error 2004 to the requesters. This module is for
requests that the destination accepted but did not answer. If a request could not be delivered, the outbox notifies the
requester.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from django.conf import settings
from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now

from fspiop.errors import ErrorCode, FspiopError
from hub import fair_overdue_rows, outbox
from hub.outbox import queries
from hub.outbox.messages import HubMessages, Outgoing, Recipient, as_answer
from hub.outbox.models import Message
from hub.sql_execution import execute
from hub.sweeps import isolating_batches
from hub.sweeps.store import not_skipped

M = TypeVar("M", bound=models.Model)

_MOST_LATE, _MOST_ENDED = 500, 1000
_LATER = timedelta(seconds=5)
_LATE = fair_overdue_rows.Way("ended_at IS NULL AND answer_by <= statement_timestamp()", "answer_by", "answer_by")


@dataclass(frozen=True, slots=True)
class Late:
    """A GET request that got no answer in time."""

    id: int
    requester: Recipient
    asked_id: int
    asked_at: datetime
    subject: str  # the subject of the outbox's messages about this request
    error_path: str


@dataclass(frozen=True, slots=True)
class Requests(Generic[M]):
    """A model whose rows are stored requests, and the names of the batches that process these rows.

    The model has the columns `asked_at`, `answer_by` and `ended_at`.
    """

    model: type[M]
    requester: str  # the name of the foreign key to the requester
    batch: str
    ended_batch: str
    read: Callable[[M], Late]
    # An INSERT ... SELECT that reads the removed rows from `gone`. The statement stores a part of each removed request
    # in another table.
    keep: str = ""

    @property
    def table(self) -> str:
        return self.model._meta.db_table


def report(requests: Requests) -> int:
    """Ends overdue requests and notifies the requesters. Takes one request of each requester in turn. Returns the
    number of requests whose requesters this call has notified. Two calls can run at the same time, because each call
    skips rows that the other call has locked.
    """
    return isolating_batches.in_groups(
        requests.batch,
        find=lambda most: find_late(requests, most),
        work=lambda ids: _end(requests, ids),
        most=_MOST_LATE,
    )


def find_late(requests: Requests, most: int) -> list[str]:
    of = f"{requests.requester}_id"
    return fair_overdue_rows.overdue(requests.batch, requests.table, "id", of=of, ways=[_LATE], most=most)


def _end(requests: Requests, ids: list[str]) -> int:
    rows = requests.model._default_manager.all()
    with transaction.atomic(durable=True):
        locked = rows.select_for_update(skip_locked=True, of=("self",)).select_related(requests.requester)
        late = [requests.read(row) for row in locked.filter(pk__in=ids, ended_at=None, answer_by__lte=Now())]
        if not late:
            return 0
        outstanding = queries.not_taken(
            to={request.asked_id for request in late}, about={request.subject for request in late}
        )

        def rests_with_the_outbox(request: Late, state: str) -> bool:
            since = outstanding.get((request.requester.id, request.asked_id, request.subject, state))
            return since is not None and since >= request.asked_at

        # These requests still wait in the outbox. The outbox delivers each request or notifies its requester. A later
        # sweep checks these requests again.
        on_its_way = {request.id for request in late if rests_with_the_outbox(request, Message.State.PENDING)}
        rows.filter(pk__in=on_its_way).update(answer_by=F("answer_by") + _LATER)
        over = [request for request in late if request.id not in on_its_way]
        rows.filter(pk__in=[request.id for request in over]).update(ended_at=Now())
        silent = [request for request in over if not rests_with_the_outbox(request, Message.State.DEAD)]
        hub = HubMessages(settings.HUB_NAME, datetime.now(UTC))
        outbox.append([_timed_out(hub, request) for request in silent])
    outbox.poke({request.requester.id for request in silent})
    return len(silent)


def _timed_out(hub: HubMessages, request: Late) -> Outgoing:
    error = FspiopError(ErrorCode.SERVER_TIMED_OUT, "the DFSP that received the request did not answer")
    to, path, subject = request.requester, request.error_path, request.subject
    return as_answer(hub.error(to, path, error.code, error.description, subject=subject, kind="unanswered"))


def forget_ended(requests: Requests, *, keep_s: int) -> int:
    """Removes requests that ended `keep_s` seconds ago, the oldest first, a thousand at a time.

    Returns the number of removed requests.
    """
    return isolating_batches.in_groups(
        requests.ended_batch,
        find=lambda most: _find_ended(requests, keep_s=keep_s, most=most),
        work=lambda ids: _forget(requests, ids, keep_s=keep_s),
        most=_MOST_ENDED,
    )


def _find_ended(requests: Requests, *, keep_s: int, most: int) -> list[str]:
    statement = f"""
        SELECT r.id::text FROM {requests.table} r
        WHERE r.ended_at <= statement_timestamp() - make_interval(secs => %s)
          AND {not_skipped(requests.ended_batch, "r.id")}
        ORDER BY r.ended_at LIMIT %s
    """  # noqa: S608 (put together from constants)
    return [row[0] for row in execute(statement, [keep_s, most])]


def _forget(requests: Requests, ids: list[str], *, keep_s: int) -> int:
    # Does not remove a request that was repeated meanwhile: its row is locked, or its `ended_at` is empty again.
    statement = f"""
        DELETE FROM {requests.table}
        WHERE id IN (SELECT id FROM {requests.table}
                     WHERE id = ANY(%s::bigint[]) AND ended_at <= statement_timestamp() - make_interval(secs => %s)
                     FOR UPDATE SKIP LOCKED)
    """  # noqa: S608
    if requests.keep:
        statement = f"WITH gone AS ({statement} RETURNING *) {requests.keep}"
    return execute(statement, [ids, keep_s]).rowcount
