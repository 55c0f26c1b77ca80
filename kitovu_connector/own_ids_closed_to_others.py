"""The ids of transfers, bulks and conversions that this DFSP has sent. A request from another DFSP must not have one of
these ids. Otherwise a dishonest DFSP could reuse the id of a transfer from this DFSP, in a request that it sends only
to the connector. When the hub then reports this DFSP's transfer as committed, the connector would credit the payee in
the dishonest DFSP's request.
"""

from collections.abc import Iterable, Sequence

from kitovu_connector.conflicts import Conflict
from kitovu_connector.group_commit import Connection

_AT_ONCE = 100


def claim(conn: Connection, ids: Sequence[str], owner: str) -> None:
    """Stores the ids of a new request of this DFSP. Raises Conflict if another DFSP has used one of these ids."""
    check_is_free(conn, ids)
    store(conn, ids, owner)


def store(conn: Connection, ids: Sequence[str], owner: str) -> None:
    """Stores the ids of this DFSP's own requests. The requests themselves are already stored."""
    for part in _parts(ids):
        rows = ", ".join(["('own_id', ?, ?, '', 0, ?, seconds_now(), ?)"] * len(part))
        conn.execute(
            f"INSERT INTO exchange (kind, id, digest, state, is_open, record, changed_at, owner) VALUES {rows}"  # noqa: S608
            " ON CONFLICT DO NOTHING",
            [value for each in part for value in (each, b"", b"", owner)],
        )


def check_is_free(conn: Connection, ids: Sequence[str]) -> None:
    """Raises Conflict if a request of another DFSP has one of the ids."""
    for part in _parts(ids):
        places = ", ".join("?" * len(part))
        taken = conn.execute(
            f"SELECT 1 FROM incoming WHERE transfer_id IN ({places}) UNION ALL SELECT 1 FROM exchange"  # noqa: S608
            f" WHERE kind IN ('bulk_received', 'conversion_received') AND id IN ({places})",
            [*part, *part],
        )
        if taken.fetchone() is not None:
            raise Conflict


def check_is_not_own(conn: Connection, ids: Sequence[str]) -> None:
    """Raises Conflict if this DFSP itself has sent one of the ids."""
    for part in _parts(ids):
        places = ", ".join("?" * len(part))
        own = conn.execute(
            f"SELECT 1 FROM payment WHERE transfer_id IN ({places}) UNION ALL"  # noqa: S608
            f" SELECT 1 FROM exchange WHERE kind = 'own_id' AND id IN ({places})",
            [*part, *part],
        )
        if own.fetchone() is not None:
            raise Conflict


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[begin : begin + _AT_ONCE] for begin in range(0, len(ids), _AT_ONCE))
