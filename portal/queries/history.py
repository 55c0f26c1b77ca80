# ruff: noqa: S608 (statements are put together from constants)
"""Reads the history of payments: figures by period, and figures by bank, pair, currency, use case or reason.

Reads only the rows of sums that `portal.history` keeps. So the cost of a page depends on the shown periods and banks,
and not on the number of payments.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from django.conf import settings
from django.db import connection

from portal.history import ALL, BUCKETS_PER_DOUBLING, PAYEE, PAYER, USE_CASE
from portal.models import HistoryMark, HistoryRow

LEGS = ("lookup", "quote", "transfer")
PERIODS = {"hour": 48, "day": 31, "week": 26, "month": 24}
"""For each length of period, the number of periods that a page shows."""
MOST_LINES = 50
"""The number of DFSPs, pairs or use cases that a page shows."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The payments to show. `starts` has the beginnings of the periods, and the end of the last period."""

    grain: str
    starts: Sequence[datetime]
    payer_id: int = ALL
    payee_id: int = ALL
    use_case: str = ""
    currency: str = ""

    @property
    def scope(self) -> int:
        return PAYER * (self.payer_id != ALL) + PAYEE * (self.payee_id != ALL) + USE_CASE * bool(self.use_case)


@dataclass(slots=True)
class Figures:
    """The sums over some rows of the history. For each leg, `buckets` has the number of durations in each bucket."""

    ended: int = 0
    succeeded: int = 0
    values: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    buckets: dict[str, Counter[int]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return self.ended - self.succeeded

    @property
    def amounts(self) -> list[tuple[str, int]]:
        """Returns the currencies that have a value, with these values."""
        return sorted((currency, value) for currency, value in self.values.items() if value)

    @property
    def success_percent(self) -> float | None:
        return round(100 * self.succeeded / self.ended, 2) if self.ended else None

    def percentile(self, leg: str, share: float) -> float | None:
        """Returns a percentile of the leg's durations in seconds. The percentile is wrong by at most 9.1 per cent."""
        return percentile(self.buckets.get(leg, {}), share)

    @property
    def durations(self) -> list[tuple[str, float | None, float | None]]:
        """For each leg, returns the name, the median and the 99th percentile."""
        return [(leg, self.percentile(leg, 0.5), self.percentile(leg, 0.99)) for leg in LEGS]


@dataclass(slots=True)
class Period(Figures):
    at: datetime = field(kw_only=True)
    end: datetime = field(kw_only=True)


@dataclass(slots=True)
class Line(Figures):
    """The figures of one bank, pair, currency, use case or reason."""

    key: tuple[Any, ...] = field(kw_only=True)


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    left = ceil(share * sum(buckets.values()))
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            return float(2 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING)) / 1000
    return None


def time_zone() -> ZoneInfo:
    """Returns the time zone in which the stored days, weeks and months begin."""
    mark = HistoryMark.objects.filter(pk="transfer").first()
    return ZoneInfo(mark.time_zone if mark else settings.HISTORY_TIME_ZONE)


def starts(grain: str, *, until: datetime, zone: ZoneInfo) -> list[datetime]:
    """Returns the beginnings of the periods, up to the period that contains `until`. The function also returns the end
    of the last period."""
    begin = _beginning(grain, until.astimezone(zone))
    found = [_after(grain, begin, zone), begin]
    while len(found) <= PERIODS[grain]:
        found.append(_beginning(grain, (found[-1] - timedelta(microseconds=1)).astimezone(zone)))
    return found[::-1]


def _beginning(grain: str, local: datetime) -> datetime:
    if grain == "hour":
        return local - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if grain == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain == "month" else day


def _after(grain: str, begin: datetime, zone: ZoneInfo) -> datetime:
    if grain == "hour":
        return (begin.astimezone(ZoneInfo("UTC")) + timedelta(hours=1)).astimezone(zone)
    # A change of the clock repeats or leaves out one hour. This hour never contains the middle of a day.
    days = {"day": 1, "week": 7, "month": 31}[grain]
    return _beginning(grain, (begin.replace(tzinfo=None) + timedelta(days=days, hours=12)).replace(tzinfo=zone))


# Lookups have no use case. So in a search by use case, the condition about the use case does not apply to lookups.
_WHICH = """
    source = ANY(%(sources)s) AND grain = %(grain)s AND scope = ANY(%(scopes)s) AND at >= %(since)s AND at < %(until)s
    AND scope = CASE source WHEN 'lookup' THEN %(lookup_scope)s ELSE %(scope)s END
    AND (%(payer_id)s = 0 OR payer_id = %(payer_id)s) AND (%(payee_id)s = 0 OR payee_id = %(payee_id)s)
    AND (%(use_case)s = '' OR source = 'lookup' OR use_case = %(use_case)s)
    AND (%(currency)s = '' OR currency = %(currency)s OR (currency = '' AND source <> 'transfer'))
"""
_SERIES = f"""
    SELECT source, at, currency, ended, succeeded, value, durations::text, reasons::text
    FROM portal_historyrow WHERE {_WHICH}
"""
# For each division of the figures: its columns and its scope. The rows of this scope have separate sums for each value
# of these columns.
DIVISIONS: dict[str, tuple[tuple[str, ...], int]] = {
    "payer": (("payer_id",), PAYER),
    "payee": (("payee_id",), PAYEE),
    "pair": (("payer_id", "payee_id"), PAYER + PAYEE),
    "currency": (("currency",), 0),
    "use_case": (("use_case",), USE_CASE),
}


def _divided(columns: Sequence[str], most: int) -> str:
    keys = ", ".join(columns)
    return f"""
        WITH largest AS (
            SELECT {keys}, sum(ended) AS most FROM portal_historyrow WHERE {_WHICH} AND source = 'transfer'
            GROUP BY {keys} ORDER BY most DESC, {keys} LIMIT {most:d}),
        chosen AS MATERIALIZED (
            SELECT h.* FROM portal_historyrow h JOIN largest USING ({keys}) WHERE {_WHICH}),
        buckets AS (
            SELECT source, {keys}, jsonb_object_agg(bucket, n) AS durations
            FROM (SELECT source, {keys}, d.key AS bucket, sum(d.value::bigint) AS n
                  FROM chosen CROSS JOIN LATERAL jsonb_each_text(durations) d GROUP BY source, {keys}, d.key) counted
            GROUP BY source, {keys})
        SELECT source, currency, sum(ended), sum(succeeded), sum(value), NULL, '{{}}', {keys}
        FROM chosen GROUP BY source, currency, {keys}
        UNION ALL
        SELECT source, '', 0, 0, 0, durations::text, '{{}}', {keys} FROM buckets
    """


def _sums(columns: Sequence[str], most: int) -> str:
    """Returns the SQL for the figures without durations. This SQL reads each row once.

    A scheme has far more pairs than DFSPs, so it would take too long to read the durations of all pairs.
    """
    keys = ", ".join(columns)
    return f"""
        WITH sums AS (
            SELECT currency, sum(ended) AS ended, sum(succeeded) AS succeeded, sum(value) AS value, {keys}
            FROM portal_historyrow WHERE {_WHICH} AND source = 'transfer' GROUP BY currency, {keys}),
        largest AS (
            SELECT {keys}, sum(ended) AS most FROM sums GROUP BY {keys} ORDER BY most DESC, {keys} LIMIT {most:d})
        SELECT 'transfer', currency, ended, succeeded, value, NULL, '{{}}', {keys} FROM sums JOIN largest USING ({keys})
    """


def has_durations(wish: Wish, by: str) -> bool:
    """Returns whether `divided` reads durations. For pairs, the function reads durations only if a DFSP is chosen."""
    return by != "pair" or wish.payer_id != ALL or wish.payee_id != ALL


def series(wish: Wish) -> list[Period]:
    """Returns the figures of each period, the oldest first. Periods without payments have zeros."""
    found = {at: Period(at=at, end=end) for at, end in zip(wish.starts, wish.starts[1:], strict=False)}
    for source, at, *figures in _rows(_SERIES, wish, scope=wish.scope):
        if at in found:
            _add(found[at], source, *figures)
    return list(found.values())


def divided(wish: Wish, by: str, *, most: int = MOST_LINES) -> list[Line]:
    """Adds up the figures of all periods, and returns the sums by bank, pair, currency or use case.

    Returns at most `most` lines. The line with the most payments comes first.
    """
    columns, scope = DIVISIONS[by]
    found: dict[tuple[Any, ...], Line] = {}
    for source, currency, ended, succeeded, value, durations, reasons, *key in _rows(
        (_divided if has_durations(wish, by) else _sums)(columns, most), wish, scope=wish.scope | scope
    ):
        line = found.setdefault(tuple(key), Line(key=tuple(key)))
        _add(line, source, currency, int(ended), int(succeeded), value, durations or "{}", reasons)
    return sorted(found.values(), key=lambda line: (-line.ended, line.key))


def counterparties(participant_id: int) -> set[int]:
    """Returns the ids of the participants that this participant has paid, or that have paid this participant."""
    pairs = HistoryRow.objects.filter(source="transfer", grain="month", scope=PAYER + PAYEE)
    sides = [("payer_id", "payee_id"), ("payee_id", "payer_id")]
    found = (pairs.filter(**{own: participant_id}).values_list(other, flat=True).distinct() for own, other in sides)
    return {number for numbers in found for number in numbers}


def total(periods: Iterable[Figures]) -> Figures:
    whole = Figures()
    for period in periods:
        whole.ended += period.ended
        whole.succeeded += period.succeeded
        whole.values.update(period.values)
        whole.reasons.update(period.reasons)
        for leg, buckets in period.buckets.items():
            whole.buckets.setdefault(leg, Counter()).update(buckets)
    return whole


def _rows(statement: str, wish: Wish, *, scope: int) -> list[Any]:
    lookup_scope = scope & ~USE_CASE
    parameters: dict[str, Any] = {
        "sources": list(LEGS),
        "grain": wish.grain,
        "scopes": sorted({scope, lookup_scope}),
        "scope": scope,
        "lookup_scope": lookup_scope,
        "since": wish.starts[0],
        "until": wish.starts[-1],
        "payer_id": wish.payer_id,
        "payee_id": wish.payee_id,
        "use_case": wish.use_case,
        "currency": wish.currency,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def _add(
    figures: Figures, source: str, currency: str, ended: int, succeeded: int, value: Any, durations: str, reasons: str
) -> None:
    counts = {int(bucket): n for bucket, n in orjson.loads(durations).items()}
    figures.buckets.setdefault(source, Counter()).update(counts)
    if source == "transfer" and ended:
        figures.ended += ended
        figures.succeeded += succeeded
        figures.values[currency] += int(value)
        figures.reasons.update(orjson.loads(reasons))
