"""Which of many overdue rows a tick takes: one of each participant's, then a second of each, and so on.

So the backlog of one participant delays nobody else's, however long it is, and a participant that is alone has the
whole tick. The statement reads no more rows of each participant than a tick takes, by an index that begins with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hub.database import found_by_keys
from hub.sweeps.store import not_skipped


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which rows are overdue. An index has the participant, and then the columns of `order`."""

    condition: str
    since: str
    order: str


def overdue(
    batch: str, table: str, key: str, *, of: str, ways: Sequence[Way], parameters: Sequence[Any] = (), most: int
) -> list[str]:
    """The keys of up to `most` overdue rows that the batch does not skip, of the participants in turn, the oldest of
    each first. Locks nothing.

    `of` is the column that says whose a row is. `parameters` are those of the conditions, in their order.
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
