"""Returns a DFSP's own transfers, conversions and postings in the order of their arrival, page by page.

A DFSP compares this statement with its own books.
"""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from fspiop import base64url, time
from fspiop.bodies.common import DateTime
from fspiop.errors import ErrorCode, FspiopError
from fspiop.money import format_amount
from hub.sql_execution import found_by_keys

MOST = 1000
"""The largest number of lines on one page of a statement."""
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


class Wanted(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The query of a DFSP's request for its statement. The statement contains everything that arrived at or after
    `from`, and before `to`.

    `after` is the value `next` of the previous page.
    """

    from_: DateTime | None = msgspec.field(default=None, name="from")
    to: DateTime | None = None
    after: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 100
    format: Literal["json", "csv"] = "json"


class Line(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One transfer. `direction` is OUT if the caller is the payer DFSP, and IN if the caller is the payee DFSP.

    If `isConverted` is true, the transfer does not change the caller's position. Instead, the conversion of the
    transfer changes the caller's position. `windowId` is the settlement window of a committed transfer.
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
    is_converted: bool = False
    window_id: int | None = None
    received_date: DateTime
    completed_date: DateTime | None = None


class Conversion(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One conversion. `role` is FXP if the caller converts, and INITIATOR if another DFSP converts for the caller.

    `side` is PAYER if the payer converts its money, and PAYEE if the payee converts its money. If `side` is PAYER, the
    initiator pays the source amount. If `side` is PAYEE, the initiator receives the target amount.
    """

    commit_request_id: str
    determining_transfer_id: str
    role: Literal["INITIATOR", "FXP"]
    side: Literal["PAYER", "PAYEE"]
    initiating_fsp: str
    counter_party_fsp: str
    source_amount: str
    source_currency: str
    target_amount: str
    target_currency: str
    state: str
    error_code: str | None = None
    window_id: int | None = None
    received_date: DateTime
    completed_date: DateTime | None = None


class Posting(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One posting that belongs to funds in, to funds out, or to a settlement.

    `debitAccount` and `creditAccount` each have the type of the caller's own account, or HUB. `transferId` is one of
    three ids: the id of a movement of funds, of the caller's part in a settlement, or of an immediately settled
    transfer. `reference` is the reference that the bank gave to a movement of funds.
    """

    transfer_id: str
    kind: str
    debit_account: str
    credit_account: str
    amount: str
    currency: str
    reference: str = ""
    received_date: DateTime


class Statement(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One page of a DFSP's statement. The last page of a statement has no `next`."""

    transfers: list[Line]
    conversions: list[Conversion] = []
    postings: list[Posting] = []
    next: str | None = None


@dataclass(frozen=True, slots=True)
class _Key:
    """A line's place in the order of the statement."""

    received_at: datetime
    key: str

    @classmethod
    def read(cls, text: str) -> "_Key":
        try:
            moment, _, key = base64url.decode(text).decode("ascii").partition(" ")
            return cls(_FIRST + timedelta(microseconds=int(moment)), key)
        except (ValueError, OverflowError):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "after: must be `next` of an earlier page") from None

    def __str__(self) -> str:
        microseconds = (self.received_at - _FIRST) // timedelta(microseconds=1)
        return base64url.encode(f"{microseconds} {self.key}".encode())


_LAST = datetime(9999, 1, 1, tzinfo=UTC)


def _after(at: str, key: str) -> str:
    """Returns the SQL condition, the order and the limit of a page. The rows must have the named columns for time and
    key.
    """
    order = f'{at}, {key} COLLATE "C"'
    return f"""{at} >= %(at)s AND ({order}) > (%(at)s, %(key)s COLLATE "C") AND {at} < %(to)s
               ORDER BY {order} LIMIT %(size)s"""


_T_AFTER = _after("t.received_at", "t.transfer_id")
# The hub does not send a refused or held transfer to the payee DFSP. So only the payer DFSP's statement has a line for
# such a transfer. When the hub releases a held transfer, the payee DFSP's statement gets a line for this transfer. The
# line has the time of the transfer's arrival.
_TRANSFERS = f"""
    SELECT 'TRANSFER' AS kind, t.received_at AS at, t.transfer_id::text AS key, t.transfer_id::text AS id,
           CASE WHEN t.payer_id = %(own)s THEN 'OUT' ELSE 'IN' END AS role, '' AS side,
           p.name::text AS payer, t.payee_name::text AS payee, t.amount, t.currency::text AS currency,
           NULL::bigint AS target_amount, '' AS target_currency, t.state::text AS state,
           t.error_code::text AS error_code, t.bulk_id::text AS other_id, t.completed_at, e.window_id,
           coalesce(a.participant_id <> %(own)s, false) AS is_converted, '' AS reference
    FROM ((SELECT t.* FROM ledger_transfer t WHERE t.payer_id = %(own)s AND {_T_AFTER})
          UNION ALL
          (SELECT t.* FROM ledger_transfer t
           WHERE t.payee_id = %(own)s AND t.payer_id <> %(own)s AND t.payer_account_id IS NOT NULL
             AND NOT EXISTS (SELECT FROM ledger_heldtransfer h
                             WHERE h.transfer_id = t.transfer_id AND h.state <> 'RELEASED') AND {_T_AFTER})) t
    JOIN participants_participant p ON p.id = t.payer_id
    LEFT JOIN ledger_entry e ON e.transfer_id = t.transfer_id AND e.kind = 'TRANSFER'
    LEFT JOIN ledger_account a ON a.id = CASE WHEN t.payer_id = %(own)s THEN t.payer_account_id
                                              ELSE t.payee_account_id END
"""  # noqa: S608 (put together from constants)
_F_KEY = "(f.commit_request_id || '/fx')"
_F_AFTER = _after("f.received_at", _F_KEY)
_CONVERSIONS = f"""
    SELECT 'CONVERSION', f.received_at, {_F_KEY}, f.commit_request_id::text,
           CASE WHEN f.initiator_id = %(own)s THEN 'INITIATOR' ELSE 'FXP' END, f.side::text,
           p.name::text, f.fxp_name::text, f.source_amount, f.source_currency::text,
           f.target_amount, f.target_currency::text, f.state::text,
           f.error_code::text, f.determining_transfer_id::text, f.completed_at, e.window_id, false, ''
    FROM ((SELECT f.* FROM ledger_fxtransfer f WHERE f.initiator_id = %(own)s AND {_F_AFTER})
          UNION ALL
          (SELECT f.* FROM ledger_fxtransfer f
           WHERE f.fxp_id = %(own)s AND f.initiator_id <> %(own)s AND f.debit_account_id IS NOT NULL AND {_F_AFTER})) f
    JOIN participants_participant p ON p.id = f.initiator_id
    LEFT JOIN ledger_entry e ON e.transfer_id = f.commit_request_id AND e.kind = 'FX_TRANSFER'
"""  # noqa: S608
_E_KEY = "('entry/' || e.id)"
_E_AFTER = _after("e.created_at", _E_KEY)
_E_OTHER = "NOT (e.kind IN ('TRANSFER', 'FX_TRANSFER'))"


def _own_entries(account: str) -> str:
    """Returns the query for one page of ledger entries. The column `account` of each entry must contain one of the
    DFSP's accounts.

    In the index, the entries of each account are in the order of time. So the query applies the page's limit to the
    entries of each account. Otherwise each page would read and sort all later entries of the period.
    """
    return f"""SELECT e.* FROM ledger_account a
               CROSS JOIN LATERAL (SELECT e.* FROM ledger_entry e
                                   WHERE e.{account} = a.id AND {_E_OTHER} AND {_E_AFTER}) e
               WHERE a.participant_id = %(own)s"""  # noqa: S608 (put together from constants)


# The posting of a gross settlement moves money between two accounts of the caller, so the query finds the posting
# twice. UNION removes the second row.
_POSTINGS = f"""
    SELECT e.kind::text, e.created_at, {_E_KEY}, e.transfer_id::text,
           CASE WHEN d.participant_id = %(own)s THEN d.type ELSE 'HUB' END,
           CASE WHEN c.participant_id = %(own)s THEN c.type ELSE 'HUB' END,
           '', '', e.amount, e.currency::text, NULL, '', '', NULL, NULL, NULL, NULL, false,
           coalesce(m.external_reference, '')
    FROM (({_own_entries("debit_account_id")}) UNION ({_own_entries("credit_account_id")})) e
    JOIN ledger_account d ON d.id = e.debit_account_id
    JOIN ledger_account c ON c.id = e.credit_account_id
    LEFT JOIN ledger_fundsmovement m ON m.transfer_id = e.transfer_id AND e.kind IN ('FUNDS_IN', 'FUNDS_OUT')
"""  # noqa: S608
_PAGE = f"""
    SELECT * FROM (({_TRANSFERS}) UNION ALL ({_CONVERSIONS}) UNION ALL ({_POSTINGS})) lines
    ORDER BY at, key COLLATE "C" LIMIT %(size)s
"""  # noqa: S608


class _Row(NamedTuple):
    """The database row of a transfer, a conversion or a posting, with the columns of `_TRANSFERS`."""

    kind: str
    at: datetime
    key: str
    id: str
    role: str
    side: str
    payer: str
    payee: str
    amount: int
    currency: str
    target_amount: int | None
    target_currency: str
    state: str
    error_code: str | None
    other_id: str | None
    completed_at: datetime | None
    window_id: int | None
    is_converted: bool
    reference: str

    def transfer(self) -> Line:
        """Returns the transfer that this database row contains."""
        return Line(
            transfer_id=self.id,
            direction="OUT" if self.role == "OUT" else "IN",
            payer_fsp=self.payer,
            payee_fsp=self.payee,
            amount=format_amount(self.amount),
            currency=self.currency,
            state=self.state,
            error_code=self.error_code,
            bulk_transfer_id=self.other_id,
            is_converted=self.is_converted,
            window_id=self.window_id,
            received_date=time.format_datetime(self.at),
            completed_date=_date(self.completed_at),
        )

    def conversion(self) -> Conversion:
        """Returns the conversion that this database row contains."""
        return Conversion(
            commit_request_id=self.id,
            determining_transfer_id=self.other_id or "",
            role="INITIATOR" if self.role == "INITIATOR" else "FXP",
            side="PAYER" if self.side == "PAYER" else "PAYEE",
            initiating_fsp=self.payer,
            counter_party_fsp=self.payee,
            source_amount=format_amount(self.amount),
            source_currency=self.currency,
            target_amount=format_amount(self.target_amount or 0),
            target_currency=self.target_currency,
            state=self.state,
            error_code=self.error_code,
            window_id=self.window_id,
            received_date=time.format_datetime(self.at),
            completed_date=_date(self.completed_at),
        )

    def posting(self) -> Posting:
        """Returns the posting that this database row contains."""
        return Posting(
            transfer_id=self.id,
            kind=self.kind,
            debit_account=self.role,
            credit_account=self.side,
            amount=format_amount(self.amount),
            currency=self.currency,
            reference=self.reference,
            received_date=time.format_datetime(self.at),
        )


def _date(moment: datetime | None) -> str | None:
    return time.format_datetime(moment) if moment is not None else None


def page(participant_id: int, wanted: Wanted) -> Statement:
    """Returns one page. For each kind of row, one SQL statement finds the rows in the order of arrival. Each of these
    SQL statements uses an index.
    """
    since = time.parse_datetime(wanted.from_) if wanted.from_ else _FIRST
    after = _Key.read(wanted.after) if wanted.after else _Key(since, "")
    parameters: dict[str, Any] = {
        "own": participant_id,
        "at": max(after.received_at, since),
        "key": after.key if after.received_at >= since else "",
        "to": time.parse_datetime(wanted.to) if wanted.to else _LAST,
        "size": wanted.limit,
    }
    rows = [_Row(*row) for row in found_by_keys(_PAGE, parameters)]
    is_full = len(rows) == wanted.limit
    return Statement(
        transfers=[row.transfer() for row in rows if row.kind == "TRANSFER"],
        conversions=[row.conversion() for row in rows if row.kind == "CONVERSION"],
        postings=[row.posting() for row in rows if row.kind not in ("TRANSFER", "CONVERSION")],
        next=str(_Key(rows[-1].at, rows[-1].key)) if is_full else None,
    )


def as_csv(found: Statement) -> bytes:
    """Returns a page as CSV, with one line for each transfer, conversion and posting, in the order of arrival.

    In a conversion's line, the column `transferId` contains the `commitRequestId`, and the column `amount` contains the
    source amount. Writes an apostrophe before a text that a spreadsheet would read as a formula.
    """
    lines: list[dict[str, Any]] = [{"kind": "TRANSFER"} | _shown(line) for line in found.transfers]
    lines += [{"kind": "CONVERSION"} | _renamed(_shown(line)) for line in found.conversions]
    lines += [_shown(line) for line in found.postings]
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV, restval="")
    writer.writeheader()
    for line in sorted(lines, key=lambda line: str(line["receivedDate"])):
        writer.writerow({name: _safe(str(value)) for name, value in line.items()})
    return text.getvalue().encode()


_RENAMED = {
    "commitRequestId": "transferId",
    "sourceAmount": "amount",
    "sourceCurrency": "currency",
    "initiatingFsp": "payerFsp",
    "counterPartyFsp": "payeeFsp",
}
_CSV = [
    *Line.__struct_encode_fields__,
    "kind",
    "role",
    "side",
    "determiningTransferId",
    "targetAmount",
    "targetCurrency",
    "debitAccount",
    "creditAccount",
    "reference",
]


def _shown(line: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(line)
    return found


def _renamed(line: dict[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): value for name, value in line.items()}


def _safe(text: str) -> str:
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text
