"""Selects the overdue rows for one tick fairly: one of each participant, then a second one of each, and so on.

So one participant's backlog, however long, does not delay others, and a participant that is alone gets the whole tick.
The statement reads at most one tick's number of rows per participant, with an index that begins with the participant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hub.database import found_by_keys
from hub.sweeps.store import not_skipped


@dataclass(frozen=True, slots=True)
class Way:
    """A condition for overdue rows. An index has the participant, and then the columns of `order`."""

    condition: str
    since: str
    order: str


def overdue(
    batch: str, table: str, key: str, *, of: str, ways: Sequence[Way], parameters: Sequence[Any] = (), most: int
) -> list[str]:
    """The keys of up to `most` overdue rows, with participants in turn, the oldest of each first. Locks nothing.

    Rows that the batch skips are excluded. `of` is the column with a row's participant. `parameters` are those of the
    conditions, in their order.
    """
    is_tried = not_skipped(batch, f"{table}.{key}")
    rows = " UNION ALL ".join(
        f"""(SELECT {key} AS key, {way.since} AS since FROM {table}
             WHERE {of} = p.id AND {way.condition} AND {is_tried} ORDER BY {way.order} LIMIT {most})"""  # noqa: S608
        for way in ways
    )
    statement = f"""
        SELECT overdue.key
        FROM participants_participant p
        CROSS JOIN LATERAL (
            SELECT r.key, r.since, row_number() OVER (ORDER BY r.since) AS turn FROM ({rows}) r
        ) overdue
        ORDER BY overdue.turn, overdue.since
        LIMIT {most}
    """  # noqa: S608 (made of constants)
    return [str(row[0]) for row in found_by_keys(statement, parameters)]
