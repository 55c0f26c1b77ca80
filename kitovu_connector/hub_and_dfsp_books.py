"""Reads the two sides of a comparison: the hub's books and the DFSP's books. The hub's side consists of the hub's
statement and the hub's settlements. The DFSP's side consists of this connector's records and the bank's list of funds.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kitovu_connector.amounts import AmountError, format_amount, parse_amount
from kitovu_connector.hub_api import ConversionLine, HubApi, Line, Posting, SettlementPart
from kitovu_connector.reconciliation_differences import Compared, Key, Result, Side, compare
from kitovu_connector.running_connector_client import CoreRequests

_DIRECTIONS = {"FUNDS_IN": "IN", "FUNDS_OUT": "OUT"}
_OPEN_AT_HUB = frozenset({"RESERVED", "AGREED", "RECEIVED"})


class FaultyFunds(Exception):
    """The error for an unreadable list of funds. The error's text describes the fault."""


@dataclass(frozen=True, slots=True)
class Books:
    """The results of one comparison, separately for transfers, conversions, funds and settlements."""

    transfers: list[Compared]
    conversions: list[Compared]
    funds: list[Compared]
    settlements: list[Compared]

    def all(self) -> Iterable[tuple[str, Compared]]:
        """Yields each result, together with the kind of its records, such as "transfers"."""
        for name in ("transfers", "conversions", "funds", "settlements"):
            for compared in getattr(self, name):
                yield name, compared


@dataclass(frozen=True, slots=True)
class AtHub:
    """The hub's records from the beginning of the comparison until now."""

    transfers: dict[Key, Line] = field(default_factory=dict)
    conversions: dict[Key, ConversionLine] = field(default_factory=dict)
    postings: list[Posting] = field(default_factory=list)
    settlements: list[SettlementPart] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Here:
    """This connector's own records for the comparison."""

    transfers: dict[Key, Side] = field(default_factory=dict)
    conversions: dict[Key, Mapping[str, Any]] = field(default_factory=dict)


async def read_hub(api: HubApi, *, begin: str, until: str) -> AtHub:
    """Reads the hub's side of the comparison."""
    found = AtHub()
    async for page in api.statement(since=begin, until=until):
        found.transfers.update({(line.transfer_id, line.direction): line for line in page.transfers})
        found.conversions.update({(line.commit_request_id, line.role): line for line in page.conversions})
        found.postings.extend(page.postings)
    async for part in api.settlements(since=begin, until=until):
        found.settlements.append(part)
    return found


async def read_connector(connector: CoreRequests, *, begin: str) -> Here:
    """Reads this connector's side of the comparison."""
    found = Here()
    async for own in connector.transfers(since=begin):
        side = Side(own["state"], own["amount"], own["currency"], _began(own))
        found.transfers[own["transferId"], own["direction"]] = side
    async for own in connector.conversions(since=begin):
        found.conversions[own["commitRequestId"], own["role"]] = own
    return found


def read_funds(path: Path) -> list[dict[str, str]]:
    """Reads the bank's own CSV file with the columns reference, direction (IN or OUT), amount and currency. Raises
    FaultyFunds.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FaultyFunds(f"{path} cannot be read: {error}") from None
    if missing := {"reference", "direction", "amount", "currency"} - set(reader.fieldnames or ()):
        raise FaultyFunds(f"{path}: the columns {', '.join(sorted(missing))} are missing")
    for number, row in enumerate(rows, start=2):
        try:
            row["amount"] = format_amount(parse_amount(row["amount"] or ""))
        except AmountError as error:
            raise FaultyFunds(f"{path}, line {number}: amount: {error}") from None
        if row["direction"] not in ("IN", "OUT"):
            raise FaultyFunds(f"{path}, line {number}: direction: must be IN or OUT")
    return rows


def compare_books(
    hub: AtHub, here: Here, funds: list[dict[str, str]] | None, *, begin: str, since: str, until: str
) -> Books:
    """Returns the result for each transfer, conversion, movement of funds and settlement between these times. Does not
    read any file, and sends no request to the hub.

    `funds` is the bank's own list for the same period, or None.
    """
    at_hub = {
        key: Side(line.state, line.amount, line.currency, line.received_date) for key, line in hub.transfers.items()
    }
    transfers = compare(at_hub, here.transfers, since=since, until=until)
    conversions = compare(
        {key: _conversion_at_hub(line) for key, line in hub.conversions.items()},
        {key: _conversion_here(line) for key, line in here.conversions.items()},
        since=since,
        until=until,
    )
    postings = [posting for posting in hub.postings if since <= posting.received_date < until]
    settlements = [part for part in hub.settlements if since <= part.created_date < until]
    return Books(
        transfers,
        conversions,
        _compare_funds([posting for posting in postings if posting.kind in _DIRECTIONS], funds),
        [
            *_compare_gross([posting for posting in postings if posting.kind.startswith("GROSS_")], here),
            *(_compare_settlement(part, hub, here, begin) for part in settlements if part.state != "ABORTED"),
        ],
    )


# --- conversions ------------------------------------------------------------------------------------------------------


def _conversion_at_hub(line: ConversionLine) -> Side:
    state = "RESERVED" if line.state in _OPEN_AT_HUB else line.state
    amounts = f"{line.source_amount} -> {line.target_amount}"
    return Side(state, amounts, f"{line.source_currency} -> {line.target_currency}", line.received_date)


def _conversion_here(own: Mapping[str, Any]) -> Side:
    currencies = f"{own['sourceCurrency']} -> {own['targetCurrency']}"
    return Side(own["state"], f"{own['sourceAmount']} -> {own['targetAmount']}", currencies, _began(own))


def _began(own: Mapping[str, Any]) -> str:
    """Returns the time at which this connector began or received a transfer. Returns the expiration if an old record
    has no such time.
    """
    began: str = own.get("createdDate") or own["expirationDate"]
    return began


# --- funds ------------------------------------------------------------------------------------------------------------


def _compare_funds(postings: list[Posting], funds: list[dict[str, str]] | None) -> list[Compared]:
    at_hub = _numbered(
        ((posting.reference, _DIRECTIONS[posting.kind]), Side("COMMITTED", posting.amount, posting.currency))
        for posting in postings
    )
    if funds is None:
        return [Compared(*key, Result.UNCHECKED, side, None) for key, side in at_hub.items()]
    here = _numbered(
        ((row["reference"], row["direction"]), Side("COMMITTED", row["amount"], row["currency"])) for row in funds
    )
    return [
        Compared(*key, _same(at_hub.get(key), here.get(key)), at_hub.get(key), here.get(key))
        for key in sorted(at_hub.keys() | here.keys())
    ]


def _numbered(rows: Iterable[tuple[Key, Side]]) -> dict[Key, Side]:
    """Returns a mapping from keys to rows. If several rows have the same reference, the rows get numbers in the order
    of their amounts.
    """
    found: dict[Key, Side] = {}
    seen: Counter[Key] = Counter()
    for (reference, direction), side in sorted(rows, key=lambda row: (row[0], parse_amount(row[1].amount))):
        seen[reference, direction] += 1
        number = seen[reference, direction]
        found[reference if number == 1 else f"{reference} ({number})", direction] = side
    return found


def _same(at_hub: Side | None, here: Side | None) -> Result:
    if at_hub is None:
        return Result.NOT_AT_HUB
    if here is None:
        return Result.NOT_HERE
    is_equal = (at_hub.amount, at_hub.currency) == (here.amount, here.currency)
    return Result.EQUAL if is_equal else Result.AMOUNTS_DIFFER


# --- settlements ------------------------------------------------------------------------------------------------------


def _compare_gross(postings: list[Posting], here: Here) -> Iterable[Compared]:
    """Compares each gross settlement with its transfer or conversion.

    When this transfer or conversion commits, the hub posts the gross settlement.
    """
    amounts: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for (transfer_id, _), side in here.transfers.items():
        amounts[transfer_id].add((side.amount, side.currency))
    for (commit_id, _), own in here.conversions.items():
        amounts[commit_id] |= {
            (own["sourceAmount"], own["sourceCurrency"]),
            (own["targetAmount"], own["targetCurrency"]),
        }
    for posting in postings:
        known = amounts.get(posting.transfer_id, set())
        own_side = next(
            (Side("COMMITTED", *pair) for pair in sorted(known) if pair[1] == posting.currency),
            None,
        )
        at_hub = Side("COMMITTED", posting.amount, posting.currency)
        yield Compared(posting.transfer_id, posting.kind, _same(at_hub, own_side), at_hub, own_side)


def _compare_settlement(part: SettlementPart, hub: AtHub, here: Here, begin: str) -> Compared:
    """Compares the net amount of a settlement with this connector's own sum. The connector adds the amounts that it has
    recorded for the windows of the settlement.
    """
    name, windows = f"settlement {part.settlement_id}", frozenset(part.window_ids)
    at_hub = Side(part.state, part.net, part.currency, part.created_date)
    if part.windows_from < begin:  # the hub's statement does not contain all transfers of the first window
        return Compared(name, part.currency, Result.UNCHECKED, at_hub, None)
    net = 0
    for key, line in hub.transfers.items():
        if line.window_id in windows and line.currency == part.currency and not line.is_converted:
            own = here.transfers.get(key)
            amount = parse_amount(own.amount) if own is not None and own.currency == part.currency else 0
            net += amount if line.direction == "OUT" else -amount
    for key, conversion in hub.conversions.items():
        if conversion.window_id in windows and key in here.conversions:
            net += _owed_for(conversion, here.conversions[key], part.currency)
    own_side = Side(part.state, format_amount(net), part.currency)
    return Compared(name, part.currency, _same(at_hub, own_side), at_hub, own_side)


def _owed_for(at_hub: ConversionLine, own: Mapping[str, Any], currency: str) -> int:
    """Returns this DFSP's debt for a committed conversion, in this currency. If the result is below 0, this DFSP
    receives the amount.
    """
    is_fxp, is_payers = at_hub.role == "FXP", at_hub.side == "PAYER"
    owed = 0
    if own["sourceCurrency"] == currency and (is_fxp or is_payers):
        owed += -parse_amount(own["sourceAmount"]) if is_fxp else parse_amount(own["sourceAmount"])
    if own["targetCurrency"] == currency and (is_fxp or not is_payers):
        owed += parse_amount(own["targetAmount"]) if is_fxp else -parse_amount(own["targetAmount"])
    return owed
