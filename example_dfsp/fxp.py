"""python -m example_dfsp.fxp NAME --state DIR --hub-url URL --inbound-port PORT: an example FXP, in one process.

An FXP converts one currency into another as a part of other DFSPs' payments. If a core is written in Python, the
connector can run in the process of the core. This FXP is an example of such a core. For each conversion, the FXP's own
books record the amount that it receives in the source currency, and the amount that it pays in the target currency.
"""

import argparse
import asyncio
import os
import signal
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from example_dfsp.books import Books
from kitovu_connector import (
    Config,
    Connector,
    ConversionEnd,
    FxConversion,
    FxMoney,
    FxQuotePost,
    FxTransferPost,
    IncomingMoney,
    PartyDetails,
    Refused,
    Terms,
    TermsWanted,
    format_amount,
    load,
    parse_amount,
)

log = structlog.get_logger(__name__)

# The number of ten-thousandths of the target currency that the FXP pays for one unit of the source currency. The FXP
# earns the difference between the rates of the two directions.
RATES = {("TZS", "KES"): 510, ("KES", "TZS"): 190_000}
_UNIT, _CENT = 10_000, 100
_TERMS_ARE_VALID = timedelta(minutes=10)
_NO_PAIR, _TOO_SMALL, _OTHER_CONTENT = "5106", "5103", "5105"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS conversion (
    id TEXT PRIMARY KEY, source_currency TEXT NOT NULL, source_amount INTEGER NOT NULL CHECK (source_amount > 0),
    target_currency TEXT NOT NULL, target_amount INTEGER NOT NULL CHECK (target_amount > 0),
    state TEXT NOT NULL DEFAULT 'RESERVED' CHECK (state IN ('RESERVED', 'COMMITTED', 'ABORTED'))
) STRICT;
CREATE TRIGGER IF NOT EXISTS conversion_ends_once BEFORE UPDATE ON conversion
WHEN OLD.state <> 'RESERVED' AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'the end of a conversion is final'); END;
"""


class Converter:
    """The FXP's core: `kitovu_connector.FxBackend`. This FXP has no customers, so it receives no transfers."""

    def __init__(self, books: Books) -> None:
        self._books = books
        books.define(_SCHEMA)

    async def give_conversion_terms(self, asked: FxQuotePost) -> FxConversion:
        """Returns the terms with both amounts, or raises Refused."""
        wanted = asked.conversion_terms
        source, target = wanted.source_amount, wanted.target_amount
        rate = RATES.get((source.currency, target.currency))
        if rate is None:
            raise Refused(_NO_PAIR, f"{source.currency} is not converted into {target.currency} here")
        if source.amount is not None:
            spent = parse_amount(source.amount)
            bought = spent * rate // _UNIT // _CENT * _CENT
        else:
            bought = parse_amount(target.amount or "0")
            spent = -(-bought * _UNIT // (rate * _CENT)) * _CENT
        if bought == 0:
            raise Refused(_TOO_SMALL, "the amount is too small to be converted")
        return FxConversion(
            conversion_id=wanted.conversion_id,
            determining_transfer_id=wanted.determining_transfer_id,
            initiating_fsp=wanted.initiating_fsp,
            counter_party_fsp=wanted.counter_party_fsp,
            amount_type=wanted.amount_type,
            source_amount=FxMoney(currency=source.currency, amount=format_amount(spent)),
            target_amount=FxMoney(currency=target.currency, amount=format_amount(bought)),
            expiration=_in(_TERMS_ARE_VALID),
        )

    async def reserve_conversion(self, asked: FxTransferPost, *, is_repeated: bool) -> None:
        """Records the conversion durably. A repeated request records no second conversion."""
        source, target = asked.source_amount, asked.target_amount
        content = (source.currency, parse_amount(source.amount), target.currency, parse_amount(target.amount))
        await asyncio.to_thread(self._reserve, asked.commit_request_id, content)

    def _reserve(self, conversion_id: str, content: tuple[str, int, str, int]) -> None:
        with self._books.transaction():
            self._books.run(
                "INSERT OR IGNORE INTO conversion (id, source_currency, source_amount, target_currency, target_amount)"
                " VALUES (?, ?, ?, ?, ?)",
                conversion_id,
                *content,
            )
            known = self._books.row(
                "SELECT source_currency, source_amount, target_currency, target_amount, state FROM conversion"
                " WHERE id = ?",
                conversion_id,
            )
        if known is None or tuple(known[:4]) != content or known[4] == "ABORTED":
            raise Refused(_OTHER_CONTENT, "the conversion has other content or was aborted")

    async def end_conversion(self, commit_request_id: str, end: ConversionEnd) -> None:
        """Posts a conversion that the hub has committed. If a call is repeated, the books post nothing more."""
        await asyncio.to_thread(self._end, commit_request_id, end.state)

    def _end(self, conversion_id: str, state: str) -> None:
        with self._books.transaction():
            known = self._books.row(
                "SELECT source_currency, source_amount, target_currency, target_amount, state FROM conversion"
                " WHERE id = ?",
                conversion_id,
            )
            if known is None or known[4] != "RESERVED":
                return
            try:
                self._books.run("UPDATE conversion SET state = ? WHERE id = ?", state, conversion_id)
            except sqlite3.IntegrityError:
                log.error("conversion_ended_twice", conversion=conversion_id, state=state)
                return
            if state == "COMMITTED":
                source_currency, spent, target_currency, bought, _ = known
                self._books.move(conversion_id, "source", ("scheme", "stock"), source_currency, spent)
                self._books.move(conversion_id, "target", ("stock", "scheme"), target_currency, bought)

    # --- calls that an FXP does not get -------------------------------------------------------------------------------

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        """Returns None, because the FXP has no customers."""
        return None

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        """Refuses."""
        raise Refused("5107", "this DFSP has no customers")

    async def reserve(self, incoming: IncomingMoney) -> None:
        """Refuses."""
        raise Refused("5104", "this DFSP has no customers")

    async def commit(self, incoming: IncomingMoney) -> None:
        """Does nothing: the connector never calls this method, because this core reserves nothing."""

    async def release(self, transfer_id: str) -> None:
        """Does nothing, because this core reserves nothing."""


def _in(time: timedelta) -> str:
    return (datetime.now(UTC) + time).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m example_dfsp.fxp", description=__doc__)
    parser.add_argument("name", help="the FXP's participant name")
    parser.add_argument("--state", type=Path, required=True, help="folder of the books and the connector's state")
    parser.add_argument("--hub-url", required=True)
    parser.add_argument("--inbound-port", type=int, required=True, help="port at which the hub calls the connector")
    parser.add_argument("--outbound-port", type=int, default=0)
    parser.add_argument("--ilp-secret-file", type=Path, required=True, help="file with the key for fulfilments")
    asked = parser.parse_args()
    flags = {
        "dfsp": asked.name,
        "hub_url": asked.hub_url,
        "state": str(asked.state.resolve() / "connector"),
        "ilp_secret": asked.ilp_secret_file.read_text().strip(),
        "inbound_port": str(asked.inbound_port),
        "inbound_is_private": "true",
        "outbound_port": str(asked.outbound_port),
    }
    more = asked.state / "connector.toml"  # further settings, if the file exists
    config = load(more if more.exists() else None, os.environ, flags)
    asyncio.run(_serve(config, Converter(Books(asked.state / "books.sqlite3"))))


async def _serve(config: Config, converter: Converter) -> None:
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    async with Connector(config, converter):
        await stopped.wait()


if __name__ == "__main__":
    main()
