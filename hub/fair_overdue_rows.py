"""Selects the overdue rows for one tick fairly: first one row of each participant, then a second row of each
participant, and so on.

So one participant's long backlog does not delay the rows of other participants. If only one participant has overdue
rows, the tick processes only this participant's rows. For each participant, the SQL statement reads at most as many
rows as one tick can process. The SQL statement uses an index whose first column is the participant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hub.sql_execution import found_by_keys
from hub.sweeps.store import not_skipped


@dataclass(frozen=True, slots=True)
class Way:
    """An SQL condition that selects overdue rows. The table needs an index whose first column is the participant,
    followed by the columns of `order`."""

    condition: str
    since: str
    order: str


def overdue(
    batch: str, table: str, key: str, *, of: str, ways: Sequence[Way], parameters: Sequence[Any] = (), most: int
) -> list[str]:
    """Returns the keys of up to `most` overdue rows.

    Takes one row of each participant in turn, the participant's oldest row first.

    The SQL statement locks no row.

    The result does not contain rows that the batch skips now. `of` is the column with the participant of a row.
    `parameters` are the parameters of all conditions, in the order of `ways`.
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
