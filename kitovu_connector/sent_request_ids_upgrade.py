"""The ids of the bulks and conversions that an earlier version of the connector has sent. The earlier version did not
mark these ids as this DFSP's own ids (see `sent_request_ids`). So the first start of this version marks the ids, before
the connector accepts messages.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import msgspec

from kitovu_connector import own_ids_closed_to_others
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.front_end_conversion_and_bulk_states import Submission
from kitovu_connector.group_commit import Connection, Database, Row
from kitovu_connector.payment_and_quote_records import readable
from kitovu_connector.payment_record import Payment

_BULKS_AT_ONCE = 10  # the number of bulks on a page; a bulk has up to a thousand items
_AT_ONCE = 1000
_MARK = ("own_ids", "earlier")
# only the few payments that may have a conversion contain this text; reading all payments would delay the start
_MAY_CONVERT = b'"may_convert":true'


class _Mark(msgspec.Struct, frozen=True):
    """The last record whose ids the connector has marked."""

    part: int = 0
    after: str = ""


class _Part(Protocol):
    """All records of one kind, divided into pages."""

    def page(self, conn: Connection, after: str) -> tuple[str | None, list[str]]:
        """Returns the key of the last record on a page, and the ids of the requests on this page. The key is None after
        the last page."""


class _Submissions:
    def __init__(self, kind: str, at_once: int) -> None:
        self._kind, self._at_once = kind, at_once

    def page(self, conn: Connection, after: str) -> tuple[str | None, list[str]]:
        sql = "SELECT id, record FROM exchange WHERE kind = ? AND id > ? ORDER BY id LIMIT ?"
        rows = conn.execute(sql, (self._kind, after, self._at_once)).fetchall()
        found = readable([row["record"] for row in rows], Submission)
        return _last(rows, "id"), [each for one in found for each in (one.id, *one.conditions)]


class _Payments:
    def page(self, conn: Connection, after: str) -> tuple[str | None, list[str]]:
        sql = "SELECT home_id, record FROM payment WHERE home_id > ? ORDER BY home_id LIMIT ?"
        rows = conn.execute(sql, (after, _AT_ONCE)).fetchall()
        found = readable([row["record"] for row in rows if _MAY_CONVERT in row["record"]], Payment)
        return _last(rows, "home_id"), [conversion.commit_id(one) for one in found]


_PARTS: Sequence[_Part] = (
    _Submissions("bulkTransfers", _BULKS_AT_ONCE),
    _Submissions("fxTransfers", _AT_ONCE),
    _Payments(),
)


async def claim_all(database: Database) -> None:
    """Marks the ids of all stored requests as this DFSP's own ids. Does this only once, even if the connector starts
    again.

    Reads and writes the records in pages. After an interruption, the next start continues with the next page. Does
    nothing if all pages were already read.
    """
    mark = await database.read_many(_mark)
    while mark.part < len(_PARTS):
        last, ids = await database.read_many(partial(_PARTS[mark.part].page, after=mark.after))
        mark = _Mark(mark.part + 1) if last is None else _Mark(mark.part, last)
        await database.write(partial(_store, ids=ids, mark=mark, owner=database.instance))


def _mark(conn: Connection) -> _Mark:
    row = conn.execute("SELECT record FROM exchange WHERE kind = ? AND id = ?", _MARK).fetchone()
    return _Mark() if row is None else msgspec.json.decode(row["record"], type=_Mark)


def _store(conn: Connection, ids: Sequence[str], mark: _Mark, owner: str) -> None:
    own_ids_closed_to_others.store(conn, list(dict.fromkeys(ids)), owner)
    conn.execute(
        "INSERT INTO exchange (kind, id, digest, state, is_open, record, changed_at, owner)"
        " VALUES (?, ?, ?, '', 0, ?, seconds_now(), ?)"
        " ON CONFLICT (kind, id) DO UPDATE SET record = excluded.record, changed_at = excluded.changed_at",
        (*_MARK, b"", msgspec.json.encode(mark), owner),
    )


def _last(rows: Sequence[Row], key: str) -> str | None:
    return str(rows[-1][key]) if rows else None
