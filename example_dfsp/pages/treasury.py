"""The bank's treasury: the bank's position and liquidity at the hub, the hub's statement, and a comparison of this
statement with the books."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from example_dfsp.bank_application import Bank
from example_dfsp.localization import clock_shown
from example_dfsp.shared_by_pages import Site
from kitovu_connector import parse_amount

TEST_CURRENCY = "XTS"
_HOURS = {"1": 1, "24": 24, "168": 168}
_SHOWN = 50
_PATIENCE_S = 10.0  # a person waits no longer for a page without the hub's figures
_PERIODS_S = (60, 600, 3600)  # the page reads the shortest statement that has enough lines
_MOST_LINES = 20_000
_MARGIN_S = 120.0  # the hub and the books record a transfer at slightly different times
_SETTLED_S = 5.0  # a transfer of the last seconds can be missing in a statement
_OPEN = frozenset({"RECEIVED", "RESERVED", "HELD", "EXPECTED", "SENT"})


@dataclass(frozen=True, slots=True)
class Difference:
    """A transfer for which the hub's record and the books' record differ. `kind` names the difference, and the page
    explains this name.
    """

    transfer_id: str
    kind: str
    direction: str
    at_hub: int | None
    in_books: int | None
    currency: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A comparison of the hub's statement with the books."""

    equal: int
    under_way: int
    sent: int
    received: int
    differences: list[Difference]


@dataclass(frozen=True, slots=True)
class Statement:
    """The hub's statement of a period. If `is_whole` is false, the later part of the period is missing."""

    lines: list[dict[str, Any]]
    conversions: list[dict[str, Any]]
    is_whole: bool


class Treasury:
    """The pages of the treasurer."""

    def __init__(self, site: Site) -> None:
        self._site, self._bank = site, site.bank

    def add_to(self, app: web.Application) -> None:
        """Adds the pages to an aiohttp application."""
        treasurer = self._site.only("treasurer")
        app.router.add_get("/treasury", treasurer(self._home))
        app.router.add_get("/reconciliation", treasurer(self._reconciliation))

    async def _home(self, request: web.Request) -> web.StreamResponse:
        positions, statement = None, None
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                status, said = await self._bank.calls.call("GET", "/positions")
                if status == 200:
                    positions = self._positions(said)
                    statement = await self._latest_statement()
        names = ("scheme", "held", "fees", "cash", "capital")
        currencies = [row[0] for row in self._bank.books.rows("SELECT DISTINCT currency FROM account ORDER BY 1 DESC")]
        own = self._bank.books.currency
        currencies.sort(key=lambda currency: (currency != own, currency == TEST_CURRENCY))
        books = {
            currency: {
                name: self._bank.books.balance_of(name if currency == own else f"{name} {currency}") for name in names
            }
            | {"customers": self._customers(currency)}
            for currency in currencies
        }
        return self._site.page(
            request,
            "treasury.html",
            positions=positions,
            lines=_money_of(statement)[:_SHOWN] if statement else None,
            books=books,
            faults=await asyncio.to_thread(self._bank.faults),
        )

    async def _latest_statement(self) -> Statement | None:
        """Returns a statement that ends now and has enough lines for the page, or the statement of the last hour."""
        found = None
        for seconds in _PERIODS_S:
            found = await statement_of(self._bank, time.time() - seconds)
            if found is None or len(found.lines) >= _SHOWN:
                break
        return found

    def _positions(self, said: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns the positions. The first position is the position in the bank's own currency."""
        found = [_figures(position) for position in said.get("positions", [])]
        return sorted(found, key=lambda position: position["currency"] != self._bank.books.currency)

    def _customers(self, currency: str) -> int:
        row = self._bank.books.row(
            "SELECT coalesce(sum(balance), 0) FROM account WHERE is_customer AND currency = ?", currency
        )
        assert row is not None
        return int(row[0])

    async def _reconciliation(self, request: web.Request) -> web.StreamResponse:
        hours = _HOURS.get(request.query.get("hours", "24"), 24)
        since = time.time() - hours * 3600
        until = time.time() - _SETTLED_S
        said = await statement_of(self._bank, since, until=until)
        found = None
        if said is not None:
            compared_until = until if said.is_whole else _latest(said.lines, since)
            found = await asyncio.to_thread(compare, self._bank, said.lines, since, compared_until, said.conversions)
        return self._site.page(
            request,
            "reconciliation.html",
            hours=hours,
            choices=list(_HOURS.values()),
            found=found,
            is_whole=said is None or said.is_whole,
            currency=self._bank.books.currency,
            faults=await asyncio.to_thread(self._bank.faults),
        )


async def statement_of(bank: Bank, since: float, *, until: float | None = None) -> Statement | None:
    """Returns the hub's statement, or None if the hub does not answer."""
    lines: list[dict[str, Any]] = []
    conversions: list[dict[str, Any]] = []
    query = {"since": _date(since), "until": _date(until or time.time()), "limit": "1000"}
    while True:
        status, said = await bank.calls.call("GET", "/statement?" + urlencode(query))
        if status != 200:
            return None
        lines += said["transfers"]
        conversions += said.get("conversions", [])
        if said.get("next") is None:
            return Statement(lines, conversions, is_whole=True)
        if len(lines) >= _MOST_LINES:
            return Statement(lines, conversions, is_whole=False)
        query["after"] = said["next"]


def compare(
    bank: Bank,
    lines: list[dict[str, Any]],
    since: float,
    until: float,
    conversions: Sequence[dict[str, Any]] = (),
) -> Reconciliation:
    """Compares the hub's lines with the books, for each incoming and each outgoing transfer.

    Compares the lines between `since` and `until`. A payment that is only in the books counts as a difference if it
    clearly began and ended within this period. The books record a transfer's beginning before the hub does, and a
    transfer's end after the hub does. The totals contain the amounts that change the bank's position. For a converted
    transfer, this is the amount of the conversion.
    """
    books = _books_of(bank)
    equal = under_way = 0
    totals = {"OUT": 0, "IN": 0}
    differences = []
    seen = set()
    for line in lines:
        key = (line["transferId"], line["direction"])
        seen.add(key)
        state, amount = books.get(key, (None, None))[:2]
        if line["state"] in _OPEN or (state in _OPEN and line["state"] != "COMMITTED"):
            under_way += 1
        elif line["state"] == "COMMITTED":
            at_hub = parse_amount(line["amount"])
            if line["currency"] == bank.books.currency and not line.get("isConverted"):
                totals[line["direction"]] += at_hub
            if state in _OPEN:
                under_way += 1
            elif state == "COMMITTED" and (amount == at_hub or line.get("isConverted")):
                equal += 1
            else:
                kind = "MISSING" if state is None else "STATES" if state != "COMMITTED" else "AMOUNTS"
                differences.append(Difference(*key[:1], kind, key[1], at_hub, amount, line["currency"]))
        elif state == "COMMITTED":
            differences.append(Difference(key[0], "STATES", key[1], None, amount, line["currency"]))
        else:
            equal += 1
    for exchange in filter(None, map(_exchanged, conversions)):
        if exchange["state"] == "COMMITTED" and exchange["currency"] == bank.books.currency:
            totals[exchange["direction"]] += parse_amount(exchange["amount"])
    for key, (state, amount, begun, ended) in books.items():
        is_within = since + _MARGIN_S <= begun and ended < until - _MARGIN_S
        if key not in seen and state == "COMMITTED" and is_within:
            differences.append(Difference(key[0], "NOT_AT_HUB", key[1], None, amount, bank.books.currency))
    return Reconciliation(equal, under_way, totals["OUT"], totals["IN"], differences)


def _latest(lines: list[dict[str, Any]], since: float) -> float:
    """Returns the time of the latest line in the hub's statement. The statement's lines must be in order of time."""
    return datetime.fromisoformat(lines[-1]["receivedDate"]).timestamp() if lines else since


def _books_of(bank: Bank) -> dict[tuple[str, str], tuple[str, int, float, float]]:
    """Returns the state, amount, beginning and end of every transfer in the books, by id and direction."""
    found = {
        (transfer_id, "OUT"): (state, amount, begun, ended)
        for transfer_id, state, amount, begun, ended in bank.books.rows(
            "SELECT p.transfer_id, p.state, coalesce(p.paid, p.amount), i.created_at,"
            " coalesce(i.ended_at, i.created_at) FROM payment p"
            " JOIN instruction i USING (reference) WHERE p.transfer_id IS NOT NULL AND NOT p.own"
        )
    }
    found |= {
        (transfer_id, "OUT"): ("HELD", amount, at, at)
        for transfer_id, amount, at in bank.books.rows(
            "SELECT transfer_id, amount, created_at FROM instruction WHERE state = 'SENT' AND transfer_id IS NOT NULL"
        )
    }
    found |= {
        (transfer_id, "IN"): (state, amount, begun, ended)
        for transfer_id, state, amount, begun, ended in bank.books.rows(
            "SELECT i.transfer_id, i.state, i.amount, a.arrived_at, coalesce(a.ended_at, a.arrived_at)"
            " FROM incoming i JOIN arrival a USING (transfer_id) WHERE NOT i.own"
        )
    }
    return found


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    """Returns a DFSP's position with the amounts as numbers instead of texts. The hub's `position` includes the
    reserved amounts."""
    names = ("position", "reserved", "netDebitCap", "cover", "limit", "free")
    amounts = {name: None if found.get(name) is None else _signed(found[name]) for name in names}
    position = amounts["position"] or 0
    owed = position - (amounts["reserved"] or 0)
    return {"currency": found["currency"], **amounts, "owed": owed, "used": max(0, position)}


def _money_of(statement: Statement) -> list[dict[str, Any]]:
    """Returns the lines that change the bank's position, the latest line first."""
    lines = [line for line in statement.lines if not line.get("isConverted")]
    lines += filter(None, map(_exchanged, statement.conversions))
    return [_line(line) for line in sorted(lines, key=lambda line: str(line["receivedDate"]), reverse=True)]


def _exchanged(conversion: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the bank's own side of a conversion, as a line of the statement. The line has the money that the bank
    pays to the FXP or gets from the FXP. Returns None if the bank is itself the FXP.
    """
    if conversion["role"] != "INITIATOR":
        return None
    side, direction = ("source", "OUT") if conversion["side"] == "PAYER" else ("target", "IN")
    return {
        "direction": direction,
        "amount": conversion[f"{side}Amount"],
        "currency": conversion[f"{side}Currency"],
        "state": conversion["state"],
        "receivedDate": conversion["receivedDate"],
        "is_exchange": True,
    }


def _line(line: dict[str, Any]) -> dict[str, Any]:
    """Returns a line of the hub's statement, with the amount as a number and the time in the time zone of East
    Africa."""
    at = datetime.fromisoformat(line["receivedDate"]).timestamp()
    return {"is_exchange": False} | line | {"amount": parse_amount(line["amount"]), "time": clock_shown(at)}


def _signed(text: str) -> int:
    return -parse_amount(text[1:]) if text.startswith("-") else parse_amount(text)


def _date(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
