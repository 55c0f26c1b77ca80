"""Returns a DFSP's own transfers in the order of their arrival, page by page.

The DFSP compares the transfers with its books.
"""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from fspiop import base64url, time
from fspiop.bodies.common import DateTime
from fspiop.errors import ErrorCode, FspiopError
from fspiop.money import format_amount
from hub.sql_execution import found_by_keys

MOST = 1000
"""The most transfers of one page."""
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


class Wanted(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The query of a DFSP's statement: the transfers that arrived at or after `from` and before `to`.

    `after` is the value `next` of the previous page.
    """

    from_: DateTime | None = msgspec.field(default=None, name="from")
    to: DateTime | None = None
    after: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 100
    format: Literal["json", "csv"] = "json"


class Line(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One transfer in a DFSP's statement.

    `direction` is OUT if the caller is the payer DFSP, and IN if the caller is the payee DFSP.
    """

    transfer_id: str
    direction: Literal["OUT", "IN"]
    payer_fsp: str
    payee_fsp: str
    amount: str
    currency: str
    state: str
    error_code: str | None = None
    bulk_transfer_id: str | None = None
    received_date: DateTime
    completed_date: DateTime | None = None


class Statement(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One page of a DFSP's statement. The last page has no `next`."""

    transfers: list[Line]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class _Key:
    """The place of a transfer in the sort order of a DFSP's statement."""

    received_at: datetime
    transfer_id: str

    @classmethod
    def read(cls, text: str) -> "_Key":
        try:
            moment, _, transfer_id = base64url.decode(text).decode("ascii").partition(" ")
            return cls(_FIRST + timedelta(microseconds=int(moment)), transfer_id)
        except (ValueError, OverflowError):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "after: must be `next` of an earlier page") from None

    def __str__(self) -> str:
        microseconds = (self.received_at - _FIRST) // timedelta(microseconds=1)
        return base64url.encode(f"{microseconds} {self.transfer_id}".encode())


_LAST = datetime(9999, 1, 1, tzinfo=UTC)
_COLUMNS = """t.transfer_id, t.payer_id, t.payee_name, t.amount, t.currency, t.state, t.error_code, t.bulk_id,
              t.received_at, t.completed_at"""
_BETWEEN = """t.received_at >= %(at)s AND (t.received_at, t.transfer_id) > (%(at)s, %(id)s)
              AND t.received_at < %(to)s ORDER BY t.received_at, t.transfer_id LIMIT %(size)s"""
# The hub does not send a refused or a held transfer to the payee DFSP, so only the payer DFSP gets the line. The payee
# DFSP gets the line of a held transfer after the release, at the place of its arrival.
_PAGE = f"""
    SELECT t.*, p.name FROM (
        (SELECT {_COLUMNS} FROM ledger_transfer t WHERE t.payer_id = %(own)s AND {_BETWEEN})
        UNION ALL
        (SELECT {_COLUMNS} FROM ledger_transfer t
         WHERE t.payee_id = %(own)s AND t.payer_id <> %(own)s AND t.payer_account_id IS NOT NULL
           AND NOT EXISTS (SELECT FROM ledger_heldtransfer h
                           WHERE h.transfer_id = t.transfer_id AND h.state <> 'RELEASED') AND {_BETWEEN})
        ORDER BY received_at, transfer_id LIMIT %(size)s
    ) t JOIN participants_participant p ON p.id = t.payer_id ORDER BY t.received_at, t.transfer_id
"""  # noqa: S608 (put together from constants)


def page(participant_id: int, wanted: Wanted) -> Statement:
    """Returns one page. One SQL statement finds the rows by two indexes: payer by arrival, and payee by arrival."""
    since = time.parse_datetime(wanted.from_) if wanted.from_ else _FIRST
    after = _Key.read(wanted.after) if wanted.after else _Key(since, "")
    parameters: dict[str, Any] = {
        "own": participant_id,
        "at": max(after.received_at, since),
        "id": after.transfer_id if after.received_at >= since else "",
        "to": time.parse_datetime(wanted.to) if wanted.to else _LAST,
        "size": wanted.limit,
    }
    rows = found_by_keys(_PAGE, parameters)
    lines = [_line(participant_id, *row) for row in rows]
    is_full = len(rows) == wanted.limit
    return Statement(transfers=lines, next=str(_Key(rows[-1][8], rows[-1][0])) if is_full else None)


def as_csv(found: Statement) -> bytes:
    """Returns a page as CSV. Puts an apostrophe before each text that a spreadsheet program would read as a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(Line.__struct_encode_fields__)
    for line in found.transfers:
        values = [getattr(line, name) for name in Line.__struct_fields__]
        writer.writerow(["" if value is None else _safe(value) for value in values])
    return text.getvalue().encode()


def _safe(text: str) -> str:
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def _line(
    own: int,
    transfer_id: str,
    payer_id: int,
    payee: str,
    amount: int,
    currency: str,
    state: str,
    error_code: str | None,
    bulk: str | None,
    received_at: datetime,
    completed_at: datetime | None,
    payer: str,
) -> Line:
    return Line(
        transfer_id=transfer_id,
        direction="OUT" if payer_id == own else "IN",
        payer_fsp=payer,
        payee_fsp=payee,
        amount=format_amount(amount),
        currency=currency,
        state=state,
        error_code=error_code,
        bulk_transfer_id=bulk,
        received_date=time.format_datetime(received_at),
        completed_date=time.format_datetime(completed_at) if completed_at else None,
    )
