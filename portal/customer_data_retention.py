# ruff: noqa: S608 (statements are put together from constants)
"""Removes customers' data. Each kind of data has its own retention period. The setting is `RETENTION_DAYS`.

The hub keeps ids, amounts, parties, states, times and digests. The hub also keeps all data that a repeated request or a
payment's page needs. The hub erases texts, but keeps the rows of the texts. The hub deletes the rows of the payments of
bulk quotes, because these rows serve only the search for customers. One database transaction erases a slice of
a thousand rows. The table `sweeps_erasure` records the time up to which the hub has erased texts. So `check_ledger`
does not report an erased text as missing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction

from hub.audit import record
from hub.outbox.models import Message
from hub.sql_execution import execute
from hub.sweeps import isolating_batches
from hub.sweeps.models import Erasure
from ledger.rule_history.stored_payments import ERASED_FACTS

log = structlog.get_logger("retention")

ACTOR = "retention"
_SLICE = 1000
_FOR_S = 60.0  # the longest time that one run spends on one table; the next run continues where this run stopped
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# The hub keeps the dead letter of a payment, because the dead letter is the only record of the message to the DFSP.
_ABOUT_PAYMENTS = ("prepare", "end-to-payer", "end-to-payee")


@dataclass(frozen=True, slots=True)
class Texts:
    """A table with texts to erase, and the SQL statements that erase a slice. The hub erases the oldest rows first."""

    kind: str
    table: str
    column: str
    statements: tuple[str, ...]


def _events(table: str, key: str, of: str, of_key: str, live: str, states: str) -> tuple[str, ...]:
    # The hub runs one SQL statement for each state, because the history has an index for each state.
    return tuple(
        f"""UPDATE {table} e SET body = ''::bytea FROM {of} t
            WHERE t.received_at >= %s AND t.received_at < %s AND t.state NOT IN ({live})
              AND e.{key} = t.{of_key} AND e.state {state} AND e.body <> ''::bytea"""
        for state in (states, "IN ('ABORTED', 'COMMITTED')")
    )


_AGREEMENT = """
    UPDATE {} SET request = ''::bytea, response = CASE WHEN response IS NOT NULL THEN ''::bytea END
    WHERE created_at >= %s AND created_at < %s AND state <> '{}' AND request <> ''::bytea
"""
_ITEMS = "DELETE FROM quotes_bulkquoteitem WHERE created_at >= %s AND created_at < %s"
_BULKS = """
    UPDATE ledger_bulktransfer SET request = ''::bytea, answer = CASE WHEN answer IS NOT NULL THEN ''::bytea END
    WHERE received_at >= %s AND received_at < %s AND state <> 'ACCEPTED' AND request <> ''::bytea
"""
BODIES = (
    Texts(
        "transfers",
        "ledger_transfer",
        "received_at",
        _events("ledger_transferevent", "transfer_id", "ledger_transfer", "transfer_id", "'RESERVED'", "= 'RESERVED'"),
    ),
    Texts(
        "conversions",
        "ledger_fxtransfer",
        "received_at",
        _events(
            "ledger_fxtransferevent",
            "fx_transfer_id",
            "ledger_fxtransfer",
            "commit_request_id",
            "'RESERVED', 'AGREED'",
            "IN ('AGREED', 'RESERVED')",
        ),
    ),
    Texts("bulks", "ledger_bulktransfer", "received_at", (_BULKS,)),
)
QUOTES = (
    *(
        Texts(kind, table, "created_at", (_AGREEMENT.format(table, live),))
        for kind, table, live in (
            ("quotes", "quotes_quote", "PENDING"),
            ("bulk quotes", "quotes_bulkquote", "PENDING"),
            ("fx quotes", "quotes_fxquote", "PENDING"),
            ("requests to pay", "quotes_transactionrequest", "SENT"),
        )
    ),
    Texts("payments of bulk quotes", "quotes_bulkquoteitem", "created_at", (_ITEMS,)),
)

_FACTS = "UPDATE {} SET {} WHERE {} >= %s AND {} < %s AND {} IS NOT NULL"
FACTS = tuple(
    Texts(kind, table, column, (_FACTS.format(table, erased, column, column, tested),))
    for kind, table, column, erased, tested in (
        (ERASED_FACTS, "quotes_quote", "created_at", "rule_facts = NULL", "rule_facts"),
        (f"{ERASED_FACTS} of bulks", "quotes_bulkquote", "created_at", "rule_facts = NULL", "rule_facts"),
        (f"{ERASED_FACTS} of conversions", "quotes_fxquote", "created_at", "rule_facts = NULL", "rule_facts"),
        (f"{ERASED_FACTS} of decisions", "rules_rulesets_decision", "at", "facts = NULL", "facts"),
    )
)


def remove_old() -> int:
    """Removes expired data. Stops at a time limit. Returns the number of removed rows.

    An error about one kind of data does not stop the removal of other kinds.
    """
    return isolating_batches.each(*(partial(_remove, kind, remove) for kind, remove in _REMOVERS.items()))


def _remove(kind: str, remove: Callable[[datetime], int]) -> int:
    days = settings.RETENTION_DAYS.get(kind, 0)
    return remove(datetime.now(UTC) - timedelta(days=days)) if days else 0


def _erase_all(tables: tuple[Texts, ...], before: datetime) -> int:
    # The erasure excludes rows of the last days, because transfers in these rows can still be reserved. Otherwise a run
    # would skip the texts of a reserved transfer, and no later run would read the row of this transfer again.
    ended = datetime.now(UTC) - timedelta(seconds=settings.TRANSFER_MAX_VALIDITY_S, days=1)
    return isolating_batches.each(*(partial(_erase, texts, min(before, ended)) for texts in tables))


def _erase(texts: Texts, before: datetime) -> int:
    if not _begins(texts.kind, before):
        return 0
    done, size, until = 0, _SLICE, time.monotonic() + _FOR_S
    while time.monotonic() < until:
        try:
            erased = _erase_slice(texts, before, size)
        except Exception as error:
            if isolating_batches.is_about_all(error):
                raise
            if size == 1:
                _pass_by(texts, before, error)
            size = max(1, size // 2)
        else:
            if erased is None:
                break
            done, size = done + erased, min(_SLICE, size * 2)
    log.info("texts_erased", kind=texts.kind, before=before.isoformat(), texts=done)
    return done


@transaction.atomic(durable=True)
def _begins(kind: str, before: datetime) -> bool:
    """Returns whether at least one day of data must still be erased.

    If at least one day is left, records the erasure in the audit trail before the erasure begins.
    """
    mark = _mark(kind)
    if before - mark.up_to < timedelta(days=1):
        return False
    record("texts_erased", subject=kind, actor=ACTOR, after={"before": before.isoformat()})
    return True


@transaction.atomic(durable=True)
def _erase_slice(texts: Texts, before: datetime, size: int) -> int | None:
    """Erases the oldest slice that is not erased yet.

    Returns the number of erased texts, or None if no slice was left.
    """
    mark = _mark(texts.kind)
    if mark.up_to >= before:
        return None
    end = _end_of_slice(texts, mark.up_to, before, size)
    erased = sum(execute(statement, [mark.up_to, end]).rowcount for statement in texts.statements)
    mark.up_to = end
    _save(mark)
    return erased


@transaction.atomic(durable=True)
def _pass_by(texts: Texts, before: datetime, error: Exception) -> None:
    """Skips a text that cannot be erased, so that later texts can be erased."""
    mark = _mark(texts.kind)
    since, mark.up_to = mark.up_to, _end_of_slice(texts, mark.up_to, before, 1)
    _save(mark)
    span = {"since": since.isoformat(), "before": mark.up_to.isoformat()}
    log.warning("texts_not_erased", kind=texts.kind, why=isolating_batches.why(error), **span)


def _mark(kind: str) -> Erasure:
    found, _ = Erasure.objects.select_for_update().get_or_create(kind=kind, defaults={"up_to": _BEGINNING})
    return found


def _save(mark: Erasure) -> None:
    mark.at = datetime.now(UTC)
    mark.save(update_fields=["up_to", "position", "at"])


_END = """
    SELECT coalesce(
        (SELECT {column} FROM {table}
         WHERE {column} < %s AND {column} > (SELECT {column} FROM {table} WHERE {column} >= %s AND {column} < %s
                                             ORDER BY {column} OFFSET %s LIMIT 1)
         ORDER BY {column} LIMIT 1), %s)
"""


def _end_of_slice(texts: Texts, since: datetime, before: datetime, size: int) -> datetime:
    statement = _END.format(table=texts.table, column=texts.column)
    row = execute(statement, [before, since, before, size - 1, before]).fetchone()
    assert row is not None
    end: datetime = row[0]
    return end


_LOOKED_AT = 10_000
_OLD = """
    WITH looked_at AS (SELECT message_id, delivered_at FROM outbox_delivery WHERE message_id > %s
                       ORDER BY message_id LIMIT %s),
         old AS (SELECT message_id, bool_and(delivered_at < %s) OVER (ORDER BY message_id) AS is_old FROM looked_at)
    SELECT max(message_id) FILTER (WHERE is_old), count(*) FILTER (WHERE is_old) FROM old
"""
_FORGET_LOOKUPS = """
    DELETE FROM outbox_delivery WHERE message_id > %s AND message_id <= %s AND length(subject) = 64
"""


def _forget_lookups(before: datetime) -> int:
    """Removes deliveries of lookups, because these deliveries contain customers' identifiers. Another module removes
    each open lookup soon after the lookup ends."""
    if not _begins("lookups", before):
        return 0
    done, until, seen = 0, time.monotonic() + _FOR_S, _LOOKED_AT
    while time.monotonic() < until and seen == _LOOKED_AT:
        removed, seen = _forget_some(before)
        done += removed
    log.info("lookups_forgotten", before=before.isoformat(), deliveries=done)
    return done


@transaction.atomic(durable=True)
def _forget_some(before: datetime) -> tuple[int, int]:
    """Returns the number of removed deliveries and the number of read deliveries."""
    mark = _mark("lookups")
    row = execute(_OLD, [mark.position, _LOOKED_AT, before]).fetchone()
    assert row is not None
    last, seen = row
    removed = execute(_FORGET_LOOKUPS, [mark.position, last]).rowcount if seen else 0
    mark.position = last or mark.position
    if seen < _LOOKED_AT:
        mark.up_to = before
    _save(mark)
    return removed, seen


_DELETE_ROWS = """
    WITH old AS (SELECT id, {column} AS at FROM {table} WHERE {column} >= %s AND {column} < %s AND {condition}
                 ORDER BY {column} LIMIT %s),
         deleted AS (DELETE FROM {table} d USING old WHERE d.id = old.id)
    SELECT count(*), max(at) FROM old
"""


# An open alert keeps its reports, because a person still has to decide about the alert.
_DELETE_REPORTS = """
    WITH old AS (SELECT id, closed_at AS at FROM rules_alerts_alert WHERE closed_at >= %s AND closed_at < %s
                 ORDER BY closed_at LIMIT %s),
         deleted AS (DELETE FROM rules_alerts_sightingrow d USING old WHERE d.alert_id = old.id)
    SELECT count(*), max(at) FROM old
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """One kind of old rows that the hub deletes. The hub deletes such rows completely, the oldest first, and some rows
    at a time."""

    kind: str
    statement: str
    slice: int = _SLICE


def _rows(kind: str, table: str, column: str, condition: str = "true") -> Rows:
    return Rows(kind, _DELETE_ROWS.format(table=table, column=column, condition=condition))


DECISIONS = _rows("decisions", "rules_rulesets_decision", "at", "hits = '[]' AND outcome = 'ALLOW'")
HITS = _rows("hits", "rules_rulesets_decision", "at", "(hits <> '[]' OR outcome <> 'ALLOW')")
SIGNALS = _rows("signals", "rules_signals_signalaccess", "at")
REPORTS = Rows("reports of closed alerts", _DELETE_REPORTS, 50)  # an alert keeps up to two hundred reports


def _delete_rows(rows: Rows, before: datetime) -> int:
    """Deletes the rows that are older than this time.

    The hub keeps a decision for at least one day, even if the retention period in the settings is shorter.
    """
    if not _begins(rows.kind, before):
        return 0
    done, until, deleted = 0, time.monotonic() + _FOR_S, rows.slice
    while time.monotonic() < until and deleted == rows.slice:
        deleted = _delete_slice(rows, before)
        done += deleted
    log.info("rows_deleted", kind=rows.kind, before=before.isoformat(), rows=done)
    return done


@transaction.atomic(durable=True)
def _delete_slice(rows: Rows, before: datetime) -> int:
    mark = _mark(rows.kind)
    row = execute(rows.statement, [mark.up_to, before, rows.slice]).fetchone()
    assert row is not None
    deleted, latest = row
    # Several rows can have the same time, so the next slice begins at the time of the last row.
    mark.up_to = latest if deleted == rows.slice else before
    _save(mark)
    return int(deleted)


def _forget_dead_letters(before: datetime) -> int:
    dead = Message.objects.filter(state=Message.State.DEAD, created_at__lt=before)
    about_payments = dead.filter(kind__in=_ABOUT_PAYMENTS) | dead.filter(kind__startswith="bulk-")
    about_payments |= dead.filter(kind__startswith="fx-")
    return dead.exclude(pk__in=about_payments.values("pk")).delete()[0]


def _forget_sessions(before: datetime) -> int:
    ended = Session.objects.filter(expire_date__lt=before).delete()[0]
    live = Session.objects.values("session_key")
    return ended + UserSession.objects.filter(last_seen_at__lt=before).exclude(session_key__in=live).delete()[0]


_REMOVERS: dict[str, Callable[[datetime], int]] = {
    "bodies": partial(_erase_all, BODIES),
    "quotes": partial(_erase_all, QUOTES),
    "lookups": _forget_lookups,
    "deliveries": _forget_dead_letters,
    "sessions": _forget_sessions,
    "facts": partial(_erase_all, FACTS),
    "decisions": partial(_delete_rows, DECISIONS),
    "hits": lambda before: isolating_batches.each(
        partial(_delete_rows, HITS, before), partial(_delete_rows, REPORTS, before)
    ),
    "signals": partial(_delete_rows, SIGNALS),
}
