"""Cash that customers pay in and take out at the bank's counter, with the teller and the time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from example_dfsp.books import Books, Conflict

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counter_entry (
    reference TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES account, amount INTEGER NOT NULL CHECK (amount <> 0),
    currency TEXT NOT NULL, note TEXT NOT NULL, teller TEXT NOT NULL, made_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS counter_entry_of ON counter_entry (customer, made_at);
"""


@dataclass(frozen=True, slots=True)
class CounterEntry:
    """One cash payment at the counter. `amount` is positive if the customer paid cash in, and negative if the customer
    took cash out."""

    reference: str
    customer: str
    amount: int
    currency: str
    note: str
    teller: str
    made_at: float


class Counter:
    """The table of cash payments at the counter, in the database file of the books."""

    def __init__(self, books: Books) -> None:
        self._books = books
        books.define(_SCHEMA)

    def post(self, new: CounterEntry) -> CounterEntry:
        """Records a cash payment. A repeated call records nothing more. Raises Overdrawn if the customer takes out more
        than the balance."""
        with self._books.transaction():
            known = self.get(new.reference)
            if known is not None:
                if (known.customer, known.amount) != (new.customer, new.amount):
                    raise Conflict(f"{new.reference} belongs to another entry")
                return known
            if new.amount > 0:
                self._books.pay_in(new.reference, new.customer, new.amount)
            else:
                self._books.pay_out(new.reference, new.customer, -new.amount)
            self._books.run(
                "INSERT INTO counter_entry VALUES (?, ?, ?, ?, ?, ?, ?)",
                new.reference,
                new.customer,
                new.amount,
                new.currency,
                new.note,
                new.teller,
                time.time(),
            )
            found = self.get(new.reference)
            assert found is not None
            return found

    def get(self, reference: str) -> CounterEntry | None:
        """Returns the cash payment with this reference, or None."""
        row = self._books.row("SELECT * FROM counter_entry WHERE reference = ?", reference)
        return _read(row) if row else None

    def of(self, customer: str, before: float, limit: int) -> list[CounterEntry]:
        """Returns the customer's cash payments that are older than the time `before`, the latest first."""
        rows = self._books.rows(
            "SELECT * FROM counter_entry WHERE customer = ? AND made_at < ? ORDER BY made_at DESC LIMIT ?",
            customer,
            before,
            limit,
        )
        return [_read(row) for row in rows]

    def latest(self, limit: int) -> list[CounterEntry]:
        """Returns the latest cash payments at the bank's counter."""
        rows = self._books.rows("SELECT * FROM counter_entry ORDER BY made_at DESC LIMIT ?", limit)
        return [_read(row) for row in rows]


def _read(row: Sequence) -> CounterEntry:
    return CounterEntry(*row)
