"""Computes the history again from the ledger. The result is compared with the stored rows, or replaces these rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from hub.sweeps.models import Erasure
from portal.history import statements
from portal.history.folding import change, locked_mark, run
from portal.history.statements import LOOKUP, TABLES, Source
from portal.models import HistoryMark, HistoryRow

_SLICE = 20_000
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Busy(Exception):
    """Raised if another process is changing the history."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A period in which the stored row and the ledger differ. The stored or computed figure is None if there is no row
    for this period."""

    source: str
    period: str
    stored: int | None
    recomputed: int | None


def compare(*, most: int = 1000) -> tuple[int, list[Difference]]:
    """Returns how many rows are stored, and how these rows differ from the ledger."""
    found: list[Difference] = []
    for source in TABLES:
        with transaction.atomic():
            mark = _prepared(source.name)
            _recompute(source, mark, mark.time_zone)
            found += _differences(source.name, mark.time_zone, most)
    with transaction.atomic():
        mark = _prepared(LOOKUP)
        change(statements.RECOMPUTE_LOOKUPS, {"source": LOOKUP, "zone": mark.time_zone})
        found += _differences(LOOKUP, mark.time_zone, most)
    return HistoryRow.objects.count(), found[:most]


def rebuild() -> int:
    """Replaces the rows of the history. Returns the number of new rows.

    The new rows are about days, weeks and months in the time zone of the settings.
    """
    zone = settings.HISTORY_TIME_ZONE
    for source in (*TABLES, None):
        with transaction.atomic(durable=True):
            name = LOOKUP if source is None else source.name
            mark = _prepared(name)
            if source is None:
                change(statements.RECOMPUTE_LOOKUPS, {"source": name, "zone": zone})
            else:
                _recompute(source, mark, zone)
            change(statements.FORGET, {"source": name})
            change(statements.REPLACE, {})
            mark.time_zone = zone
            mark.save(update_fields=["time_zone"])
    return HistoryRow.objects.count()


def _prepared(source: str) -> HistoryMark:
    mark = locked_mark(source)
    if mark is None:
        raise Busy(source)
    for statement in ("SET LOCAL statement_timeout = 0", *statements.MAKE_RECOMPUTED):
        change(statement, None)
    return mark


def _recompute(source: Source, mark: HistoryMark, zone: str) -> None:
    """Counts every row that arrived before the mark. The mark is locked, so no other process counts a row at the same
    time."""
    horizon = mark.up_to + timedelta(microseconds=1)
    span: dict[str, Any] = {"since": _BEGINNING, "horizon": horizon, "most": _SLICE}
    while (end := run(statements.END_OF_SLICE.format(source), span)[0]) is not None:
        change(statements.recompute_slice(source), span | {"end": end, "source": source.name, "zone": zone})
        span["since"] = end


def _differences(source: str, zone: str, most: int) -> Sequence[Difference]:
    with connection.cursor() as cursor:
        known: dict[str, Any] = {"known_since": _known_since(zone), "source": source, "most": most}
        cursor.execute(statements.DIFFERENCES, known)
        return [_difference(row) for row in cursor.fetchall()]


def _difference(row: Sequence[Any]) -> Difference:
    source, grain, _scope, at, payer_id, payee_id, use_case, currency, stored, recomputed = row[:10]
    named = [f"payer {payer_id}" if payer_id else "", f"payee {payee_id}" if payee_id else "", use_case, currency]
    return Difference(source, " ".join([f"{grain} of {at:%Y-%m-%d %H:%M}", *filter(None, named)]), stored, recomputed)


def _known_since(zone: str) -> datetime:
    """Returns the beginning of the first month for which the hub still stores the texts of all quotes. The texts
    contain the use cases."""
    erased = Erasure.objects.filter(kind="quotes").first()
    if erased is None:
        return _BEGINNING
    found: datetime = run("SELECT date_trunc('month', %s::timestamptz, %s) + interval '1 month'", [erased.up_to, zone])[
        0
    ]
    return found
