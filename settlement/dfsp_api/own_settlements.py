"""Returns a DFSP's own parts in net settlements, page by page. Each part contains the amount that the DFSP owes or
receives, and the windows of the settlement."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from fspiop import time
from fspiop.bodies.common import DateTime
from fspiop.money import format_amount
from hub.sql_execution import found_by_keys

MOST = 1000
"""The largest number of settlement parts on one page."""
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


class Wanted(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The query parameters of a request for settlements. The query selects the settlements that were created at or
    after `from` and before `to`.

    `after` is the value of `next` on the previous page.
    """

    from_: DateTime | None = msgspec.field(default=None, name="from")
    to: DateTime | None = None
    after: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 100


class Part(msgspec.Struct, rename="camel", kw_only=True):
    """The caller's part in one currency of one settlement.

    If `net` is positive, the caller owes the amount. If `net` is negative, the caller receives the amount.

    `transferId` is the id of the postings. `windowIds` contains the ids of the windows in the settlement. `windowsFrom`
    is the time at which the first of these windows was opened.
    """

    settlement_id: int
    transfer_id: str
    currency: str
    net: str
    state: str
    window_ids: list[int]
    windows_from: DateTime
    created_date: DateTime


class Settlements(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One page. On the last page of settlements, the field `next` is missing."""

    settlements: list[Part]
    next: int | None = None


_PAGE = """
    SELECT part.id, part.settlement_id, part.transfer_id, part.currency, part.net, part.state, part.created_at,
           array_agg(w.id ORDER BY w.id), min(w.created_at)
    FROM (SELECT sa.id, sa.settlement_id, sa.transfer_id, a.currency, sa.net, sa.state, sa.created_at
          FROM settlement_settlementaccount sa JOIN ledger_account a ON a.id = sa.account_id
          WHERE a.participant_id = %(own)s AND sa.id > %(after)s
            AND sa.created_at >= %(since)s AND sa.created_at < %(to)s
          ORDER BY sa.id LIMIT %(size)s) part
    JOIN settlement_inclusion i ON i.settlement_id = part.settlement_id
    JOIN settlement_windowcontent c ON c.id = i.content_id AND c.currency = part.currency
    JOIN ledger_settlementwindow w ON w.id = c.window_id
    GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY part.id
"""


def page(participant_id: int, wanted: Wanted) -> Settlements:
    """Returns one page. The function runs one SQL statement."""
    parameters: dict[str, Any] = {
        "own": participant_id,
        "after": wanted.after,
        "since": time.parse_datetime(wanted.from_) if wanted.from_ else _FIRST,
        "to": time.parse_datetime(wanted.to) if wanted.to else _LAST,
        "size": wanted.limit,
    }
    rows = found_by_keys(_PAGE, parameters)
    parts = [
        Part(
            settlement_id=settlement_id,
            transfer_id=transfer_id,
            currency=currency,
            net=format_amount(int(net)),
            state=state,
            window_ids=windows,
            windows_from=time.format_datetime(since),
            created_date=time.format_datetime(created_at),
        )
        for _, settlement_id, transfer_id, currency, net, state, created_at, windows, since in rows
    ]
    return Settlements(settlements=parts, next=rows[-1][0] if len(rows) == wanted.limit else None)
